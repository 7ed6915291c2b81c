#include "common/config/message.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <map>
#include <set>

#include "common/base/check.h"
#include "common/config/spelling.h"
#include "proto/culvert/schema.pb.h"

namespace culvert::config {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::OneofDescriptor;

const culvert::Value& rules_of(const FieldDescriptor& field) { return field.options().GetExtension(culvert::value); }

// As the user writes it. Options name fields as the proto does.
const std::string& json_name(const Descriptor& type, const std::string& field) {
  const FieldDescriptor* found = type.FindFieldByName(field);
  CULVERT_CHECK(found != nullptr);
  return found->json_name();
}

std::string words(const Descriptor& type, const culvert::Group& group, std::string_view last) {
  std::string out;
  for (int i = 0; i < group.fields_size(); ++i) {
    if (i > 0) out += i + 1 == group.fields_size() ? last : ", ";
    out += json_name(type, group.fields(i));
  }
  return out;
}

// Reads one map of the document into one message.
class MessageReader {
 public:
  MessageReader(Report& report, const Tree& tree, const std::string& path, Message& message)
      : report_(report), tree_(tree), path_(path), message_(message), type_(*message.GetDescriptor()) {}

  void read() {
    if (!check_type(report_, tree_, Tree::Type::kMap, path_)) return;
    for (std::size_t i = 0; i < tree_.items.size() && !report_.full(); ++i) read_field(tree_.names[i], tree_.items[i]);
    for (int i = 0; i < type_.field_count(); ++i) complete(*type_.field(i));
    check_groups();
  }

 private:
  std::string path_of(std::string_view name) const {
    return (path_.empty() ? "" : path_ + ".") + std::string(name.substr(0, 256));
  }

  void read_field(const std::string& name, const Tree& value) {
    const FieldDescriptor* field = field_called(type_, name);
    if (field == nullptr) return unknown(name, value);
    if (const auto [before, fresh] = seen_.emplace(field, name); !fresh) {
      return report_.wrong(value.line, path_of(name), "is also there as " + before->second, "write it once");
    }
    const bool may_be_null = field->message_type() != nullptr && field->message_type()->full_name() == "google.protobuf.Value";
    if (value.type == Tree::Type::kNull && !may_be_null) {
      return report_.wrong(value.line, path_of(name), "has no value", "write one, or remove the field");
    }
    if (const OneofDescriptor* one = field->real_containing_oneof()) {
      if (const auto [other, fresh] = ones_.emplace(one, name); !fresh) {
        return report_.wrong(value.line, path_of(name), "stands beside " + other->second, "write one of the two");
      }
    }
    read_value(*field, value, path_of(name));
  }

  void unknown(const std::string& name, const Tree& value) {
    std::vector<std::string_view> known;
    for (int i = 0; i < type_.field_count(); ++i) known.push_back(type_.field(i)->json_name());
    std::string hint = did_you_mean(name, known);
    if (hint.empty()) hint = elsewhere(name);
    report_.wrong(value.line, path_of(name), "unknown field", std::move(hint));
  }

  // Right field, wrong place: the message beside this one that has it, when there is exactly one.
  std::string elsewhere(const std::string& name) const {
    const Descriptor* owner = nullptr;
    for (int i = 0; i < type_.file()->message_type_count(); ++i) {
      const Descriptor* other = type_.file()->message_type(i);
      for (int k = 0; k < other->field_count(); ++k) {
        if (other->field(k)->json_name() != name) continue;
        if (owner != nullptr) return "";
        owner = other;
      }
    }
    return owner == nullptr ? "" : "it is a field of " + owner->name();
  }

  void read_value(const FieldDescriptor& field, const Tree& value, const std::string& path) {
    const culvert::Value& rules = rules_of(field);
    if (field.is_map()) return read_map(field, rules, value, path);
    if (field.is_repeated()) return read_list(field, rules, value, path);
    read_one(field, rules, value, path);
  }

  void read_one(const FieldDescriptor& field, const culvert::Value& rules, const Tree& value, const std::string& path) {
    if (field.message_type() == nullptr) {
      read_scalar(report_, value, path, rules, message_, field);
      return;
    }
    const google::protobuf::Reflection& reflection = *message_.GetReflection();
    Message& inner =
        *(field.is_repeated() ? reflection.AddMessage(&message_, &field) : reflection.MutableMessage(&message_, &field));
    if (!read_well_known(report_, value, path, rules, inner)) read_message(report_, value, path, inner);
  }

  void read_list(const FieldDescriptor& field, const culvert::Value& rules, const Tree& list, const std::string& path) {
    if (!check_type(report_, list, Tree::Type::kList, path)) return;
    check_size(rules, list, path);
    for (std::size_t i = 0; i < list.items.size() && !report_.full(); ++i) {
      const std::string at = path + "[" + std::to_string(i) + "]";
      if (list.items[i].type == Tree::Type::kNull) {
        report_.wrong(list.items[i].line, at, "has no value", "write one, or remove the item");
      } else {
        read_one(field, rules, list.items[i], at);
      }
    }
    if (!rules.unique_by().empty()) check_unique(*field.message_type(), rules.unique_by(), list, path);
  }

  void check_unique(const Descriptor& type, const std::string& by, const Tree& list, const std::string& path) {
    std::map<std::string, std::size_t> first;
    for (std::size_t i = 0; i < list.items.size() && !report_.full(); ++i) {
      const Tree* value = list.items[i].find(json_name(type, by));
      if (value == nullptr) value = list.items[i].find(by);
      if (value == nullptr) continue;
      const auto [before, fresh] = first.emplace(value->text, i);
      if (fresh) continue;
      report_.wrong(value->line, path + "[" + std::to_string(i) + "]." + json_name(type, by),
                    value->text.substr(0, 80) + " is also that of [" + std::to_string(before->second) + "]",
                    "each may be there once");
    }
  }

