#pragma once
// A YAML document as a tree with lines, and a strict way of reading it. Anchors, aliases, tags and duplicate keys are refused; depth is
// bounded. yaml-cpp stays in yaml.cc.

#include <concepts>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/result.h"

namespace culvert::xds::yaml {

struct Node {
  enum class Kind : std::uint8_t { kNull, kScalar, kList, kMap };
  Kind kind = Kind::kNull;
  int line = 0;
  std::string scalar{};
  std::vector<Node> items{};        // of a list; of a map, the values
  std::vector<std::string> keys{};  // of a map
};

// The one document of `text`; an empty one is null.
Result<Node> parse(std::string_view text, std::string_view origin);

// Reads a tree into values and keeps the first thing that is wrong: "ORIGIN:LINE: PATH: what". After that, everything reads as defaults.
class Reader {
 public:
  explicit Reader(std::string_view origin) : origin_(origin) {}
  void fail(const Node& at, std::string_view path, std::string_view what);
  const std::optional<Error>& problem() const { return problem_; }

 private:
  std::string origin_;
  std::optional<Error> problem_;
};

// One map of the tree. Every key that may be there is asked for once; finish() refuses the others.
class Object {
 public:
  Object(Reader& reader, const Node& node, std::string path);

  std::string text(std::string_view key, std::string_view otherwise = {});
  std::string required(std::string_view key);
  bool flag(std::string_view key, bool otherwise = false);
  template <std::unsigned_integral T>
  T number(std::string_view key, T otherwise) {
    return static_cast<T>(number_to(key, std::numeric_limits<T>::max(), otherwise));
  }
  // The position in `names` of the value: its first when the key is missing.
  std::size_t choice(std::string_view key, std::initializer_list<std::string_view> names);

  using Visit = std::function<void(const Node&, const std::string& path)>;
  using VisitPair = std::function<void(const std::string& key, const Node&, const std::string& path)>;
  void each(std::string_view key, const Visit& visit);           // of a list
  void each_pair(std::string_view key, const VisitPair& visit);  // of a map
  void with(std::string_view key, const Visit& visit);           // when it is there and not null
  void finish();

 private:
  const Node* take(std::string_view key);
  std::uint64_t number_to(std::string_view key, std::uint64_t limit, std::uint64_t otherwise);
  std::string path_of(std::string_view key) const;

  Reader& reader_;
  const Node& node_;
  std::string path_;
  std::vector<bool> taken_;
};

// The text of a scalar, the number in one.
std::string scalar(Reader& reader, const Node& node, const std::string& path);
std::uint64_t number(Reader& reader, const Node& node, const std::string& path, std::uint64_t limit);
// Visits the items of a list.
void each_item(Reader& reader, const Node& node, const std::string& path, const Object::Visit& visit);

}  // namespace culvert::xds::yaml
