#include "cni/json/text.h"

#include <cstdint>
#include <utility>

#include "common/base/format.h"

namespace culvert::json {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

bool is_digit(char c) { return c >= '0' && c <= '9'; }

int hex_of(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Walks over one text. Each function is true when what it is named after stands here, and has been passed.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  std::size_t at() const { return at_; }
  bool at_end() const { return at_ == text_.size(); }
  std::string_view since(std::size_t start) const { return text_.substr(start, at_ - start); }

  void space() {
    while (!at_end() && kSpace.contains(text_[at_])) ++at_;
  }
  bool eat(char c) {
    if (at_end() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool value(int depth) {
    if (at_end() || depth > kMaxDepth) return false;
    switch (text_[at_]) {
      case '{': return object(depth);
      case '[': return array(depth);
      case '"': return string();
      case 't': return word("true");
      case 'f': return word("false");
      case 'n': return word("null");
      default: return number();
    }
  }
  bool string() {
    if (!eat('"')) return false;
    while (!at_end()) {
      const char c = text_[at_++];
      if (c == '"') return true;
      if (static_cast<unsigned char>(c) < 0x20) return false;
      if (c == '\\' && !escape()) return false;
    }
    return false;
  }

 private:
  bool word(std::string_view wanted) {
    if (!text_.substr(at_).starts_with(wanted)) return false;
    at_ += wanted.size();
    return true;
  }
  bool escape() {
    if (at_end()) return false;
    const char c = text_[at_++];
    if (c != 'u') return std::string_view("\"\\/bfnrt").contains(c);
    for (int i = 0; i < 4; ++i) {
      if (at_end() || hex_of(text_[at_++]) < 0) return false;
    }
    return true;
  }
  bool digits() {
    const auto start = at_;
    while (!at_end() && is_digit(text_[at_])) ++at_;
    return at_ > start;
  }
  bool number() {
    eat('-');
    if (!eat('0') && !digits()) return false;
    if (eat('.') && !digits()) return false;
    if (!eat('e') && !eat('E')) return true;
    if (!eat('+')) eat('-');
    return digits();
  }
  bool object(int depth) {
    eat('{');
    space();
    if (eat('}')) return true;
    do {
      space();
      if (!string()) return false;
      space();
      if (!eat(':')) return false;
      space();
      if (!value(depth + 1)) return false;
      space();
    } while (eat(','));
    return eat('}');
  }
  bool array(int depth) {
    eat('[');
    space();
    if (eat(']')) return true;
    do {
      space();
      if (!value(depth + 1)) return false;
      space();
    } while (eat(','));
    return eat(']');
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

void append_utf8(std::string& out, std::uint32_t c) {
  const auto tail = [&](int shift) { out += static_cast<char>(0x80 | ((c >> shift) & 0x3f)); };
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xc0 | (c >> 6));
    tail(0);
  } else if (c < 0x10000) {
    out += static_cast<char>(0xe0 | (c >> 12));
    tail(6);
    tail(0);
  } else {
    out += static_cast<char>(0xf0 | (c >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
}

// Four hexadecimal digits at the front of `text`, which loses them.
std::uint32_t take_hex(std::string_view& text) {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value * 16 + static_cast<std::uint32_t>(hex_of(text[static_cast<std::size_t>(i)]));
  text.remove_prefix(4);
  return value;
}

// After "\u"; a pair of surrogates is one character.
bool take_unicode(std::string_view& text, std::string& out) {
  auto c = take_hex(text);
  if (c >= 0xdc00 && c < 0xe000) return false;
  if (c >= 0xd800 && c < 0xdc00) {
    if (!text.starts_with("\\u")) return false;
    text.remove_prefix(2);
    const auto low = take_hex(text);
    if (low < 0xdc00 || low >= 0xe000) return false;
    c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
  }
  append_utf8(out, c);
  return true;
}

char meaning_of(char escaped) {
  switch (escaped) {
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    default: return escaped;
  }
}

}  // namespace

Status check(std::string_view text) {
  Reader reader(text);
  reader.space();
  if (reader.value(0)) reader.space();
  else return failure(culvert::format("no JSON: byte {} of {} is not what may stand there", reader.at(), text.size()));
  if (!reader.at_end()) return failure(culvert::format("no JSON: something follows at byte {} of {}", reader.at(), text.size()));
  return {};
}

bool is_object(std::string_view value) { return value.starts_with('{'); }
bool is_array(std::string_view value) { return value.starts_with('['); }

std::vector<Member> members(std::string_view object) {
  std::vector<Member> found;
  Reader reader(object);
  reader.space();
  if (!reader.eat('{')) return found;
  do {
    reader.space();
    auto start = reader.at();
    if (!reader.string()) break;
    auto key = text_of(reader.since(start));
    reader.space();
    if (!reader.eat(':')) break;
    reader.space();
    start = reader.at();
    if (!reader.value(0)) break;
    found.push_back({std::move(key), reader.since(start)});
    reader.space();
  } while (reader.eat(','));
  return found;
}

std::vector<std::string_view> elements(std::string_view array) {
  std::vector<std::string_view> found;
  Reader reader(array);
  reader.space();
  if (!reader.eat('[')) return found;
  do {
    reader.space();
    const auto start = reader.at();
    if (!reader.value(0)) break;
    found.push_back(reader.since(start));
    reader.space();
  } while (reader.eat(','));
  return found;
}

std::string_view find(std::string_view object, std::string_view key) {
  std::string_view value;
  for (const auto& member : members(object)) {
    if (member.key == key) value = member.value;
  }
  return value;
}

std::optional<std::string> string_of(std::string_view value) {
  Reader reader(value);
  if (!reader.string() || !reader.at_end()) return std::nullopt;
  value = value.substr(1, value.size() - 2);
  std::string out;
  while (!value.empty()) {
    const char c = value.front();
    value.remove_prefix(1);
    if (c != '\\') {
      out += c;
      continue;
    }
    const char escaped = value.front();
    value.remove_prefix(1);
    if (escaped != 'u') out += meaning_of(escaped);
    else if (!take_unicode(value, out)) return std::nullopt;
  }
  return out;
}

std::string text_of(std::string_view value) { return string_of(value).value_or(""); }

std::vector<std::string> strings_of(std::string_view array) {
  std::vector<std::string> texts;
  for (const auto element : elements(array)) {
    if (auto text = string_of(element)) texts.push_back(*std::move(text));
  }
  return texts;
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') (out += '\\') += c;
    else if (c == '\n') out += "\\n";
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) out += culvert::format("\\u{:04x}", static_cast<unsigned>(c));
    else out += c;
  }
  return out += '"';
}

std::string quoted(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (const auto& text : texts) (out += out.size() > 1 ? "," : "") += json::quoted(std::string_view(text));
  return out += ']';
}

}  // namespace culvert::json
