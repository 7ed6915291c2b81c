// The only place that knows yaml-cpp. It is driven by events, not by its own node graph: depth, node count and alias expansion are bounded while
// the tree grows, and a quoted "no" stays apart from a plain one.
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <array>
#include <istream>
#include <map>
#include <spanstream>
#include <unordered_set>

#include "common/base/check.h"
#include "common/base/utf8.h"
#include "common/config/parse.h"
#include "common/config/problem.h"
#include "common/config/tree.h"

namespace culvert::config {
namespace {

struct Refused {
  int line;
  std::string what;
};

bool all_of(std::string_view text, std::string_view allowed) {
  return !text.empty() && text.find_first_not_of(allowed) == std::string_view::npos;
}

bool is_int(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789";
  if (text.starts_with("0o")) return all_of(text.substr(2), "01234567");
  if (text.starts_with("0x")) return all_of(text.substr(2), "0123456789abcdefABCDEF");
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  return all_of(text, kDigits);
}

bool is_float(std::string_view text) {
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  constexpr std::array<std::string_view, 6> kNames = {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"};
  if (std::ranges::find(kNames, text) != kNames.end()) return true;
  const auto digits = [&text] {
    const std::size_t count = std::min(text.find_first_not_of("0123456789"), text.size());
    text.remove_prefix(count);
    return count;
  };
  std::size_t mantissa = digits();
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    mantissa += digits();
  }
  if (mantissa == 0) return false;
  if (text.empty()) return true;
  if (text[0] != 'e' && text[0] != 'E') return false;
  text.remove_prefix(1);
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  return digits() > 0 && text.empty();
}

// The core schema of YAML 1.2, section 10.3.2.
Tree::Type type_of_plain(std::string_view text) {
  constexpr std::array<std::string_view, 5> kNull = {"", "~", "null", "Null", "NULL"};
  constexpr std::array<std::string_view, 6> kBool = {"true", "True", "TRUE", "false", "False", "FALSE"};
  if (std::ranges::find(kNull, text) != kNull.end()) return Tree::Type::kNull;
  if (std::ranges::find(kBool, text) != kBool.end()) return Tree::Type::kBool;
  if (is_int(text)) return Tree::Type::kInt;
  if (is_float(text)) return Tree::Type::kFloat;
  return Tree::Type::kString;
}

// What the values of one file have cost so far, copies made for anchors and aliases included.
struct Cost {
  std::size_t nodes = 0;
  std::size_t bytes = 0;

  Cost since(const Cost& before) const { return {nodes - before.nodes, bytes - before.bytes}; }
};

class Builder final : public YAML::EventHandler {
 public:
  Builder(int first_line, Cost& spent) : first_line_(first_line), spent_(spent) {}

