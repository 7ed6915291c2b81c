#include "cni/agent/enrol.h"

#include <algorithm>
#include <iterator>

#include "cni/agent/probes.h"
#include "common/base/format.h"

namespace culvert::agent {
namespace {

constexpr std::string_view kSidecarStatus = "sidecar.istio.io/status";
constexpr std::string_view kDnsCapture = "ambient.istio.io/dns-capture";
constexpr std::string_view kBypassInbound = "ambient.istio.io/bypass-inbound-capture";
constexpr std::string_view kReroute = "istio.io/reroute-virtual-interfaces";

Verdict judge(const config::Pod& pod, const config::Namespace* name_space, bool captured, const Rules& rules) {
  const auto& meta = pod.metadata;
  if (pod.spec.host_network) return Verdict::kHostNetwork;
  if (pod.is_terminal()) return Verdict::kTerminated;
  if (rules.leaving) return Verdict::kUninstalled;
  if (std::ranges::contains(rules.excluded_namespaces, meta.name_space)) return Verdict::kExcludedNamespace;
  if (meta.annotations->contains(std::string(kSidecarStatus))) return Verdict::kSidecar;
  const auto own = config::value_of(meta.labels, kModeLabel);
  if (own == "ambient") return Verdict::kEnrolled;
  if (own == "none") return Verdict::kOptedOut;
  // A file that cannot be read, or is being written, says nothing: least of all that a pod's traffic is to go in the clear.
  if (name_space == nullptr) return captured ? Verdict::kHeld : Verdict::kUnknownNamespace;
  const bool asked = config::value_of(name_space->metadata.labels, kModeLabel) == "ambient";
  return asked ? Verdict::kEnrolled : Verdict::kNotLabelled;
}

void read_dns_capture(const config::Labels& annotations, Decision& decision) {
  const auto wish = config::value_of(annotations, kDnsCapture);
  if (wish.empty()) return;
  if (wish == "true" || wish == "false") {
    decision.dns_capture = wish == "true";
  } else {
    decision.notes.push_back(
        culvert::format("annotation {}=\"{}\" is neither true nor false: the default counts", kDnsCapture, wish));
  }
}

}  // namespace

std::string_view name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kEnrolled: return "enrolled";
    case Verdict::kNotLabelled: return "not_labelled";
    case Verdict::kOptedOut: return "opted_out";
    case Verdict::kUnknownNamespace: return "unknown_namespace";
    case Verdict::kHeld: return "held";
    case Verdict::kHostNetwork: return "host_network";
    case Verdict::kTerminated: return "terminated";
    case Verdict::kExcludedNamespace: return "excluded_namespace";
    case Verdict::kSidecar: return "sidecar";
    case Verdict::kUninstalled: return "uninstalled";
  }
  return "";
}

std::string_view text(Verdict verdict) {
  switch (verdict) {
    case Verdict::kEnrolled: return "in the mesh";
    case Verdict::kNotLabelled: return "neither the pod nor its namespace has the label istio.io/dataplane-mode=ambient";
    case Verdict::kOptedOut: return "the pod's label istio.io/dataplane-mode=none keeps it out";
    case Verdict::kUnknownNamespace: return "its namespace object is not known";
    case Verdict::kHeld: return "its namespace object is not known: it stays in the mesh";
    case Verdict::kHostNetwork: return "hostNetwork pods share the node's network and cannot be captured";
    case Verdict::kTerminated: return "the pod has ended";
    case Verdict::kExcludedNamespace: return "its namespace is excluded by the node agent's settings";
    case Verdict::kSidecar: return "the pod has a sidecar proxy (annotation sidecar.istio.io/status)";
    case Verdict::kUninstalled: return "the mesh is being uninstalled from this node";
  }
  return "";
}

Decision decide(const config::Pod& pod, const config::Namespace* name_space, bool captured, const Rules& rules) {
  Decision decision{.verdict = judge(pod, name_space, captured, rules), .dns_capture = false, .notes = {}};
  if (!decision.enrolled()) return decision;
  const auto& annotations = pod.metadata.annotations;
  decision.dns_capture = rules.dns_capture;
  read_dns_capture(annotations, decision);
  if (config::value_of(annotations, kBypassInbound) == "true") {
    decision.notes.push_back(
        culvert::format("annotation {} is not supported yet: inbound connections are captured as well", kBypassInbound));
  }
  if (!config::value_of(annotations, kReroute).empty()) {
    decision.notes.push_back(
        culvert::format("annotation {} is not supported yet: virtual interfaces are treated like any other", kReroute));
  }
  std::ranges::move(probe_notes(pod), std::back_inserter(decision.notes));
  return decision;
}

}  // namespace culvert::agent
