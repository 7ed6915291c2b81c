#include "cni/plugin/answer.h"

#include <algorithm>

#include "cni/json/text.h"
#include "common/base/format.h"

namespace culvert::plugin {
namespace {

bool is_excluded(const Call& call) {
  const auto& pod = call.pod;
  return pod.name_space.empty() || pod.name.empty() || std::ranges::contains(call.settings.exclude_namespaces, pod.name_space);
}

// Of these the mesh is made: they must be able to start before it.
bool is_own(const Call& call) {
  const auto& [name_space, name, uid] = call.pod;
  return !call.settings.own_namespace.empty() && name_space == call.settings.own_namespace &&
         std::ranges::any_of(call.settings.own_pods, [&](const auto& beginning) { return name.starts_with(beginning); });
}

ask::Verb verb_of(Command command) {
  switch (command) {
    case Command::kAdd: return ask::Verb::kAdd;
    case Command::kDel: return ask::Verb::kDel;
    case Command::kCheck: return ask::Verb::kCheck;
    default: return ask::Verb::kStatus;
  }
}

std::string supported(const Call& call) {
  const auto version = call.version.empty() ? std::string("1.1.0") : call.version;
  return culvert::format("{{\"cniVersion\":{},\"supportedVersions\":[\"0.3.0\",\"0.3.1\",\"0.4.0\",\"1.0.0\",\"1.1.0\"]}}\n",
                         json::quoted(version));
}

Outcome passed(const Call& call) {
  return call.command == Command::kAdd ? Outcome{.exit_code = 0, .output = call.previous} : Outcome{};
}

// A node whose STATUS fails counts as not ready, and loses its running pods after a while. Those need no agent; and some may start without one.
Outcome unanswered(const Call& call, const Error& error) {
  if (call.command != Command::kAdd || is_own(call)) return passed(call);
  return refused({.code = Failure::kAgain,
                  .message = culvert::format(
                      "pod {}/{} does not start before culvert-node can say whether it belongs to the mesh: {} {}",
                      call.pod.name_space, call.pod.name, error.text, "(is the DaemonSet culvert-node running on this node?)"),
                  .version = call.version});
}

}  // namespace

std::optional<ask::Question> question_of(const Call& call) {
  if (call.command == Command::kStatus) return ask::Question{.verb = ask::Verb::kStatus};
  const bool of_pod = call.command == Command::kAdd || call.command == Command::kDel || call.command == Command::kCheck;
  if (!of_pod || is_excluded(call)) return std::nullopt;
  return ask::Question{.verb = verb_of(call.command),
                       .name_space = call.pod.name_space,
                       .pod = call.pod.name,
                       .uid = call.pod.uid,
                       .container = call.container,
                       .interface = call.interface,
                       .addresses = call.addresses};
}

Outcome conclude(const Call& call, const Result<ask::Answer>& answer) {
  if (call.command == Command::kVersion) return {.exit_code = 0, .output = supported(call)};
  if (!answer) return unanswered(call, answer.error());
  if (answer->verdict != ask::Verdict::kRefused || call.command == Command::kDel) return passed(call);
  if (call.command == Command::kStatus)
    return refused({.code = Failure::kUnavailable, .message = "culvert-node: " + answer->why, .version = call.version});
  const auto what = call.command == Command::kAdd ? "is not let start outside the mesh" : "is not as it should be";
  return refused({.code = Failure::kAgain,
                  .message = culvert::format("pod {}/{} {}: {}", call.pod.name_space, call.pod.name, what, answer->why),
                  .version = call.version});
}

Outcome refused(const Failure& failure) {
  const auto version = failure.version.empty() ? std::string("1.1.0") : failure.version;
  return {.exit_code = 1,
          .output = culvert::format("{{\"cniVersion\":{},\"code\":{},\"msg\":{}}}\n", json::quoted(version), failure.code,
                                    json::quoted("culvert: " + failure.message))};
}

}  // namespace culvert::plugin
