#pragma once
// What names a Kubernetes object, read from its JSON text without making a tree of it. Pure.

#include <compare>
#include <initializer_list>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace culvert::kube {

struct Key {
  std::string ns;  // empty for what belongs to the whole cluster
  std::string name;

  std::string text() const { return ns.empty() ? name : ns + "/" + name; }
  friend auto operator<=>(const Key&, const Key&) = default;
};

struct Meta {
  std::string api_version;  // both empty in the items of lists of built-in kinds
  std::string kind;
  Key key;
  std::string uid;
  std::string resource_version;
  std::string next;                 // "continue" of a list: where its next page begins
  bool initial_events_end = false;  // of a bookmark: everything that there was has been sent
};

// As much as can be seen: of a text that is cut off or broken, what comes before that.
Meta meta_of(std::string_view object);

// The text of a member of an object, the way there by names: member_of(object, {"metadata", "generation"}). Empty when there is none.
std::string member_of(std::string_view object, std::initializer_list<std::string_view> names);

// Fails unless the text is one JSON value, well formed and not nested too deeply.
Status check_json(std::string_view text);

// The JSON text of a string (with its quotes) as what it means; empty for everything else.
std::string string_of(std::string_view json);
// As a JSON text, with quotes.
std::string quoted(std::string_view text);

// Whether somebody whose name begins like that has written fields of this object, as its managedFields say ("culvert": a program of ours).
bool is_managed_by(std::string_view object, std::string_view manager);

// A Status object, as the API server explains failures; empty where it does not.
struct Explanation {
  int code = 0;
  std::string reason;   // "Forbidden"
  std::string message;  // for people
  int retry_after = 0;  // seconds
};
Explanation explanation_of(std::string_view status_object);

// An item of a list with the apiVersion and kind that lists leave out; as it is when it has them.
std::string with_kind(std::string_view object, const Meta& meta, std::string_view api_version, std::string_view kind);

}  // namespace culvert::kube
