// The only place that reads JSON. As with YAML (yaml.cc), events make the tree, so that depth and size are bounded while it grows and nothing is
// built that nobody reads.
#include <algorithm>
#include <boost/json/basic_parser_impl.hpp>
#include <limits>
#include <optional>

#include "common/config/parse.h"
#include "common/config/problem.h"
#include "common/config/tree.h"

namespace culvert::config {
namespace {

namespace json = boost::json;

constexpr std::string_view kManagedFields = "managedFields";  // of metadata: the larger half of many objects, and never read

class Handler {
 public:
  static constexpr std::size_t max_object_size = kMaxNodes;
  static constexpr std::size_t max_array_size = kMaxNodes;
  static constexpr std::size_t max_key_size = kMaxFileBytes;
  static constexpr std::size_t max_string_size = kMaxFileBytes;

  Tree take() { return std::move(root_); }
  const std::string& refusal() const { return refusal_; }

  bool on_document_begin(boost::system::error_code&) { return true; }
  bool on_document_end(boost::system::error_code&) { return true; }
  bool on_object_begin(boost::system::error_code& error) { return open(Tree::Type::kMap, error); }
  bool on_array_begin(boost::system::error_code& error) { return open(Tree::Type::kList, error); }
  bool on_object_end(std::size_t, boost::system::error_code& error) { return close(error); }
  bool on_array_end(std::size_t, boost::system::error_code& error) { return close(error); }
  bool on_key_part(std::string_view part, std::size_t, boost::system::error_code&) { return append(part); }
  bool on_key(std::string_view part, std::size_t, boost::system::error_code&) {
    append(part);
    if (skipped_ > 0) return text_.clear(), true;
    stack_.back().names.push_back(std::exchange(text_, {}));
    return true;
  }
  bool on_string_part(std::string_view part, std::size_t, boost::system::error_code&) { return append(part); }
  bool on_string(std::string_view part, std::size_t, boost::system::error_code& error) {
    append(part);
    return scalar(Tree::Type::kString, error);
  }
  bool on_number_part(std::string_view part, boost::system::error_code&) { return append(part); }
  bool on_int64(std::int64_t, std::string_view part, boost::system::error_code& error) {
    return number(Tree::Type::kInt, part, error);
  }
  bool on_uint64(std::uint64_t, std::string_view part, boost::system::error_code& error) {
    return number(Tree::Type::kInt, part, error);
  }
  bool on_double(double, std::string_view part, boost::system::error_code& error) {
    return number(Tree::Type::kFloat, part, error);
  }
  bool on_bool(bool value, boost::system::error_code& error) {
    text_ = value ? "true" : "false";
    return scalar(Tree::Type::kBool, error);
  }
  bool on_null(boost::system::error_code& error) { return scalar(Tree::Type::kNull, error); }
  bool on_comment_part(std::string_view, boost::system::error_code&) { return true; }
  bool on_comment(std::string_view, boost::system::error_code&) { return true; }

 private:
  bool refuse(std::string what, boost::system::error_code& error) {
    refusal_ = std::move(what);
    error = json::error::exception;
    return false;
  }

  bool append(std::string_view part) {
    if (skipped_ == 0) text_.append(part.data(), part.size());
    return true;
  }

  bool number(Tree::Type type, std::string_view part, boost::system::error_code& error) {
    append(part);
    return scalar(type, error);
  }

  bool scalar(Tree::Type type, boost::system::error_code& error) {
    if (skipped_ > 0) return true;
    if (++nodes_ > kMaxNodes) return refuse("too many values in one object", error);
    place({.type = type, .line = 0, .text = std::exchange(text_, {}), .items = {}, .names = {}});
    return true;
  }

  bool open(Tree::Type type, boost::system::error_code& error) {
    if (skipped_ > 0 || unread()) return ++skipped_, true;
    if (stack_.size() >= static_cast<std::size_t>(kMaxDepth)) return refuse("nested too deeply", error);
    if (++nodes_ > kMaxNodes) return refuse("too many values in one object", error);
    stack_.push_back({.type = type, .line = 0, .text = {}, .items = {}, .names = {}});
    return true;
  }

  // Looked for when all are here: annotations may be tens of thousands.
  static std::optional<std::string_view> repeated(const std::vector<std::string>& names) {
    std::vector<std::string_view> sorted(names.begin(), names.end());
    std::ranges::sort(sorted);
    const auto found = std::ranges::adjacent_find(sorted);
    return found == sorted.end() ? std::nullopt : std::optional(*found);
  }

  // The value that begins is one that nobody reads.
  bool unread() const {
    return stack_.size() == 2 && stack_[1].type == Tree::Type::kMap && !stack_[1].names.empty() &&
           stack_[1].names.back() == kManagedFields && !stack_[0].names.empty() && stack_[0].names.back() == "metadata";
  }

  bool close(boost::system::error_code& error) {
    if (skipped_ > 0) {
      if (--skipped_ > 0) return true;
      return scalar(Tree::Type::kNull, error);  // in its place
    }
    if (const auto twice = repeated(stack_.back().names)) return refuse("the field " + quote(*twice) + " is there twice", error);
    Tree done = std::move(stack_.back());
    stack_.pop_back();
    place(std::move(done));
    return true;
  }

  void place(Tree tree) {
    if (stack_.empty()) root_ = std::move(tree);
    else stack_.back().items.push_back(std::move(tree));
  }

  std::vector<Tree> stack_;
  Tree root_;
  std::string text_;         // of the key or the scalar that is being read
  std::size_t skipped_ = 0;  // lists and maps that are open inside of what nobody reads
  std::size_t nodes_ = 0;
  std::string refusal_;
};

}  // namespace

Document read_json(std::string_view text) {
  Document document{.line = 0, .root = {}, .error_line = 0, .error = "", .text = text};
  json::parse_options options;
  options.max_depth = kMaxDepth + 8;  // ours refuses first, with a better word
  options.numbers = json::number_precision::none;
  json::basic_parser<Handler> parser(options);
  boost::system::error_code error;
  const std::size_t read = parser.write_some(false, text.data(), text.size(), error);
  if (error) {
    document.error = parser.handler().refusal().empty() ? "not JSON: " + error.message() : parser.handler().refusal();
  } else if (text.find_first_not_of(" \t\r\n", read) != std::string_view::npos) {
    document.error = "not JSON: more stands behind its end";
  } else {
    document.root = parser.handler().take();
  }
  return document;
}

}  // namespace culvert::config
