#include <google/protobuf/descriptor.h>

#include <limits>

#include "common/base/check.h"
#include "common/config/format.h"
#include "controlplane/crd/crd.h"
#include "proto/culvert/schema.pb.h"

namespace culvert::crd {
namespace {

namespace json = boost::json;
using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::OneofDescriptor;

json::object rule(std::string_view text, std::string_view message) { return {{"rule", text}, {"message", message}}; }

json::array& rules_in(json::object& schema) {
  json::value& rules = schema["x-kubernetes-validations"];
  if (!rules.is_array()) rules = json::array{};
  return rules.as_array();
}

// As CEL spells a field: some names are words of its own.
std::string selected(const std::string& name) {
  return "self." + (name == "namespace" || name == "in" || name == "true" || name == "false" ? "__" + name + "__" : name);
}
std::string has(const std::string& name) { return "has(" + selected(name) + ")"; }

// --- values ------------------------------------------------------------------------------------------------------

void add_number(json::object& schema, const culvert::Value& rules, double least, double most) {
  if (rules.port()) least = 1, most = 65535;
  if (rules.has_min()) least = rules.min();
  if (rules.has_max()) most = rules.max();
  const auto put = [&](std::string_view name, double bound) {
    if (std::abs(bound) == std::numeric_limits<double>::infinity()) return;
    if (bound == static_cast<double>(static_cast<std::int64_t>(bound))) schema[name] = static_cast<std::int64_t>(bound);
    else schema[name] = bound;
  };
  put("minimum", least);
  put("maximum", most);
  json::array allowed;
  for (const std::string& word : rules.one_of()) allowed.push_back(std::stoi(word));
  if (!allowed.empty()) schema["enum"] = std::move(allowed);
}

void add_text(json::object& schema, const culvert::Value& rules) {
  schema["type"] = "string";
  if (rules.min_len() > 0) schema["minLength"] = rules.min_len();
  if (rules.max_len() > 0) schema["maxLength"] = rules.max_len();
  if (const auto* format = config::row_of(rules.format())) schema["pattern"] = format->pattern;
  if (rules.one_of_size() > 0) schema["enum"] = json::array(rules.one_of().begin(), rules.one_of().end());
}

json::object scalar(const FieldDescriptor& field, const culvert::Value& rules) {
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  json::object schema;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL: schema["type"] = "boolean"; break;
    case FieldDescriptor::CPPTYPE_INT32:
      schema = {{"type", "integer"}, {"format", "int32"}};
      add_number(schema, rules, -kInfinite, kInfinite);
      break;
    case FieldDescriptor::CPPTYPE_UINT32:
      schema["type"] = "integer";
      add_number(schema, rules, 0, std::numeric_limits<std::uint32_t>::max());
      break;
    case FieldDescriptor::CPPTYPE_INT64:
    case FieldDescriptor::CPPTYPE_UINT64: schema["x-kubernetes-int-or-string"] = true; break;
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_DOUBLE:
      schema["type"] = "number";
      add_number(schema, rules, -kInfinite, kInfinite);
      break;
    case FieldDescriptor::CPPTYPE_ENUM: {
      json::array names;
      for (int i = 0; i < field.enum_type()->value_count(); ++i)
        names.push_back(json::string(field.enum_type()->value(i)->name()));
      schema = {{"type", "string"}, {"enum", std::move(names)}};
      break;
    }
    case FieldDescriptor::CPPTYPE_STRING:
      if (field.type() == FieldDescriptor::TYPE_BYTES) schema = {{"type", "string"}, {"format", "byte"}};
      else add_text(schema, rules);
      break;
    case FieldDescriptor::CPPTYPE_MESSAGE: CULVERT_CHECK(false);
  }
  return schema;
}

// A pattern costs nothing, wherever it stands; that a duration is long enough only CEL can say.
json::object duration(const culvert::Value& rules) {
  json::object schema{{"type", "string"}, {"maxLength", 64}};
  if (rules.any_duration()) {
    schema["pattern"] = "^(0$|([0-9]+(\\.[0-9]*)?|\\.[0-9]+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h))+$";
  } else {
    rules_in(schema).push_back(rule("duration(self) >= duration('1ms')", "must be a duration of at least 1ms"));
  }
  return schema;
}

json::object value(const FieldDescriptor& field, const culvert::Value& rules, const Comments& comments, bool bounded) {
  const Descriptor* message = field.message_type();
  if (message == nullptr) return scalar(field, rules);
  switch (message->well_known_type()) {
    case Descriptor::WELLKNOWNTYPE_UNSPECIFIED:
    case Descriptor::WELLKNOWNTYPE_ANY:
    case Descriptor::WELLKNOWNTYPE_FIELDMASK: return schema_of(*message, comments, bounded);
    case Descriptor::WELLKNOWNTYPE_DURATION: return duration(rules);
    case Descriptor::WELLKNOWNTYPE_TIMESTAMP: return {{"type", "string"}, {"format", "date-time"}};
    case Descriptor::WELLKNOWNTYPE_STRUCT: return {{"type", "object"}, {"x-kubernetes-preserve-unknown-fields", true}};
    case Descriptor::WELLKNOWNTYPE_VALUE: return {{"x-kubernetes-preserve-unknown-fields", true}};
    case Descriptor::WELLKNOWNTYPE_LISTVALUE:
      return {{"type", "array"}, {"items", json::object{{"x-kubernetes-preserve-unknown-fields", true}}}};
    default: return scalar(*message->FindFieldByName("value"), rules);
  }
}

// --- fields ------------------------------------------------------------------------------------------------------

json::object map(const FieldDescriptor& field, const culvert::Value& rules, const Comments& comments) {
  json::object schema{{"type", "object"}};
  if (rules.min_items() > 0) schema["minProperties"] = rules.min_items();
  if (rules.max_items() > 0) schema["maxProperties"] = rules.max_items();
  if (rules.max_key() > 0) {
    rules_in(schema).push_back(rule("self.all(key, 0 < int(key) && int(key) <= " + std::to_string(rules.max_key()) + ")",
                                    "each name must be a number from 1 to " + std::to_string(rules.max_key())));
  }
  if (const auto* format = config::row_of(rules.key_format())) {
    rules_in(schema).push_back(
        rule("self.all(key, key.matches(r'" + std::string(format->pattern) + "'))", "a name " + std::string(format->is_not)));
  }
  schema["additionalProperties"] = value(*field.message_type()->map_value(), rules, comments, false);
  return schema;
}

json::object list(const FieldDescriptor& field, const culvert::Value& rules, const Comments& comments) {
  json::object schema{{"type", "array"}};
  if (rules.min_items() > 0) schema["minItems"] = rules.min_items();
  if (rules.max_items() > 0) schema["maxItems"] = rules.max_items();
  if (!rules.unique_by().empty()) {
    const FieldDescriptor* key = field.message_type()->FindFieldByName(rules.unique_by());
    CULVERT_CHECK(key != nullptr);
    schema["x-kubernetes-list-type"] = "map";
    schema["x-kubernetes-list-map-keys"] = json::array{json::string(key->json_name())};
  }
  schema["items"] = value(field, rules, comments, false);
  return schema;
}

json::object property(const FieldDescriptor& field, const Comments& comments, bool bounded) {
  const culvert::Value& rules = field.options().GetExtension(culvert::value);
  json::object schema = field.is_map()        ? map(field, rules, comments)
                        : field.is_repeated() ? list(field, rules, comments)
                                              : value(field, rules, comments, bounded);
  if (const auto said = comments.find(field.full_name()); said != comments.end()) schema["description"] = said->second;
  if (!rules.default_value().empty()) schema["default"] = json::parse(rules.default_value());
  for (const culvert::Cel& cel : rules.cel()) rules_in(schema).push_back(rule(cel.rule(), cel.message()));
  if (rules.immutable()) rules_in(schema).push_back(rule("self == oldSelf", "cannot be changed"));
  return schema;
}

// --- what fields have to do with one another -----------------------------------------------------------------------

using Names = std::vector<std::string>;

json::object required(const Names& names) { return {{"required", json::array(names.begin(), names.end())}}; }

json::array each(const Names& names) {
  json::array out;
  for (const std::string& name : names) out.push_back(required({name}));
  return out;
}

// "write only one of a, b and c"
std::string sentence(std::string_view begin, const Names& names) {
  std::string out(begin);
  for (std::size_t i = 0; i < names.size(); ++i) out += (i == 0 ? "" : i + 1 == names.size() ? " and " : ", ") + names[i];
  return out;
}

// Says how many of `names` may be there. In CEL, with a message, where that costs little; else with what OpenAPI has.
class Counts {
 public:
  Counts(json::object& schema, bool bounded) : schema_(schema), bounded_(bounded) {}

