#include "cni/ask/messages.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "cni/json/text.h"
#include "common/base/format.h"

namespace culvert::ask {
namespace {

constexpr std::string_view kVersion = "1";
constexpr std::size_t kMaxWhy = 2048;
constexpr std::size_t kMaxName = 253;  // of an object of Kubernetes

constexpr std::array kVerbs = {Verb::kAdd, Verb::kDel, Verb::kCheck, Verb::kStatus};
constexpr std::array kVerdicts = {Verdict::kEnrolled, Verdict::kOutside, Verdict::kRefused};

template <class Word, std::size_t size>
std::optional<Word> word_of(const std::array<Word, size>& words, std::string_view text) {
  const auto found = std::ranges::find(words, text, [](Word word) { return name(word); });
  return found == words.end() ? std::nullopt : std::optional(*found);
}

bool is_name_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.'; }

// DNS subdomains, and uids.
bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kMaxName && std::ranges::all_of(text, is_name_letter) && text.front() != '.';
}

bool is_printable(std::string_view text) {
  return text.size() <= kMaxName && std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
}

Status check(std::string_view packet, std::string_view what) {
  if (packet.size() > kMaxPacket)
    return failure(culvert::format("{} of {} bytes is longer than a packet may be ({})", what, packet.size(), kMaxPacket));
  if (auto checked = json::check(packet); !checked) return std::unexpected(checked.error().during(what));
  if (const auto version = json::find(packet, "version"); version != kVersion)
    return failure(culvert::format(
        "{} of version {}: only version {} is spoken here (are culvert-node and the culvert-cni that it installed of "
        "one release?)",
        what, version.empty() ? "none" : version.substr(0, 16), kVersion));
  return {};
}

Status check_names(const Question& question) {
  const bool of_pod = question.verb != Verb::kStatus;
  if (of_pod && (!is_name(question.name_space) || !is_name(question.pod)))
    return failure("a question about no pod: namespace or name is missing, or is none of Kubernetes");
  if (!question.uid.empty() && !is_name(question.uid)) return failure("a question about a pod whose uid is none of Kubernetes");
  if (!is_printable(question.container) || !is_printable(question.interface))
    return failure("a question whose container or interface is no name");
  if (question.addresses.size() > kMaxAddresses)
    return failure(culvert::format("a question with {} addresses: at most {}", question.addresses.size(), kMaxAddresses));
  if (!std::ranges::all_of(question.addresses, is_printable)) return failure("a question with an address that is none");
  return {};
}

// At a border of UTF-8 characters.
std::string_view cut(std::string_view text, std::size_t size) {
  if (text.size() <= size) return text;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;
  return text.substr(0, size);
}

}  // namespace

std::string_view name(Verb verb) {
  switch (verb) {
    case Verb::kAdd: return "add";
    case Verb::kDel: return "del";
    case Verb::kCheck: return "check";
    case Verb::kStatus: return "status";
  }
  return "";
}

std::string_view name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kEnrolled: return "enrolled";
    case Verdict::kOutside: return "outside";
    case Verdict::kRefused: return "refused";
  }
  return "";
}

Result<std::string> encode(const Question& question) {
  if (auto checked = check_names(question); !checked) return std::unexpected(checked.error());
  std::string packet = culvert::format("{{\"version\":{},\"verb\":\"{}\"", kVersion, name(question.verb));
  const auto add = [&](std::string_view key, const std::string& value) {
    if (!value.empty()) packet += culvert::format(",\"{}\":{}", key, json::quoted(value));
  };
  add("namespace", question.name_space);
  add("pod", question.pod);
  add("uid", question.uid);
  add("container", question.container);
  add("interface", question.interface);
  if (!question.addresses.empty()) packet += ",\"addresses\":" + json::quoted(question.addresses);
  packet += '}';
  if (packet.size() > kMaxPacket)
    return failure(culvert::format("a question of {} bytes does not fit into a packet of {}", packet.size(), kMaxPacket));
  return packet;
}

Result<Question> decode_question(std::string_view packet) {
  if (auto checked = check(packet, "a question"); !checked) return std::unexpected(checked.error());
  const auto verb = word_of(kVerbs, json::text_of(json::find(packet, "verb")));
  if (!verb) return failure("a question with a verb that is not known (is the plugin newer than the agent?)");
  const auto text = [&](std::string_view key) { return json::text_of(json::find(packet, key)); };
  Question question{.verb = *verb,
                    .name_space = text("namespace"),
                    .pod = text("pod"),
                    .uid = text("uid"),
                    .container = text("container"),
                    .interface = text("interface"),
                    .addresses = json::strings_of(json::find(packet, "addresses"))};
  if (auto checked = check_names(question); !checked) return std::unexpected(checked.error());
  return question;
}

std::string encode(const Answer& answer) {
  std::string packet = culvert::format("{{\"version\":{},\"verdict\":\"{}\"", kVersion, name(answer.verdict));
  if (!answer.why.empty()) packet += ",\"why\":" + json::quoted(cut(answer.why, kMaxWhy));
  return packet += '}';
}

Result<Answer> decode_answer(std::string_view packet) {
  if (auto checked = check(packet, "an answer"); !checked) return std::unexpected(checked.error());
  const auto verdict = word_of(kVerdicts, json::text_of(json::find(packet, "verdict")));
  if (!verdict) return failure("an answer with a verdict that is not known (is the agent newer than the plugin?)");
  return Answer{.verdict = *verdict, .why = json::text_of(json::find(packet, "why"))};
}

}  // namespace culvert::ask
