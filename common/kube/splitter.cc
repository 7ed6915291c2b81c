#include "common/kube/splitter.h"

#include <algorithm>
#include <utility>

#include "common/base/format.h"

namespace culvert::kube {
namespace {

constexpr std::size_t kMaxName = 256;

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }
bool ends_scalar(char c) { return is_space(c) || c == ',' || c == ']' || c == '}'; }
bool begins_scalar(char c) { return (c >= '0' && c <= '9') || c == '-' || c == 't' || c == 'f' || c == 'n'; }

}  // namespace

Splitter::Splitter(std::string_view items, Limits limits) : items_(items), limits_(limits) {}

Status Splitter::feed(std::string_view bytes, const Hand& hand) {
  while (!bytes.empty()) {
    if (state_ == State::kInValue || state_ == State::kInItem) {
      bool ended = false;
      const std::size_t taken = scan(bytes, ended);
      keep(bytes.substr(0, taken));
      if (mismatched_) return broken("the bracket that closes", bytes[taken - 1]);
      if (ended) end_value(hand);
      bytes.remove_prefix(taken);
      continue;
    }
    if (auto done = step(bytes.front(), hand); !done) return done;
    if (state_ == State::kInValue || state_ == State::kInItem) continue;  // the byte is the value's first
    bytes.remove_prefix(1);
  }
  return {};
}

Status Splitter::step(char c, const Hand& hand) {
  if (state_ == State::kInName) {
    if (c == '"' && !escaped_) state_ = State::kColon;
    else name_ += c;
    escaped_ = c == '\\' && !escaped_;
    return name_.size() <= kMaxName ? Status() : broken("a shorter name", c);
  }
  if (is_space(c) && state_ != State::kBroken) return {};
  switch (state_) {
    case State::kTop:
      if (c != '{') return broken("an object", c);
      state_ = State::kFirstName;
      return {};
    case State::kFirstName:
    case State::kName:
      if (c == '}' && state_ == State::kFirstName) break;
      if (c != '"') return broken("a name", c);
      name_.clear();
      state_ = State::kInName;
      return {};
    case State::kColon:
      if (c != ':') return broken("a colon", c);
      state_ = State::kValue;
      return {};
    case State::kValue:
      if (!begin_of_items(c)) return begin_value(c);
      state_ = State::kFirstItem;
      return {};
    case State::kAfterValue:
      if (c == '}') break;
      if (c != ',') return broken("a comma", c);
      state_ = State::kName;
      return {};
    case State::kFirstItem:
    case State::kItem:
      if (c != ']' || state_ == State::kItem) return begin_value(c);
      state_ = State::kAfterValue;
      return {};
    case State::kAfterItem:
      if (c != ',' && c != ']') return broken("a comma", c);
      state_ = c == ',' ? State::kItem : State::kAfterValue;
      return {};
    default: return broken("nothing more", c);
  }
  state_ = State::kTop;
  hand({.kind = Piece::kEnd, .name = {}, .text = {}, .refused = {}});
  return {};
}

Status Splitter::begin_value(char c) {
  if (c != '{' && c != '[' && c != '"' && !begins_scalar(c)) return broken("a value", c);
  state_ = state_ == State::kValue ? State::kInValue : State::kInItem;
  value_.clear();
  closers_.clear();
  refused_ = {};
  depth_ = 0;
  in_string_ = escaped_ = false;
  return {};
}

// How many of the bytes belong to the value.
std::size_t Splitter::scan(std::string_view bytes, bool& ended) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const char c = bytes[i];
    if (in_string_) {
      if (c == '"' && !escaped_) in_string_ = false;
      escaped_ = c == '\\' && !escaped_;
      if (in_string_ || depth_ > 0) continue;
    } else if (depth_ > 0 || (value_.empty() && i == 0 && !begins_scalar(c))) {
      if (!scan_structure(c) && !mismatched_) continue;
    } else {
      if (!ends_scalar(c)) continue;
      ended = true;
      return i;  // the delimiter is not the value's
    }
    ended = !mismatched_;
    return i + 1;
  }
  return bytes.size();
}

// A byte inside of brackets, or the first of a value. True when it closes the value.
bool Splitter::scan_structure(char c) {
  switch (c) {
    case '"': in_string_ = true; return false;
    case '{':
    case '[':
      if (++depth_ <= limits_.depth) closers_ += c == '{' ? '}' : ']';
      else refused_ = "nested too deeply";
      return false;
    case '}':
    case ']':
      if (depth_ <= limits_.depth) {
        mismatched_ = closers_.back() != c;
        closers_.pop_back();
      }
      return --depth_ == 0;
    default: return false;
  }
}

void Splitter::keep(std::string_view bytes) {
  if (refused_.empty() && value_.size() + bytes.size() > limits_.value) refused_ = "too long";
  if (refused_.empty()) {
    value_.append(bytes);
    return;
  }
  const std::size_t most = std::min(kBeginning, limits_.value);
  if (value_.size() < most) value_.append(bytes.substr(0, most - value_.size()));
  else value_.resize(most);
}

void Splitter::end_value(const Hand& hand) {
  const bool item = state_ == State::kInItem;
  state_ = item ? State::kAfterItem : State::kAfterValue;
  hand({.kind = item ? Piece::kItem : Piece::kMember, .name = name_, .text = value_, .refused = refused_});
  wipe(std::as_writable_bytes(std::span(value_)));
  value_.clear();
  if (value_.capacity() > kBeginning) SecretString().swap(value_);  // one large object must not cost memory for ever
}

Status Splitter::broken(std::string_view wanted, char c) {
  state_ = State::kBroken;
  const bool printable = c >= ' ' && c <= '~';
  return failure(
      culvert::format("JSON: expected {}, got {}", wanted,
                      printable ? culvert::format("'{}'", c) : culvert::format("byte {:#04x}", static_cast<unsigned char>(c))));
}

}  // namespace culvert::kube
