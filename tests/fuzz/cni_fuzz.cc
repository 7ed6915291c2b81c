// What a runtime hands to the CNI plugin, and packets between the plugin and the agent.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "cni/ask/messages.h"
#include "cni/json/text.h"
#include "cni/plugin/answer.h"
#include "common/base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace culvert;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto environment = [](const char* name) -> std::optional<std::string> {
    return std::string_view(name) == "CNI_COMMAND" ? "ADD" : "K8S_POD_NAMESPACE=a;K8S_POD_NAME=b";
  };
  if (const auto call = plugin::read_call(environment, input)) {
    const auto question = plugin::question_of(*call);
    const auto packet = question ? ask::encode(*question) : Result<std::string>(failure(""));
    if (packet) {
      const auto read = ask::decode_question(*packet);
      CULVERT_CHECK(read.has_value() && *read == *question);
    }
    CULVERT_CHECK(json::check(plugin::conclude(*call, ask::Answer{.verdict = ask::Verdict::kOutside}).output).has_value());
  }
  if (const auto question = ask::decode_question(input)) CULVERT_CHECK(ask::encode(*question).has_value());
  if (const auto answer = ask::decode_answer(input)) CULVERT_CHECK(ask::decode_answer(ask::encode(*answer)).has_value());
  return 0;
}
