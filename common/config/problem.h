#pragma once
// What is wrong with an object, told so that its author can mend it: where it stands, which object, which field, what, and what to write.

#include <string>
#include <string_view>

namespace culvert::config {

// A line of a file. Lines count from 1; 0 means the file as a whole.
struct Place {
  std::string file;
  int line = 0;

  std::string text() const;  // "policies.yaml:12"
  friend bool operator==(const Place&, const Place&) = default;
};

struct Problem {
  Place place;
  std::string object;  // "AuthorizationPolicy shop/deny-all"; empty when the document does not say
  std::string field;   // "spec.rules[0].from[1].source.principals"; empty for the object as a whole
  std::string what;    // "unknown field"
  std::string hint;    // "did you mean principals?"; empty when there is nothing to add

  // "policies.yaml:12: AuthorizationPolicy shop/deny-all: spec.action: unknown value \"ALOW\" (write ALLOW, DENY, AUDIT or CUSTOM)"
  std::string text() const;
  friend bool operator==(const Problem&, const Problem&) = default;
};

// A stranger's text for a message: in quotes, cut short, in UTF-8 and without control characters.
std::string quote(std::string_view text);

}  // namespace culvert::config
