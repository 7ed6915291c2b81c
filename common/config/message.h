#pragma once
// A Tree becomes a protobuf message, by the rules of protobuf's JSON mapping and those that the options of proto/culvert/schema.proto add. Knows
// no kind: descriptors say it all. Private to common/config.
//
// Stricter than protobuf's own: unknown fields, a field without a value, both spellings of a field at once, numbers in strings (but for 64 bits)
// and enums by number are mistakes. Laxer in one thing, as Istio is: a duration may be written as Go has it ("1h30m", "500ms").
// Every mistake is in the report with its line and path; after one the message is of no use. Rules in CEL are checked when
// the object has been read (rules.h).

#include <string>
#include <string_view>

#include "common/config/read.h"
#include "common/config/tree.h"

namespace google::protobuf {
class Descriptor;
class FieldDescriptor;
class Message;
}  // namespace google::protobuf
namespace culvert {
class Value;
}

namespace culvert::config {

void read_message(Report& report, const Tree& tree, const std::string& path, google::protobuf::Message& message);

// The field that the document calls by its JSON name or by the proto's; null when there is none.
const google::protobuf::FieldDescriptor* field_called(const google::protobuf::Descriptor& type, std::string_view name);

// --- parts of it -------------------------------------------------------------------------------------------------

// One value, as the field (or its wrapper's field) is typed; set, or added to a list. False when it was refused.
bool read_scalar(Report& report, const Tree& tree, const std::string& path, const culvert::Value& rules,
                 google::protobuf::Message& message, const google::protobuf::FieldDescriptor& field);

// Messages that have a JSON form of their own: Duration, Timestamp, Struct, Value, ListValue and the wrappers. False when `message` is none.
bool read_well_known(Report& report, const Tree& tree, const std::string& path, const culvert::Value& rules,
                     google::protobuf::Message& message);

}  // namespace culvert::config
