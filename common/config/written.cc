#include "common/config/written.h"

#include <google/protobuf/descriptor.h>

#include "common/base/check.h"
#include "common/config/message.h"
#include "common/config/read.h"
#include "proto/culvert/schema.pb.h"

namespace culvert::config {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

const Tree kNothing;

const FieldDescriptor& field_of(const Descriptor* type, std::string_view name) {
  CULVERT_CHECK(type != nullptr);
  const FieldDescriptor* field = field_called(*type, name);
  CULVERT_CHECK(field != nullptr);
  return *field;
}

// By either of its names, as the reader takes it.
const Tree& find_field(const Tree& tree, const FieldDescriptor& field) {
  const Tree* found = tree.find(field.json_name());
  if (found == nullptr) found = tree.find(field.name());
  return found != nullptr ? *found : kNothing;
}

// In JSON; empty when there is none.
const std::string& standard_of(const FieldDescriptor& field) {
  return field.options().GetExtension(culvert::value).default_value();
}

// The scalar itself, or what the API server fills in.
Tree scalar(const Tree& tree, const FieldDescriptor& field) {
  const Tree& found = find_field(tree, field);
  if (found.type != Tree::Type::kNull || standard_of(field).empty()) return found;
  return read_json(standard_of(field)).root.value_or(kNothing);
}

}  // namespace

bool Written::has(std::string_view field) const { return scalar(*tree_, field_of(type_, field)).type != Tree::Type::kNull; }

std::string Written::text(std::string_view field) const { return scalar(*tree_, field_of(type_, field)).text; }

std::int64_t Written::number(std::string_view field) const {
  return integer_of(scalar(*tree_, field_of(type_, field))).value_or(0);
}

Written Written::at(std::string_view field) const {
  const FieldDescriptor& descriptor = field_of(type_, field);
  return {find_field(*tree_, descriptor), descriptor.message_type()};
}

}  // namespace culvert::config
