#include "cli/local/dns.h"

#include <algorithm>
#include <sstream>

namespace culvert::local {
namespace {

constexpr std::uint16_t kA = 1, kSrv = 33, kAaaa = 28, kAny = 255, kIn = 1;
constexpr std::uint8_t kFormatError = 1, kNoName = 3, kNotImplemented = 4;
constexpr std::uint8_t kTtl = 5;  // seconds
constexpr std::size_t kHeader = 12;

struct Question {
  std::string name;
  std::uint16_t type = 0, kind = 0;
  std::size_t end = 0;  // of the question in the message
};

char lower(char letter) { return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter; }

std::uint16_t read16(std::span<const std::uint8_t> bytes, std::size_t at) {
  return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

// A question's name is never compressed: there is nothing before it to point to.
bool read_question(std::span<const std::uint8_t> message, Question& question) {
  std::size_t at = kHeader;
  while (at < message.size() && message[at] != 0) {
    const std::size_t length = message[at++];
    if (length > 63 || at + length > message.size() || question.name.size() + length > 253) return false;
    if (!question.name.empty()) question.name += '.';
    for (const auto byte : message.subspan(at, length)) question.name += lower(static_cast<char>(byte));
    at += length;
  }
  if (at + 5 > message.size()) return false;
  question.type = read16(message, at + 1);
  question.kind = read16(message, at + 3);
  question.end = at + 5;
  return true;
}

void put16(std::vector<std::uint8_t>& out, std::size_t value) {
  out.push_back(static_cast<std::uint8_t>(value >> 8));
  out.push_back(static_cast<std::uint8_t>(value));
}

// A record of the question's own name (a pointer to it), without its data.
void put_record(std::vector<std::uint8_t>& out, std::uint16_t type, std::size_t length) {
  put16(out, 0xc000 | kHeader);
  put16(out, type);
  put16(out, kIn);
  out.insert(out.end(), {0, 0, 0, kTtl});
  put16(out, length);
}

void put_name(std::vector<std::uint8_t>& out, std::string_view name) {
  while (!name.empty()) {
    const auto label = name.substr(0, name.find('.'));
    out.push_back(static_cast<std::uint8_t>(label.size()));
    out.insert(out.end(), label.begin(), label.end());
    name.remove_prefix(std::min(label.size() + 1, name.size()));
  }
  out.push_back(0);
}

struct Answer {
  std::vector<std::uint8_t> bytes;
  std::size_t count = 0;
  bool truncated = false;

  void add(std::vector<std::uint8_t> record, std::size_t limit) {
    truncated = truncated || bytes.size() + record.size() > limit;
    if (truncated) return;
    bytes.insert(bytes.end(), record.begin(), record.end());
    ++count;
  }
};

void add_records(Answer& answer, const Zone::Records& records, std::uint16_t type, std::size_t limit, unsigned turn) {
  const auto& addresses = records.addresses;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    const auto& address = addresses[(i + turn) % addresses.size()];
    const std::uint16_t own = address.is_v4() ? kA : kAaaa;
    if (type != own && type != kAny) continue;
    std::vector<std::uint8_t> record;
    put_record(record, own, address.bytes().size());
    record.insert(record.end(), address.bytes().begin(), address.bytes().end());
    answer.add(std::move(record), limit);
  }
  if (type != kSrv && type != kAny) return;
  for (const auto& service : records.services) {
    std::vector<std::uint8_t> record;
    put_record(record, kSrv, 6 + service.target.size() + 2);
    put16(record, 0);
    put16(record, 100);
    put16(record, service.port);
    put_name(record, service.target);
    answer.add(std::move(record), limit);
  }
}

}  // namespace

Zone Zone::parse(std::string_view text) {
  Zone zone;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string name, type, value, target;
    if (!(words >> name >> type >> value)) continue;
    std::ranges::transform(name, name.begin(), lower);
    auto& records = zone.names_[name];
    if (type == "A" || type == "AAAA") {
      if (const auto address = IpAddress::parse(value)) records.addresses.push_back(*address);
    } else if (type == "SRV" && words >> target) {
      records.services.push_back({static_cast<std::uint16_t>(std::atoi(value.c_str())), target});
    }
    for (auto dot = name.find('.'); dot != name.npos; dot = name.find('.', dot + 1)) zone.parents_.insert(name.substr(dot + 1));
  }
  return zone;
}

const Zone::Records* Zone::find(std::string_view name) const {
  const auto found = names_.find(name);
  return found == names_.end() ? nullptr : &found->second;
}

bool Zone::is_parent(std::string_view name) const { return parents_.contains(name); }

std::vector<std::uint8_t> answer_dns(const Zone& zone, std::span<const std::uint8_t> query, std::size_t limit, unsigned turn) {
  if (query.size() < kHeader || (query[2] & 0x80) != 0) return {};  // too short, or itself an answer
  Question question;
  const bool understood = read16(query, 4) == 1 && read_question(query, question);
  const bool standard = (query[2] & 0x78) == 0;

  Answer answer;
  answer.bytes.assign(query.begin(), query.begin() + static_cast<std::ptrdiff_t>(understood ? question.end : kHeader));
  std::uint8_t code = !understood ? kFormatError : !standard ? kNotImplemented : 0;
  if (code == 0) {
    const auto* records = question.kind == kIn || question.kind == kAny ? zone.find(question.name) : nullptr;
    if (records != nullptr) add_records(answer, *records, question.type, limit, turn);
    if (records == nullptr && !zone.is_parent(question.name)) code = kNoName;
  }
  answer.bytes[2] = static_cast<std::uint8_t>(0x84 | (query[2] & 0x79) | (answer.truncated ? 2 : 0));  // an answer, authoritative
  answer.bytes[3] = static_cast<std::uint8_t>(0x80 | code);                                            // recursion is not refused
  const std::uint8_t counts[] = {0,
                                 static_cast<std::uint8_t>(understood),
                                 static_cast<std::uint8_t>(answer.count >> 8),
                                 static_cast<std::uint8_t>(answer.count),
                                 0,
                                 0,
                                 0,
                                 0};
  std::ranges::copy(counts, answer.bytes.begin() + 4);
  return std::move(answer.bytes);
}

}  // namespace culvert::local