  void at_most_one(const Names& names) {
    if (bounded_) return cel(names, "<= 1", sentence("write only one of ", names));
    json::array pairs;
    for (std::size_t i = 0; i < names.size(); ++i) {
      for (std::size_t k = i + 1; k < names.size(); ++k) pairs.push_back(required({names[i], names[k]}));
    }
    if (!pairs.empty()) all().push_back(json::object{{"not", json::object{{"anyOf", std::move(pairs)}}}});
  }
  void exactly_one(const Names& names) {
    if (bounded_) return cel(names, "== 1", sentence("write one of ", names));
    all().push_back(json::object{{"oneOf", each(names)}});
  }
  void at_least_one(const Names& names) {
    if (bounded_) return cel(names, ">= 1", sentence("write at least one of ", names));
    all().push_back(json::object{{"anyOf", each(names)}});
  }

 private:
  json::array& all() {
    json::value& all = schema_["allOf"];
    if (!all.is_array()) all = json::array{};
    return all.as_array();
  }
  void cel(const Names& names, std::string_view how_many, const std::string& message) {
    std::string text;
    for (const std::string& name : names) text += (text.empty() ? "(" : " + (") + has(name) + " ? 1 : 0)";
    rules_in(schema_).push_back(rule(text + " " + std::string(how_many), message));
  }

