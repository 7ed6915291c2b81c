#include "common/xds/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <sstream>

#include "common/base/format.h"

namespace culvert::xds::yaml {
namespace {

constexpr std::size_t kMaxDepth = 32;

// Thrown and caught in this file alone: yaml-cpp knows no other way to stop.
struct Refused {
  int line;
  std::string what;
};

// Builds the tree from yaml-cpp's events. The nodes on the way down are in `open`; a map's key waits in `key`.
class Builder final : public YAML::EventHandler {
 public:
  Node root;

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { add(mark, "", anchor, {.kind = Node::Kind::kNull}); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { throw Refused{mark.line + 1, "aliases are not supported"}; }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, const std::string& value) override {
    // Plain scalars have the tag "?", quoted ones "!".
    const bool null = tag == "?" && (value.empty() || value == "~" || value == "null");
    add(mark, tag, anchor, {.kind = null ? Node::Kind::kNull : Node::Kind::kScalar, .scalar = value});
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    enter(add(mark, tag, anchor, {.kind = Node::Kind::kList}));
  }
  void OnSequenceEnd() override { leave(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    enter(add(mark, tag, anchor, {.kind = Node::Kind::kMap}));
  }
  void OnMapEnd() override { leave(); }

 private:
  struct Open {
    Node* node;
    bool awaiting_key = true;
    std::set<std::string> keys{};
  };

  // Adds a node where the next one belongs, or takes it as a key.
  Node* add(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, Node node) {
    node.line = mark.line + 1;
    if (anchor != YAML::NullAnchor) throw Refused{node.line, "anchors are not supported"};
    if (!tag.empty() && tag != "?" && tag != "!") throw Refused{node.line, "tags are not supported"};
    if (open_.empty()) return &(root = std::move(node));
    Open& parent = open_.back();
    if (parent.node->kind == Node::Kind::kMap && parent.awaiting_key) {
      if (node.kind != Node::Kind::kScalar) throw Refused{node.line, "a key must be a text"};
      if (!parent.keys.insert(node.scalar).second) throw Refused{node.line, "key \"" + node.scalar + "\" occurs twice"};
      parent.node->keys.push_back(std::move(node.scalar));
      parent.awaiting_key = false;
      return nullptr;
    }
    parent.awaiting_key = true;
    return &parent.node->items.emplace_back(std::move(node));
  }

  void enter(Node* node) {
    if (open_.size() >= kMaxDepth) throw Refused{node->line, "nested too deeply"};
    open_.push_back({node});
  }
  void leave() { open_.pop_back(); }

  std::vector<Open> open_;
};

std::string shown(std::string_view text) {
  constexpr std::size_t kShown = 80;
  return text.size() <= kShown ? std::string(text) : culvert::format("{}…", text.substr(0, kShown));
}

}  // namespace

Result<Node> parse(std::string_view text, std::string_view origin) {
  const auto at = [&](int line, std::string_view what) {
    return failure(culvert::format("{}:{}: {}", origin, line, shown(what)));
  };
  std::istringstream stream{std::string(text)};
  Builder builder;
  try {
    YAML::Parser parser(stream);
    parser.HandleNextDocument(builder);
    Builder more;
    if (parser.HandleNextDocument(more)) return at(std::max(more.root.line, 1), "a second document, where one is expected");
  } catch (const Refused& refused) {
    return at(refused.line, refused.what);
  } catch (const YAML::Exception& error) {
    return at(error.mark.line + 1, error.msg);
  }
  return std::move(builder.root);
}

void Reader::fail(const Node& at, std::string_view path, std::string_view what) {
  if (problem_) return;
  problem_ = Error{culvert::format("{}:{}: {}{}{}", origin_, at.line, path, path.empty() ? "" : ": ", what)};
}

Object::Object(Reader& reader, const Node& node, std::string path)
    : reader_(reader), node_(node), path_(std::move(path)), taken_(node.keys.size()) {
  if (node.kind != Node::Kind::kMap && node.kind != Node::Kind::kNull) reader_.fail(node, path_, "must be a map");
}

std::string Object::path_of(std::string_view key) const {
  return path_.empty() ? std::string(key) : path_ + "." + std::string(key);
}

const Node* Object::take(std::string_view key) {
  const auto found = std::ranges::find(node_.keys, key);
  if (found == node_.keys.end()) return nullptr;
  const auto index = static_cast<std::size_t>(found - node_.keys.begin());
  taken_[index] = true;
  const Node& value = node_.items[index];
  return value.kind == Node::Kind::kNull ? nullptr : &value;
}

std::string Object::text(std::string_view key, std::string_view otherwise) {
  const Node* value = take(key);
  return value ? yaml::scalar(reader_, *value, path_of(key)) : std::string(otherwise);
}

std::string Object::required(std::string_view key) {
  std::string value = text(key);
  if (value.empty()) reader_.fail(node_, path_, "\"" + std::string(key) + "\" is missing");
  return value;
}

bool Object::flag(std::string_view key, bool otherwise) {
  const Node* value = take(key);
  if (!value) return otherwise;
  if (value->kind == Node::Kind::kScalar && value->scalar == "true") return true;
  if (value->kind != Node::Kind::kScalar || value->scalar != "false") reader_.fail(*value, path_of(key), "must be true or false");
  return false;
}

std::uint64_t Object::number_to(std::string_view key, std::uint64_t limit, std::uint64_t otherwise) {
  const Node* value = take(key);
  return value ? yaml::number(reader_, *value, path_of(key), limit) : otherwise;
}

std::size_t Object::choice(std::string_view key, std::initializer_list<std::string_view> names) {
  const Node* value = take(key);
  if (!value) return 0;
  const auto found = std::ranges::find(names, std::string_view(value->scalar));
  if (value->kind == Node::Kind::kScalar && found != names.end()) return static_cast<std::size_t>(found - names.begin());
  std::string all;
  for (const auto name : names) all += (all.empty() ? "" : ", ") + std::string(name);
  reader_.fail(*value, path_of(key), "\"" + shown(value->scalar) + "\" is none of " + all);
  return 0;
}

void Object::each(std::string_view key, const Visit& visit) {
  if (const Node* value = take(key)) each_item(reader_, *value, path_of(key), visit);
}

void Object::each_pair(std::string_view key, const VisitPair& visit) {
  const Node* value = take(key);
  if (!value) return;
  if (value->kind != Node::Kind::kMap) return reader_.fail(*value, path_of(key), "must be a map");
  for (std::size_t i = 0; i < value->keys.size(); ++i)
    visit(value->keys[i], value->items[i], path_of(key) + "." + value->keys[i]);
}

void Object::with(std::string_view key, const Visit& visit) {
  if (const Node* value = take(key)) visit(*value, path_of(key));
}

void Object::finish() {
  for (std::size_t i = 0; i < taken_.size(); ++i) {
    if (!taken_[i]) reader_.fail(node_.items[i], path_, "unknown key \"" + shown(node_.keys[i]) + "\"");
  }
}

std::string scalar(Reader& reader, const Node& node, const std::string& path) {
  if (node.kind == Node::Kind::kScalar) return node.scalar;
  reader.fail(node, path, "must be a text");
  return {};
}

std::uint64_t number(Reader& reader, const Node& node, const std::string& path, std::uint64_t limit) {
  std::uint64_t value = 0;
  const std::string& text = node.scalar;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (node.kind == Node::Kind::kScalar && error == std::errc() && end == text.data() + text.size() && value <= limit)
    return value;
  reader.fail(node, path, culvert::format("must be a number from 0 to {}", limit));
  return 0;
}

void each_item(Reader& reader, const Node& node, const std::string& path, const Object::Visit& visit) {
  if (node.kind != Node::Kind::kList) return reader.fail(node, path, "must be a list");
  for (std::size_t i = 0; i < node.items.size(); ++i) visit(node.items[i], culvert::format("{}[{}]", path, i));
}

}  // namespace culvert::xds::yaml
