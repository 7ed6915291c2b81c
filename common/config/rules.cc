#include "common/config/rules.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <ranges>

#include "common/base/check.h"
#include "common/config/message.h"
#include "proto/culvert/schema.pb.h"

namespace culvert::config {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using Rules = google::protobuf::RepeatedPtrField<culvert::Cel>;

const Check& check_of(const culvert::Cel& rule) {
  const auto found = std::ranges::find(checks(), rule.rule(), &Check::rule);
  CULVERT_CHECK(found != checks().end());
  return *found;
}

// Goes through a document as the descriptors lead it; no deeper than a document may be.
class Judge {
 public:
  explicit Judge(Report& report) : report_(report), before_(report.problems.size()) {}

  void message(const Tree& tree, const std::string& path, const Descriptor& type) {
    if (type.well_known_type() != Descriptor::WELLKNOWNTYPE_UNSPECIFIED) return;  // its fields are not those of the document
    for (const auto& [name, value] : std::views::zip(tree.names, tree.items)) {
      if (const FieldDescriptor* known = field_called(type, name)) field(value, path + "." + name.substr(0, 256), *known);
    }
    judge(type.options().GetExtension(culvert::object).cel(), Written(tree, &type), path);
  }

 private:
  void field(const Tree& tree, const std::string& path, const FieldDescriptor& known) {
    const Descriptor* type = known.is_map() ? known.message_type()->map_value()->message_type() : known.message_type();
    if (type != nullptr && known.is_map()) {
      for (const auto& [name, value] : std::views::zip(tree.names, tree.items))
        message(value, path + "." + name.substr(0, 256), *type);
    } else if (type != nullptr && known.is_repeated()) {
      for (std::size_t i = 0; i < tree.items.size(); ++i) message(tree.items[i], item(path, i), *type);
    } else if (type != nullptr) {
      message(tree, path, *type);
    }
    judge(known.options().GetExtension(culvert::value).cel(), Written(tree, type), path);
  }

  void judge(const Rules& rules, const Written& value, const std::string& path) {
    if (rules.empty() || report_.full() || !is_sound(path)) return;
    for (const culvert::Cel& rule : rules) {
      const Check& check = check_of(rule);
      if (!check.each && !check.holds(value)) report_.wrong(value.line(), path, rule.message());
      for (std::size_t i = 0; check.each && i < value.size(); ++i) {
        if (const Written one = value.items()[i]; !check.holds(one)) report_.wrong(one.line(), item(path, i), rule.message());
      }
    }
  }

  // Nothing was wrong in it before the rules.
  bool is_sound(const std::string& path) const {
    return std::ranges::none_of(report_.problems | std::views::take(before_), [&](const Problem& problem) {
      const std::string_view field = problem.field;
      return field.starts_with(path) && (field.size() == path.size() || field[path.size()] == '.' || field[path.size()] == '[');
    });
  }

  static std::string item(const std::string& path, std::size_t index) { return path + "[" + std::to_string(index) + "]"; }

  Report& report_;
  std::size_t before_;
};

}  // namespace

void check_rules(Report& report, const Tree& tree, const std::string& path, const Descriptor& type) {
  Judge(report).message(tree, path, type);
}

}  // namespace culvert::config
