#pragma once
// Which pods belong to the mesh: decided from the pod, its namespace and the agent's settings alone (protocols.md §5.3).

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/object.h"

namespace culvert::agent {

inline constexpr std::string_view kModeLabel = "istio.io/dataplane-mode";
inline constexpr std::string_view kRedirection = "ambient.istio.io/redirection";  // what we tell: "enabled", "pending", absent
inline constexpr std::string_view kNetnsAnnotation = "culvert.dev/netns";  // path of the pod's network namespace, file mode

enum class Verdict : std::uint8_t {
  kEnrolled,           // belongs to the mesh
  kNotLabelled,        // neither the pod nor its namespace asks for it
  kOptedOut,           // the pod's own label says none
  kUnknownNamespace,   // the pod's namespace object is not known (yet), and the pod does not ask by itself
  kHeld,               // the same, but the pod is in the mesh: it stays, until somebody says otherwise
  kHostNetwork,        // shares the node's network namespace: cannot be captured without capturing the node
  kTerminated,         // has ended, nothing runs in it
  kExcludedNamespace,  // the settings leave this namespace alone
  kSidecar,            // has a proxy of its own inside
  kUninstalled,        // the mesh leaves this node
};
std::string_view name(Verdict verdict);  // "host_network": the label of metrics
std::string_view text(Verdict verdict);  // one sentence for people

struct Rules {
  std::vector<std::string> excluded_namespaces = {"kube-system"};
  bool dns_capture = true;  // where the pod does not say
  bool leaving = false;     // the mesh is taken off this node: nobody belongs any more
};

struct Decision {
  Verdict verdict = Verdict::kNotLabelled;
  bool dns_capture = false;        // only when enrolled
  std::vector<std::string> notes;  // what the pod asks for and does not get, one sentence each

  bool enrolled() const { return verdict == Verdict::kEnrolled || verdict == Verdict::kHeld; }
  friend bool operator==(const Decision&, const Decision&) = default;
};

// `name_space` is null while the object is not known; `captured`: the kernel captures the pod now. Says nothing about nodes: the caller
// asks for the pods of its own.
Decision decide(const config::Pod& pod, const config::Namespace* name_space, bool captured, const Rules& rules);

}  // namespace culvert::agent
