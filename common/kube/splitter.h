#pragma once
// Cuts what the API server sends into the texts of single objects while it arrives: no list is ever held as a whole. Sans-I/O.
//
//   {"kind":"ServiceList","metadata":{...},"items":[{...},{...}]}   member kind, member metadata, item, item, end
//   {"type":"ADDED","object":{...}}                                 member type, member object, end; then the next event
//
// Holds one value at a time, up to Limits::value. A value that is longer, or nested deeper, costs no more than that: it is read over,
// and handed on as refused with its beginning, from which its name may be seen. What comes inside a value is matched for brackets and
// strings only: whoever uses it parses it (object.h). A text that is broken outside of values fails for good.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/base/secrets.h"

namespace culvert::kube {

class Splitter {
 public:
  struct Limits {
    std::size_t value = 4 * 1024 * 1024;  // bytes; the API server takes 3 MiB, etcd 1.5
    std::size_t depth = 100;
  };

  // Good during the call.
  struct Piece {
    enum class Kind : std::uint8_t {
      kMember,  // of the outermost object, except the array of items
      kItem,    // of that array
      kEnd,     // of the outermost object
    };
    using enum Kind;
    Kind kind = kEnd;
    std::string_view name;     // of the member, as written
    std::string_view text;     // its value
    std::string_view refused;  // why `text` is only the beginning; else empty
  };
  using Hand = std::function<void(const Piece&)>;

  // `items`: the member whose array is cut into its elements; none when empty.
  explicit Splitter(std::string_view items, Limits limits);
  explicit Splitter(std::string_view items = "items") : Splitter(items, Limits()) {}

  static constexpr std::size_t kBeginning = 64 * 1024;  // of a refused value: a shorter one is kept whole

  // Takes all of the bytes. After a failure, for good.
  Status feed(std::string_view bytes, const Hand& hand);
  // Nothing is half read: the text may end here.
  bool between() const { return state_ == State::kTop; }

  // The member that is being read, and what is here of it: what can be seen of a text that was cut off, or is broken there.
  std::string_view unfinished_name() const { return value_.empty() ? std::string_view() : std::string_view(name_); }
  std::string_view unfinished_text() const { return value_; }

 private:
  enum class State : std::uint8_t {
    kTop,        // before the outermost object
    kFirstName,  // behind its {
    kName,       // behind a comma
    kInName,
    kColon,
    kValue,
    kInValue,
    kAfterValue,
    kFirstItem,  // behind the [ of the items
    kItem,
    kInItem,
    kAfterItem,
    kBroken,
  };

  Status step(char c, const Hand& hand);  // a byte outside of values
  Status begin_value(char c);
  bool begin_of_items(char c) const { return c == '[' && !items_.empty() && name_ == items_; }
  std::size_t scan(std::string_view bytes, bool& ended);
  bool scan_structure(char c);
  void keep(std::string_view bytes);
  void end_value(const Hand& hand);
  Status broken(std::string_view wanted, char c);

  std::string items_;
  Limits limits_;
  State state_ = State::kTop;
  std::string name_;
  SecretString value_;  // it may be of a Secret
  std::string_view refused_;

  // Inside of a value.
  std::string closers_;    // of the brackets that are open, up to the limit of depth
  std::size_t depth_ = 0;  // of them all
  bool in_string_ = false;
  bool escaped_ = false;
  bool mismatched_ = false;
};

}  // namespace culvert::kube
