#include "ztunnel/dns/message.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string_view>

namespace culvert::ztunnel::dns {
namespace {

constexpr std::size_t kHeader = 12;
constexpr std::size_t kMaxName = 255;  // RFC 1035 §2.3.4, length bytes included
constexpr std::size_t kMaxLabel = 63;
constexpr std::uint16_t kClassIn = 1;
constexpr std::uint16_t kTypeCname = 5;
constexpr std::uint16_t kTypeOpt = 41;
constexpr std::uint16_t kPointer = 0xc000;
constexpr std::uint16_t kQuestionPointer = kPointer | kHeader;
constexpr std::size_t kRecordHead = 12;  // of one that is about a name written before
constexpr std::size_t kOptRecord = 11;
constexpr std::uint16_t kOurUdpPayload = 1232;  // what fits one packet on every path (DNS flag day 2020)

enum Flags : std::uint16_t {
  kResponse = 0x8000,
  kOpcode = 0x7800,
  kAuthoritative = 0x0400,
  kTruncated = 0x0200,
  kRecursionDesired = 0x0100,
  kRecursionAvailable = 0x0080,
  kCheckingDisabled = 0x0010,
};

// Reads big-endian values; `ok` turns false at the first byte that is missing and stays so.
struct Reader {
  std::span<const std::byte> left;
  bool ok = true;

  std::span<const std::byte> take(std::size_t size) {
    if (left.size() < size) {
      ok = false;
      left = {};
      return {};
    }
    const auto taken = left.first(size);
    left = left.subspan(size);
    return taken;
  }
  std::uint8_t u8() {
    const auto bytes = take(1);
    return ok ? std::to_integer<std::uint8_t>(bytes[0]) : std::uint8_t{0};
  }
  std::uint16_t u16() {
    const auto bytes = take(2);
    if (!ok) return 0;
    return static_cast<std::uint16_t>(std::to_integer<unsigned>(bytes[0]) << 8 | std::to_integer<unsigned>(bytes[1]));
  }
};

class Writer {
 public:
  explicit Writer(std::size_t reserve) { bytes_.reserve(reserve); }