  bool empty() const { return !root_; }
  Tree take() { return std::move(*root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (root_)
      throw Refused{line(mark), "more stands behind the end of the object (indent it, or write --- before the next object)"};
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { add(leaf(mark, Tree::Type::kNull, ""), anchor); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, const std::string& value) override {
    const bool plain = tag == "?" || tag.empty();
    Tree tree = leaf(mark, plain ? type_of_plain(value) : Tree::Type::kString, value);
    if (plain && value == "<<" && expects_name()) throw Refused{tree.line, "merge keys (<<) are not read (write the fields out)"};
    add(std::move(tree), anchor);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) throw Refused{line(mark), "an alias stands inside what it names"};
    charge(line(mark), found->second.cost);
    add(found->second.tree, 0);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    open(mark, Tree::Type::kList, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    open(mark, Tree::Type::kMap, anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Frame {
    Tree tree;
    YAML::anchor_t anchor = 0;
    Cost before = {};
    std::optional<std::string> name = {};        // of the field whose value comes next
    std::unordered_set<std::string> names = {};  // so far: a map of a stranger may be large
  };
  struct Anchored {
    Tree tree;
    Cost cost;
  };

  int line(const YAML::Mark& mark) const { return first_line_ + std::max(mark.line, 0); }

  void charge(int at, const Cost& more) {
    spent_.nodes += more.nodes;
    spent_.bytes += more.bytes;
    if (spent_.nodes > kMaxNodes || spent_.bytes > kMaxExpandedBytes)
      throw Refused{at, "too many values in one file (what has an alias counts as often as it is used)"};
  }

  Tree leaf(const YAML::Mark& mark, Tree::Type type, const std::string& text) {
    charge(line(mark), {1, text.size()});
    return {.type = type, .line = line(mark), .text = text, .items = {}, .names = {}};
  }

  void open(const YAML::Mark& mark, Tree::Type type, YAML::anchor_t anchor) {
    if (stack_.size() >= static_cast<std::size_t>(kMaxDepth)) throw Refused{line(mark), "nested too deeply"};
    const Cost before = spent_;
    stack_.push_back({.tree = leaf(mark, type, ""), .anchor = anchor, .before = before});
  }

  void close() {
    CULVERT_CHECK(!stack_.empty());
    Frame frame = std::move(stack_.back());
    stack_.pop_back();
    remember(frame.anchor, frame.tree, spent_.since(frame.before));
    place(std::move(frame.tree));
  }

  void add(Tree tree, YAML::anchor_t anchor) {
    remember(anchor, tree, {1, tree.text.size()});
    place(std::move(tree));
  }

  // The copy for aliases to come costs as much as what is copied.
  void remember(YAML::anchor_t anchor, const Tree& tree, const Cost& cost) {
    if (anchor == 0) return;
    charge(tree.line, cost);
    anchors_[anchor] = {tree, cost};
  }

  bool expects_name() const { return !stack_.empty() && stack_.back().tree.type == Tree::Type::kMap && !stack_.back().name; }

  void place(Tree tree) {
    if (stack_.empty()) {
      root_ = std::move(tree);
      return;
    }
    Frame& frame = stack_.back();
    if (frame.tree.type == Tree::Type::kList) {
      frame.tree.items.push_back(std::move(tree));
    } else if (!frame.name) {
      if (tree.type == Tree::Type::kList || tree.type == Tree::Type::kMap)
        throw Refused{tree.line, "a field's name must be a plain word"};
      if (!frame.names.insert(tree.text).second) throw Refused{tree.line, "the field " + quote(tree.text) + " is there twice"};
      frame.name = std::move(tree.text);
    } else {
      frame.tree.names.push_back(std::move(*frame.name));
      frame.tree.items.push_back(std::move(tree));
      frame.name.reset();
    }
  }

  int first_line_;
  Cost& spent_;
  std::optional<Tree> root_;
  std::vector<Frame> stack_;
  std::map<YAML::anchor_t, Anchored> anchors_;
};

struct Chunk {
  int line = 1;
  std::string_view text;
};

bool is_marker(std::string_view line, std::string_view marker) {
  return line.starts_with(marker) && (line.size() == marker.size() || std::string_view(" \t\r").contains(line[marker.size()]));
}

// Nothing but blank lines, comments and directives.
bool is_prologue(std::string_view text) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    const std::size_t first = line.find_first_not_of(" \t\r");
    if (first != std::string_view::npos && line[first] != '#' && line[0] != '%') return false;
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return true;
}

// A line that starts with --- or ... ends a document, wherever it stands: YAML allows neither inside a scalar.
std::vector<Chunk> split(std::string_view text) {
  std::vector<Chunk> chunks;
  std::size_t begin = 0;
  int begin_line = 1;
  int line_number = 1;
  const auto cut = [&](std::size_t end, std::size_t next, int next_line) {
    if (!is_prologue(text.substr(begin, end - begin))) {
      chunks.push_back({begin_line, text.substr(begin, end - begin)});
    } else if (next == end) {
      return;  // directives belong to the document that follows them
    }
    begin = next;
    begin_line = next_line;
  };
  for (std::size_t at = 0; at < text.size(); ++line_number) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    const std::size_t next = std::min(end + 1, text.size());
    if (is_marker(line, "---")) cut(at, at, line_number);
    if (is_marker(line, "...")) cut(at, next, line_number + 1);
    at = next;
  }
  cut(text.size(), text.size(), line_number);
  return chunks;
}

// The line of the first byte that no YAML has: not UTF-8, or a control character. 0 when there is none.
int line_of_foreign_byte(std::string_view text) {
  int line = 1;
  while (!text.empty()) {
    const unsigned char c = static_cast<unsigned char>(text.front());
    const bool control = c < 0x20 && c != '\t' && c != '\n' && c != '\r';
    const std::size_t size = control ? 0 : utf8_size(text);
    if (size == 0) return line;
    if (c == '\n') ++line;
    text.remove_prefix(size);
  }
  return 0;
}

Document read_chunk(const Chunk& chunk, Cost& spent) {
  Document document{.line = chunk.line, .root = {}, .error_line = 0, .error = "", .text = chunk.text};
  const auto fail = [&](int line, std::string what) {
    document.root.reset();
    document.error_line = line;
    document.error = std::move(what);
  };
  if (const int line = line_of_foreign_byte(chunk.text); line > 0) {
    fail(chunk.line + line - 1, "not text in UTF-8");
    return document;
  }
  try {
    Builder builder(chunk.line, spent);
    std::ispanstream stream(chunk.text);
    YAML::Parser parser(stream);
    if (parser.HandleNextDocument(builder) && !builder.empty()) {
      parser.HandleNextDocument(builder);  // there must be nothing more: the builder throws
      document.root = builder.take();
      document.line = document.root->line;
    } else {
      document.root = Tree{.type = Tree::Type::kNull, .line = chunk.line, .text = {}, .items = {}, .names = {}};
    }
  } catch (const YAML::Exception& error) {
    constexpr std::size_t kMost = 200;  // yaml-cpp quotes what it was given
    fail(chunk.line + std::max(error.mark.line, 0), "not YAML: " + error.msg.substr(0, kMost));
  } catch (const Refused& refused) {
    fail(refused.line, refused.what);
  }
  return document;
}

}  // namespace

const Tree* Tree::find(std::string_view name) const {
  const auto found = std::ranges::find(names, name);
  return found == names.end() ? nullptr : &items[static_cast<std::size_t>(found - names.begin())];
}

std::string_view describe(Tree::Type type) {
  switch (type) {
    case Tree::Type::kNull: return "nothing";
    case Tree::Type::kBool: return "a boolean";
    case Tree::Type::kInt: return "a number";
    case Tree::Type::kFloat: return "a floating-point number";
    case Tree::Type::kString: return "a string";
    case Tree::Type::kList: return "a list";
    case Tree::Type::kMap: return "a map";
  }
  return "?";
}

std::vector<Document> read_yaml(std::string_view text) {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  std::vector<Document> documents;
  Cost spent;
  for (const Chunk& chunk : split(text)) {
    Document document = read_chunk(chunk, spent);
    if (!document.root || document.root->type != Tree::Type::kNull) documents.push_back(std::move(document));
  }
  return documents;
}

}  // namespace culvert::config
