#pragma once
// The rules in CEL that protos give to objects (`cel` of proto/culvert/schema.proto). An API server evaluates them, since they stand in the CRDs; here
// each is known by its text and written once more, in C++, so that a document is refused wherever it is read. Private to common/config.

#include <span>
#include <string_view>

#include "common/config/read.h"
#include "common/config/tree.h"
#include "common/config/written.h"

namespace google::protobuf {
class Descriptor;
}

namespace culvert::config {

struct Check {
  std::string_view rule;  // as the proto has it
  // Whether the value obeys. Asked of each item when the rule is `self.all(…)`, so that the problem names the item.
  bool (*holds)(const Written& self);
  bool each = false;
};

// One for each rule.
std::span<const Check> checks();

// Reports where `tree`, which stands at `path` and is of `type`, breaks a rule, with the rule's own message. A value in which something else is
// wrong already is not judged: what its rules take for granted may not hold.
void check_rules(Report& report, const Tree& tree, const std::string& path, const google::protobuf::Descriptor& type);

}  // namespace culvert::config
