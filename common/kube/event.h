#pragma once
// What a watch tells about its collection, in this order: objects are put; `Synced` once, when all that there were are through; then
// changes as they come. Plain values.

#include <cstdint>
#include <string>
#include <variant>

#include "common/kube/object.h"

namespace culvert::kube {

// It is there, and looks like this now. After a time without connection also what has not changed is put, `again`.
struct Put {
  std::string json;  // the whole object, well formed, with apiVersion and kind; empty where it is secret
  Key key;
  std::string uid;
  std::string resource_version;
  bool again = false;  // this version was told before
};

// It is not there any more. An object that was deleted and made again under its name is gone first, with its old uid.
struct Gone {
  Key key;
  std::string uid;
};

// Everything that there is has been put: who needs the whole before beginning may begin.
struct Synced {};

// An object that cannot be used: too long, too deep, or no JSON. What was put of it before stays.
struct Skipped {
  Key key;  // as far as it can be seen
  std::string why;
  std::string resource_version{};  // the same
  std::string json{};  // the whole object where it is not too long, well formed but for what is wrong with it; else empty
};

// What is known may be old, and stays in force. Told once for each kind, until all is well again.
struct Trouble {
  enum class Kind : std::uint8_t {
    kUnreachable,  // no connection, or none that lasts
    kRefused,      // 401, 403
    kServer,       // it answers, but not with what was asked for
    kGarbage,      // what it sends is not what it should
  };
  using enum Kind;
  Kind kind = kUnreachable;
  std::string text;
};
struct Recovered {};

// The server has the collection in another version than it had, or in none: then it counts as empty. Not told as long as it is the newest from the start.
struct Served {
  std::string version;
};

using Event = std::variant<Put, Gone, Synced, Skipped, Trouble, Recovered, Served>;

}  // namespace culvert::kube
