// culvert-cni: the chained CNI plugin. Asks the node agent whether a pod that is about to start belongs to the mesh, waits until it is in it, and
// passes on what the plugins before it have answered.

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "cni/plugin/agent.h"
#include "cni/plugin/answer.h"
#include "cni/plugin/call.h"
#include "common/base/version.h"

namespace {

using namespace culvert;
using namespace std::chrono_literals;

std::optional<std::string> variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

// A byte more than may be is enough to be refused for it.
std::string standard_input() {
  std::string text;
  char part[65536];
  while (text.size() <= plugin::kMaxInput) {
    const auto size = ::read(STDIN_FILENO, part, sizeof part);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    text.append(part, static_cast<std::size_t>(size));
  }
  return text;
}

// An ADD may meet an agent that restarts, and one that waits for ztunnel and says so before we lose patience. The others are cheap to miss.
plugin::Patience patience_of(plugin::Command command) {
  return command == plugin::Command::kAdd ? plugin::Patience{.connect = 5s, .answer = 60s}
                                          : plugin::Patience{.connect = 0s, .answer = 5s};
}

plugin::Outcome answer() {
  const auto call = plugin::read_call(variable, standard_input());
  if (!call) return plugin::refused(call.error());
  const auto question = plugin::question_of(*call);
  if (!question) return plugin::conclude(*call, ask::Answer{.verdict = ask::Verdict::kOutside});
  // On DEL it may be gone already.
  const Fd netns(call->netns.empty() ? -1 : ::open(call->netns.c_str(), O_RDONLY | O_CLOEXEC));
  if (!netns && question->verb == ask::Verb::kAdd)
    return plugin::refused(
        {.message = failure_errno("opening the pod's network namespace " + call->netns).error().text, .version = call->version});
  return plugin::conclude(*call, plugin::ask_agent(call->settings.agent_socket, *question, netns, patience_of(call->command)));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--version") {
    std::printf("culvert-cni %s\n", std::string(kVersion).c_str());
    return 0;
  }
  const auto outcome = answer();
  const bool written = std::fwrite(outcome.output.data(), 1, outcome.output.size(), stdout) == outcome.output.size();
  return std::fflush(stdout) == 0 && written ? outcome.exit_code : 1;
}