  void read_map(const FieldDescriptor& field, const culvert::Value& rules, const Tree& map, const std::string& path) {
    if (!check_type(report_, map, Tree::Type::kMap, path)) return;
    check_size(rules, map, path);
    culvert::Value of_key;
    of_key.set_format(rules.key_format());
    if (rules.max_key() > 0) {
      of_key.set_min(1);
      of_key.set_max(rules.max_key());
    }
    const FieldDescriptor& key_field = *field.message_type()->map_key();
    const FieldDescriptor& value_field = *field.message_type()->map_value();
    for (std::size_t i = 0; i < map.items.size() && !report_.full(); ++i) {
      const std::string at = path + "." + map.names[i].substr(0, 256);
      Message& entry = *message_.GetReflection()->AddMessage(&message_, &field);
      const bool text = key_field.cpp_type() == FieldDescriptor::CPPTYPE_STRING;
      const Tree key{.type = text ? Tree::Type::kString : Tree::Type::kInt,
                     .line = map.items[i].line,
                     .text = map.names[i],
                     .items = {},
                     .names = {}};
      read_scalar(report_, key, at, of_key, entry, key_field);
      if (map.items[i].type == Tree::Type::kNull) {
        report_.wrong(map.items[i].line, at, "has no value", "write one, or remove it");
      } else {
        MessageReader(report_, map, path, entry).read_one(value_field, rules, map.items[i], at);
      }
    }
  }

  void check_size(const culvert::Value& rules, const Tree& tree, const std::string& path) {
    const std::size_t size = tree.items.size();
    if (size < rules.min_items()) {
      report_.wrong(tree.line, path, size == 0 ? "is empty" : "has " + std::to_string(size) + " items",
                    "write at least " + (rules.min_items() == 1 ? "one" : std::to_string(rules.min_items())));
    }
    if (rules.max_items() > 0 && size > rules.max_items()) {
      report_.wrong(tree.line, path, "has " + std::to_string(size) + " items", "at most " + std::to_string(rules.max_items()));
    }
  }

  // What is not there: a mistake, or what the API server would fill in.
  void complete(const FieldDescriptor& field) {
    if (seen_.contains(&field)) return;
    const culvert::Value& rules = rules_of(field);
    if (rules.required()) return report_.wrong(tree_.line, path_of(field.json_name()), "is missing");
    if (rules.default_value().empty()) return;
    const Document standard = read_json(rules.default_value());
    CULVERT_CHECK(standard.root.has_value());
    read_value(field, *standard.root, path_of(field.json_name()));
  }

  int count(const culvert::Group& group) const {
    return static_cast<int>(std::ranges::count_if(
        group.fields(), [&](const std::string& name) { return seen_.contains(type_.FindFieldByName(name)); }));
  }

  void check_groups() {
    const culvert::Object& object = type_.options().GetExtension(culvert::object);
    for (const culvert::Group& group : object.at_most_one()) {
      if (count(group) > 1) refuse("has more than one of " + words(type_, group, " and "), "write one of them");
    }
    for (const culvert::Group& group : object.exactly_one()) {
      if (count(group) != 1) refuse("must have one of " + words(type_, group, " and "), "write one of them");
    }
    for (const culvert::Group& group : object.at_least_one()) {
      if (count(group) == 0) refuse("has none of " + words(type_, group, " and "), "write at least one");
    }
    if (object.has_tagged()) check_union(object.tagged());
    for (int i = 0; i < type_.real_oneof_decl_count(); ++i) {
      const OneofDescriptor& one = *type_.oneof_decl(i);
      if (!one.options().GetExtension(culvert::one) || ones_.contains(&one)) continue;
      culvert::Group group;
      for (int k = 0; k < one.field_count(); ++k) group.add_fields(one.field(k)->name());
      refuse("has none of " + words(type_, group, " and "), "write one of them");
    }
  }

  // A field that says which other one is there.
  void check_union(const culvert::Union& tagged) {
    const FieldDescriptor* tag = type_.FindFieldByName(tagged.field());
    if (tag == nullptr || !seen_.contains(tag)) return;
    const Tree& said = *tree_.find(seen_.at(tag));
    for (const culvert::Union::Case& one : tagged.cases()) {
      const FieldDescriptor* field = type_.FindFieldByName(one.field());
      const bool there = seen_.contains(field);
      if (there == (said.text == one.word())) continue;
      report_.wrong(there ? tree_.find(seen_.at(field))->line : tree_.line, path_of(field->json_name()),
                    there ? "has no meaning with " + tag->json_name() + " " + quote(said.text) : "is missing",
                    there ? "" : tag->json_name() + " " + one.word() + " needs it");
    }
  }

  void refuse(std::string what, std::string hint) { report_.wrong(tree_.line, path_, std::move(what), std::move(hint)); }

  Report& report_;
  const Tree& tree_;
  const std::string& path_;
  Message& message_;
  const Descriptor& type_;
  std::map<const FieldDescriptor*, std::string> seen_;  // and as what each is written
  std::map<const OneofDescriptor*, std::string> ones_;
};

}  // namespace

const FieldDescriptor* field_called(const Descriptor& type, std::string_view name) {
  for (int i = 0; i < type.field_count(); ++i) {
    if (type.field(i)->json_name() == name || type.field(i)->name() == name) return type.field(i);
  }
  return nullptr;
}

void read_message(Report& report, const Tree& tree, const std::string& path, Message& message) {
  MessageReader(report, tree, path, message).read();
}

}  // namespace culvert::config
