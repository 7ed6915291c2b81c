#pragma once
// A value of a document as a rule in CEL sees it: with what the API server fills in, and with what a proto loses, whether a field is there at all.
// Fields go by their JSON names. Private to common/config.

#include <cstddef>
#include <cstdint>
#include <ranges>
#include <string>
#include <string_view>

#include "common/config/tree.h"

namespace google::protobuf {
class Descriptor;
}

namespace culvert::config {

// Refers to the document and the descriptors; both must live longer. Anything may be asked of any value: of what is not there, or is of another
// type, the answer is nothing. A field that the type does not have is a bug and aborts.
class Written {
 public:
  // `type` is that of the message, or of a list's items; null for what is no message.
  Written(const Tree& tree, const google::protobuf::Descriptor* type) : tree_(&tree), type_(type) {}

  bool has(std::string_view field) const;                   // written, even if it is empty, or filled in
  std::string text(std::string_view field) const;           // a scalar as written, or as filled in
  std::int64_t number(std::string_view field) const;        // the same; 0 for nothing
  Written at(std::string_view field) const;                 // as written
  const std::string& text() const { return tree_->text; }   // of a scalar
  std::size_t size() const { return tree_->items.size(); }  // of a list or a map
  int line() const { return tree_->line; }
  // Of a list.
  auto items() const {
    return tree_->items | std::views::transform([type = type_](const Tree& item) { return Written(item, type); });
  }

 private:
  const Tree* tree_;
  const google::protobuf::Descriptor* type_;
};

}  // namespace culvert::config
