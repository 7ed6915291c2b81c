// Single values: their types, their ranges and the forms of strings.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "common/base/utf8.h"
#include "common/config/format.h"
#include "common/config/message.h"
#include "proto/culvert/schema.pb.h"

namespace culvert::config {
namespace {

using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// Reads one scalar, and sets or adds it.
class ScalarReader {
 public:
  ScalarReader(Report& report, const Tree& tree, const std::string& path, const culvert::Value& rules, Message& message,
               const FieldDescriptor& field)
      : report_(report), tree_(tree), path_(path), rules_(rules), message_(message), field_(field) {}

  bool read() {
    switch (field_.cpp_type()) {
      case FieldDescriptor::CPPTYPE_BOOL: return boolean();
      case FieldDescriptor::CPPTYPE_INT32: return number<std::int32_t>(&Reflection::SetInt32, &Reflection::AddInt32);
      case FieldDescriptor::CPPTYPE_UINT32: return number<std::uint32_t>(&Reflection::SetUInt32, &Reflection::AddUInt32);
      case FieldDescriptor::CPPTYPE_INT64: return number<std::int64_t>(&Reflection::SetInt64, &Reflection::AddInt64);
      case FieldDescriptor::CPPTYPE_UINT64: return number<std::uint64_t>(&Reflection::SetUInt64, &Reflection::AddUInt64);
      case FieldDescriptor::CPPTYPE_FLOAT:
      case FieldDescriptor::CPPTYPE_DOUBLE: return floating();
      case FieldDescriptor::CPPTYPE_ENUM: return enumeration();
      case FieldDescriptor::CPPTYPE_STRING: return field_.type() == FieldDescriptor::TYPE_BYTES ? bytes() : text();
      case FieldDescriptor::CPPTYPE_MESSAGE: return false;
    }
    return false;
  }

 private:
  template <class T>
  using Put = void (Reflection::*)(Message*, const FieldDescriptor*, T) const;

  template <class T>
  bool put(std::type_identity_t<T> value, Put<T> set, Put<T> add) {
    (message_.GetReflection()->*(field_.is_repeated() ? add : set))(&message_, &field_, value);
    return true;
  }

  bool wrong(std::string what, std::string hint = "") {
    report_.wrong(tree_.line, path_, std::move(what), std::move(hint));
    return false;
  }

  bool boolean() {
    if (!check_type(report_, tree_, Tree::Type::kBool, path_)) return false;
    return put<bool>(tree_.text[0] == 't' || tree_.text[0] == 'T', &Reflection::SetBool, &Reflection::AddBool);
  }

  template <class T>
  bool number(Put<T> set, Put<T> add) {
    const bool wide = sizeof(T) == 8;
    if (!(wide && tree_.type == Tree::Type::kString) && !check_type(report_, tree_, Tree::Type::kInt, path_)) return false;
    if (rules_.one_of_size() > 0 && !std::ranges::contains(rules_.one_of(), tree_.text))
      return wrong("unknown value " + tree_.text.substr(0, 40), one_of({rules_.one_of().begin(), rules_.one_of().end()}));
    T least = std::numeric_limits<T>::min(), most = std::numeric_limits<T>::max();
    if (rules_.has_min()) least = static_cast<T>(rules_.min());
    if (rules_.has_max()) most = static_cast<T>(rules_.max());
    if (rules_.port()) least = 1, most = static_cast<T>(65535);
    const std::optional<T> value = parse<T>();
    if (value && *value >= least && *value <= most) return put<T>(*value, set, add);
    return wrong(quote_number() + (value || tree_.type == Tree::Type::kInt ? " is out of range" : " is not a number"),
                 "write " + std::to_string(least) + " to " + std::to_string(most));
  }

  std::string quote_number() const { return tree_.type == Tree::Type::kString ? quote(tree_.text) : tree_.text.substr(0, 40); }

  template <class T>
  std::optional<T> parse() const {
    std::string_view text = tree_.text;
    int base = 10;
    if (tree_.type == Tree::Type::kInt && text.starts_with("0x")) base = 16;
    if (tree_.type == Tree::Type::kInt && text.starts_with("0o")) base = 8;
    if (base != 10) text.remove_prefix(2);
    if (text.starts_with('+')) text.remove_prefix(1);
    T value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
    return value;
  }