  void u8(unsigned value) { bytes_.push_back(static_cast<std::byte>(value)); }
  void u16(unsigned value) {
    u8(value >> 8 & 0xff);
    u8(value & 0xff);
  }
  void u32(std::uint32_t value) {
    u16(value >> 16);
    u16(value & 0xffff);
  }
  void bytes(std::span<const std::byte> more) { bytes_.insert(bytes_.end(), more.begin(), more.end()); }
  void set_u16(std::size_t at, unsigned value) {
    bytes_[at] = static_cast<std::byte>(value >> 8 & 0xff);
    bytes_[at + 1] = static_cast<std::byte>(value & 0xff);
  }
  std::size_t size() const { return bytes_.size(); }
  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

void append_label(std::string& name, std::span<const std::byte> label) {
  if (!name.empty()) name += '.';
  for (const std::byte raw : label) {
    auto c = std::to_integer<unsigned char>(raw);
    if (c >= 'A' && c <= 'Z') c = static_cast<unsigned char>(c - 'A' + 'a');
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '*';
    if (plain) {
      name += static_cast<char>(c);
    } else {
      std::array<char, 5> escaped{};
      std::snprintf(escaped.data(), escaped.size(), "\\%03u", static_cast<unsigned>(c));
      name += escaped.data();
    }
  }
}

// The question's name. It is the first name of a message, so there is nothing that it could point to: compression is an error here.
Result<std::string> read_name(Reader& reader) {
  std::string name;
  std::size_t length = 1;
  for (;;) {
    const std::size_t size = reader.u8();
    if (!reader.ok) return failure("the name is cut short");
    if (size == 0) return name;
    if (size > kMaxLabel) return failure("the name is compressed or has a label of more than 63 bytes");
    length += size + 1;
    if (length > kMaxName) return failure("the name is longer than 255 bytes");
    const auto label = reader.take(size);
    if (!reader.ok) return failure("the name is cut short");
    append_label(name, label);
  }
}

// An additional record: only OPT is looked into. Its owner is the root, whose name is one zero byte.
Status read_additional(Reader& reader, Query& query) {
  if (reader.u8() != 0) return failure("an additional record that is not OPT");
  const std::uint16_t type = reader.u16();
  const std::uint16_t payload = reader.u16();
  reader.u8();  // extended rcode
  const std::uint8_t version = reader.u8();
  reader.u16();  // DO and reserved flags
  reader.take(reader.u16());
  if (!reader.ok) return failure("the additional record is cut short");
  if (type != kTypeOpt) return failure("an additional record that is not OPT");
  if (version != 0) return failure("EDNS version " + std::to_string(version));
  if (query.edns_payload) return failure("two OPT records");
  query.edns_payload = payload;
  return {};
}

// The name in wire form; a name that we hold is never longer than the format allows, but what cannot be written is left out by the caller.
bool write_name(Writer& out, std::string_view name) {
  if (name.empty() || name.size() + 2 > kMaxName) return false;
  std::vector<std::byte> wire;
  while (!name.empty()) {
    const std::size_t dot = std::min(name.find('.'), name.size());
    if (dot == 0 || dot > kMaxLabel) return false;
    wire.push_back(static_cast<std::byte>(dot));
    for (const char c : name.substr(0, dot)) wire.push_back(static_cast<std::byte>(c));
    name.remove_prefix(std::min(dot + 1, name.size()));
  }
  wire.push_back(std::byte{0});
  out.bytes(wire);
  return true;
}

// `owner`: a pointer to the name that it is about.
void write_record(Writer& out, unsigned owner, unsigned type, std::uint32_t ttl, std::span<const std::byte> data) {
  out.u16(owner);
  out.u16(type);
  out.u16(kClassIn);
  out.u32(ttl);
  out.u16(static_cast<unsigned>(data.size()));
  out.bytes(data);
}

void write_opt(Writer& out) {
  out.u8(0);
  out.u16(kTypeOpt);
  out.u16(kOurUdpPayload);
  out.u32(0);
  out.u16(0);
}

}  // namespace

std::optional<std::uint16_t> query_id(std::span<const std::byte> message) {
  if (message.size() < kHeader) return std::nullopt;
  Reader reader{message};
  const std::uint16_t id = reader.u16();
  if (reader.u16() & kResponse) return std::nullopt;
  return id;
}

Result<Query> parse_query(std::span<const std::byte> message) {
  Reader reader{message};
  Query query;
  query.id = reader.u16();
  const std::uint16_t flags = reader.u16();
  const std::uint16_t questions = reader.u16();
  const std::uint16_t answers = reader.u16();
  const std::uint16_t authorities = reader.u16();
  const std::uint16_t additionals = reader.u16();
  if (!reader.ok) return failure("shorter than a DNS header");
  if (flags & (kResponse | kTruncated)) return failure("not a query");
  if (flags & kOpcode) return failure("opcode " + std::to_string((flags & kOpcode) >> 11));
  if (questions != 1) return failure(std::to_string(questions) + " questions");
  if (answers != 0 || authorities != 0 || additionals > 1) return failure("records in a query");
  query.recursion_desired = flags & kRecursionDesired;
  query.checking_disabled = flags & kCheckingDisabled;

  auto name = read_name(reader);
  if (!name) return std::unexpected(name.error());
  query.name = std::move(*name);
  query.type = reader.u16();
  const std::uint16_t klass = reader.u16();
  if (!reader.ok) return failure("the question is cut short");
  if (klass != kClassIn) return failure("class " + std::to_string(klass));
  const auto question = message.subspan(kHeader, message.size() - kHeader - reader.left.size());
  query.question.assign(question.begin(), question.end());

  if (additionals == 1) {
    if (auto read = read_additional(reader, query); !read) return std::unexpected(read.error());
  }
  if (!reader.left.empty()) return failure("bytes after the end");
  return query;
}

std::size_t udp_limit(const Query& query) { return std::max<std::size_t>(kPlainUdpPayload, query.edns_payload.value_or(0)); }

std::vector<std::byte> encode(const Query& query, const Answer& answer, std::size_t limit) {
  Writer out(std::min<std::size_t>(limit, 512));
  unsigned flags = kResponse | kRecursionAvailable | static_cast<unsigned>(answer.rcode);
  if (answer.authoritative) flags |= kAuthoritative;
  if (query.recursion_desired) flags |= kRecursionDesired;
  if (query.checking_disabled) flags |= kCheckingDisabled;
  out.u16(query.id);
  out.u16(flags);
  out.u16(1);
  out.u16(0);  // answers, filled in below
  out.u16(0);
  out.u16(query.edns_payload ? 1 : 0);
  out.bytes(query.question);

  const std::size_t room = limit - std::min(limit, query.edns_payload ? kOptRecord : std::size_t{0});
  unsigned records = 0;
  unsigned owner = kQuestionPointer;
  bool truncated = false;
  const auto write = [&](unsigned type, std::span<const std::byte> data) {
    truncated = truncated || out.size() + kRecordHead + data.size() > room;
    if (truncated) return false;
    write_record(out, owner, type, answer.ttl_seconds, data);
    ++records;
    return true;
  };
  if (!answer.canonical_name.empty()) {
    Writer name(answer.canonical_name.size() + 2);
    const bool good = write_name(name, answer.canonical_name);
    const auto wire = name.take();
    if (good && write(kTypeCname, wire)) owner = kPointer | static_cast<unsigned>(out.size() - wire.size());
  }
  for (const IpAddress& address : answer.addresses) {
    if (!write(address.is_v4() ? kTypeA : kTypeAaaa, std::as_bytes(address.bytes()))) break;
  }
  if (query.edns_payload) write_opt(out);
  if (truncated) out.set_u16(2, flags | kTruncated);
  out.set_u16(6, records);
  return out.take();
}

std::vector<std::byte> encode_truncated(const Query& query, std::span<const std::byte> reply) {
  Reader header{reply};
  header.u16();  // the id
  const unsigned flags = header.u16();
  Writer out(kHeader + query.question.size() + kOptRecord);
  out.u16(query.id);
  out.u16(flags | kResponse | kTruncated);
  out.u16(1);
  out.u16(0);
  out.u16(0);
  out.u16(query.edns_payload ? 1 : 0);
  out.bytes(query.question);
  if (query.edns_payload) write_opt(out);
  return out.take();
}

std::vector<std::byte> encode_failure(std::uint16_t id, Rcode rcode) {
  Writer out(kHeader);
  out.u16(id);
  out.u16(kResponse | kRecursionAvailable | static_cast<unsigned>(rcode));
  for (int count = 0; count < 4; ++count) out.u16(0);
  return out.take();
}

}  // namespace culvert::ztunnel::dns