  json::object& schema_;
  bool bounded_;
};

void add_relations(json::object& schema, const Descriptor& type, bool bounded) {
  const culvert::Object& object = type.options().GetExtension(culvert::object);
  const auto names = [&](const auto& fields) {
    Names out;
    for (const std::string& name : fields) out.push_back(type.FindFieldByName(name)->json_name());
    return out;
  };
  Counts counts(schema, bounded);
  for (int i = 0; i < type.real_oneof_decl_count(); ++i) {
    const OneofDescriptor& one = *type.oneof_decl(i);
    Names fields;
    for (int k = 0; k < one.field_count(); ++k) fields.push_back(one.field(k)->json_name());
    if (one.options().GetExtension(culvert::one)) counts.exactly_one(fields);
    else if (fields.size() > 1) counts.at_most_one(fields);
  }
  for (const culvert::Group& group : object.at_most_one()) counts.at_most_one(names(group.fields()));
  for (const culvert::Group& group : object.exactly_one()) counts.exactly_one(names(group.fields()));
  for (const culvert::Group& group : object.at_least_one()) counts.at_least_one(names(group.fields()));
  for (const culvert::Union::Case& one : object.tagged().cases()) {
    const std::string tag = type.FindFieldByName(object.tagged().field())->json_name();
    const std::string field = type.FindFieldByName(one.field())->json_name();
    rules_in(schema).push_back(rule("(" + selected(tag) + " == '" + one.word() + "') == " + has(field),
                                    field + " must be there when " + tag + " is " + one.word() + ", and only then"));
  }
  for (const culvert::Cel& cel : object.cel()) rules_in(schema).push_back(rule(cel.rule(), cel.message()));
}

}  // namespace

json::object schema_of(const Descriptor& message, const Comments& comments, bool bounded) {
  json::object schema{{"type", "object"}};
  if (const auto said = comments.find(message.full_name()); said != comments.end()) schema["description"] = said->second;
  json::object properties;
  json::array needed;
  for (int i = 0; i < message.field_count(); ++i) {
    const FieldDescriptor& field = *message.field(i);
    properties[field.json_name()] = property(field, comments, bounded);
    if (field.options().GetExtension(culvert::value).both_names()) properties[field.name()] = properties[field.json_name()];
    if (field.options().GetExtension(culvert::value).required()) needed.push_back(json::string(field.json_name()));
  }
  if (!properties.empty()) schema["properties"] = std::move(properties);
  if (!needed.empty()) schema["required"] = std::move(needed);
  add_relations(schema, message, bounded);
  return schema;
}

}  // namespace culvert::crd
