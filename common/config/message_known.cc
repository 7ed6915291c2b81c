// The messages of protobuf that have a JSON form of their own.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include <charconv>

#include "common/config/message.h"
#include "common/config/time.h"
#include "proto/culvert/schema.pb.h"

namespace culvert::config {
namespace {

using google::protobuf::Message;

constexpr std::string_view kDurationHint = "write for example 1.5s, 500ms or 1h30m";

void read_duration(Report& report, const Tree& tree, const std::string& path, const culvert::Value& rules,
                   google::protobuf::Duration& out) {
  if (!check_type(report, tree, Tree::Type::kString, path)) return;
  const auto value = duration_of(tree.text);
  if (!value) return report.wrong(tree.line, path, quote(tree.text) + " is not a duration", std::string(kDurationHint));
  if (!rules.any_duration() && *value < std::chrono::milliseconds(1))
    return report.wrong(tree.line, path, quote(tree.text) + " is too short", "write 1ms or more");
  if (rules.any_duration() && *value < std::chrono::nanoseconds(0))
    return report.wrong(tree.line, path, quote(tree.text) + " is before the beginning", "write 0s or more");
  out.set_seconds(value->count() / 1'000'000'000);
  out.set_nanos(static_cast<std::int32_t>(value->count() % 1'000'000'000));
}

void read_timestamp(Report& report, const Tree& tree, const std::string& path, google::protobuf::Timestamp& out) {
  if (!check_type(report, tree, Tree::Type::kString, path)) return;
  const auto seconds = seconds_of(tree.text);
  if (!seconds)
    return report.wrong(tree.line, path, quote(tree.text) + " is not a time", "write for example 2026-08-20T10:00:00Z");
  out.set_seconds(*seconds);
}

void fill(const Tree& tree, google::protobuf::Value& out);

void fill(const Tree& tree, google::protobuf::Struct& out) {
  for (std::size_t i = 0; i < tree.items.size(); ++i) fill(tree.items[i], (*out.mutable_fields())[tree.names[i]]);
}

void fill(const Tree& tree, google::protobuf::ListValue& out) {
  for (const Tree& item : tree.items) fill(item, *out.add_values());
}

// Anything goes here; a number that no double holds is kept as it is written.
void fill(const Tree& tree, google::protobuf::Value& out) {
  switch (tree.type) {
    case Tree::Type::kNull: return out.set_null_value(google::protobuf::NULL_VALUE);
    case Tree::Type::kBool: return out.set_bool_value(tree.text[0] == 't' || tree.text[0] == 'T');
    case Tree::Type::kString: return out.set_string_value(tree.text);
    case Tree::Type::kMap: return fill(tree, *out.mutable_struct_value());
    case Tree::Type::kList: return fill(tree, *out.mutable_list_value());
    case Tree::Type::kInt:
    case Tree::Type::kFloat: break;
  }
  std::string_view text = tree.text;
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc{} && end == text.data() + text.size()) return out.set_number_value(value);
  out.set_string_value(tree.text);
}

}  // namespace

bool read_well_known(Report& report, const Tree& tree, const std::string& path, const culvert::Value& rules, Message& message) {
  using google::protobuf::Descriptor;
  const Descriptor& type = *message.GetDescriptor();
  switch (type.well_known_type()) {
    case Descriptor::WELLKNOWNTYPE_DURATION:
      read_duration(report, tree, path, rules, static_cast<google::protobuf::Duration&>(message));
      return true;
    case Descriptor::WELLKNOWNTYPE_TIMESTAMP:
      read_timestamp(report, tree, path, static_cast<google::protobuf::Timestamp&>(message));
      return true;
    case Descriptor::WELLKNOWNTYPE_STRUCT:
      if (check_type(report, tree, Tree::Type::kMap, path)) fill(tree, static_cast<google::protobuf::Struct&>(message));
      return true;
    case Descriptor::WELLKNOWNTYPE_LISTVALUE:
      if (check_type(report, tree, Tree::Type::kList, path)) fill(tree, static_cast<google::protobuf::ListValue&>(message));
      return true;
    case Descriptor::WELLKNOWNTYPE_VALUE: fill(tree, static_cast<google::protobuf::Value&>(message)); return true;
    case Descriptor::WELLKNOWNTYPE_UNSPECIFIED:
    case Descriptor::WELLKNOWNTYPE_ANY:
    case Descriptor::WELLKNOWNTYPE_FIELDMASK: return false;
    default: read_scalar(report, tree, path, rules, message, *type.FindFieldByName("value")); return true;  // wrappers
  }
}

}  // namespace culvert::config