  bool floating() {
    if (tree_.type != Tree::Type::kInt && !check_type(report_, tree_, Tree::Type::kFloat, path_)) return false;
    std::string_view text = tree_.text;
    if (text.starts_with('+')) text.remove_prefix(1);
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value))
      return wrong(tree_.text.substr(0, 40) + " is not a number that can be used", "write for example 0.5");
    const auto written = [](double number) {
      char out[32];
      return std::string(out, std::to_chars(out, out + sizeof out, number).ptr);
    };
    if (rules_.has_min() && value < rules_.min())
      return wrong(tree_.text.substr(0, 40) + " is out of range", "at least " + written(rules_.min()));
    if (rules_.has_max() && value > rules_.max())
      return wrong(tree_.text.substr(0, 40) + " is out of range", "at most " + written(rules_.max()));
    if (field_.cpp_type() == FieldDescriptor::CPPTYPE_FLOAT)
      return put<float>(static_cast<float>(value), &Reflection::SetFloat, &Reflection::AddFloat);
    return put<double>(value, &Reflection::SetDouble, &Reflection::AddDouble);
  }

  bool enumeration() {
    if (!check_type(report_, tree_, Tree::Type::kString, path_)) return false;
    const EnumDescriptor& type = *field_.enum_type();
    const google::protobuf::EnumValueDescriptor* value = type.FindValueByName(tree_.text);
    if (value != nullptr) return put<int>(value->number(), &Reflection::SetEnumValue, &Reflection::AddEnumValue);
    std::vector<std::string_view> names;
    for (int i = 0; i < type.value_count(); ++i) names.push_back(type.value(i)->name());
    return wrong("unknown value " + quote(tree_.text), one_of(names));
  }

  bool text() {
    if (!check_type(report_, tree_, Tree::Type::kString, path_) || !fits()) return false;
    if (field_.is_repeated()) {
      message_.GetReflection()->AddString(&message_, &field_, tree_.text);
    } else {
      message_.GetReflection()->SetString(&message_, &field_, tree_.text);
    }
    return true;
  }

  bool fits() {
    const std::string& text = tree_.text;
    if (rules_.one_of_size() > 0 && !std::ranges::contains(rules_.one_of(), text))
      return wrong("unknown value " + quote(text), one_of({rules_.one_of().begin(), rules_.one_of().end()}));
    const std::size_t size = characters(text);
    if (size < rules_.min_len()) {
      return text.empty() ? wrong("is empty", "write a value, or remove it")
                          : wrong("is too short", "at least " + std::to_string(rules_.min_len()) + " characters");
    }
    if (rules_.max_len() > 0 && size > rules_.max_len())
      return wrong("has " + std::to_string(size) + " characters", "at most " + std::to_string(rules_.max_len()));
    const FormatRow* format = row_of(rules_.format());
    return format == nullptr || format->holds(text) ||
           wrong(quote(text) + " " + std::string(format->is_not), std::string(format->hint));
  }

  static std::size_t characters(std::string_view text) {
    return static_cast<std::size_t>(
        std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
  }

  // RFC 4648, either alphabet, padded or not: as protobuf reads it.
  bool bytes() {
    if (!check_type(report_, tree_, Tree::Type::kString, path_)) return false;
    std::string_view text = tree_.text;
    while (text.ends_with('=')) text.remove_suffix(1);
    std::string out;
    std::uint32_t held = 0;
    int bits = 0;
    for (const char c : text) {
      const int six = c >= 'A' && c <= 'Z'   ? c - 'A'
                      : c >= 'a' && c <= 'z' ? c - 'a' + 26
                      : c >= '0' && c <= '9' ? c - '0' + 52
                      : c == '+' || c == '-' ? 62
                      : c == '/' || c == '_' ? 63
                                             : -1;
      if (six < 0) return wrong("is not base64");
      held = (held << 6 | static_cast<std::uint32_t>(six)) & 0xFFFFFF;
      bits += 6;
      if (bits >= 8) out += static_cast<char>(held >> (bits -= 8) & 0xFF);
    }
    if (text.size() % 4 == 1 || tree_.text.size() - text.size() > 2) return wrong("is not base64");
    if (field_.is_repeated()) {
      message_.GetReflection()->AddString(&message_, &field_, std::move(out));
    } else {
      message_.GetReflection()->SetString(&message_, &field_, std::move(out));
    }
    return true;
  }

  Report& report_;
  const Tree& tree_;
  const std::string& path_;
  const culvert::Value& rules_;
  Message& message_;
  const FieldDescriptor& field_;
};

}  // namespace

bool read_scalar(Report& report, const Tree& tree, const std::string& path, const culvert::Value& rules, Message& message,
                 const FieldDescriptor& field) {
  return ScalarReader(report, tree, path, rules, message, field).read();
}

}  // namespace culvert::config
