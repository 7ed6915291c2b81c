#include "common/config/glance.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <utility>

namespace culvert::config {
namespace {

constexpr std::string_view kBlank = " \t\r\n";

struct Word {
  std::string_view name;   // "kind"
  std::string_view value;  // "Pod"; empty when a map or a list follows, or nothing
};

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.' || c == '-' || c == '/'; }

// Finds `name: value`, `"name":"value"` and `{name: value,` one after the other.
class Words {
 public:
  explicit Words(std::string_view text) : text_(text) {}

  std::optional<Word> next() {
    while (at_ < text_.size()) {
      if (text_[at_] == '#' && (at_ == 0 || kBlank.contains(text_[at_ - 1]))) {  // a comment
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (is_word(text_[at_])) {
        if (const auto word = read()) return word;
      } else {
        ++at_;
      }
    }
    return std::nullopt;
  }

 private:
  void skip(std::string_view these) { at_ = std::min(text_.find_first_not_of(these, at_), text_.size()); }

  std::string_view take() {
    const std::size_t begin = at_;
    while (at_ < text_.size() && is_word(text_[at_])) ++at_;
    return text_.substr(begin, at_ - begin);
  }

  std::optional<Word> read() {
    const std::string_view name = take();
    skip("\"' \t");
    if (at_ == text_.size() || text_[at_] != ':') return std::nullopt;
    ++at_;
    skip(" \t");
    const std::size_t value = at_;
    skip("\"'");
    const Word word{name, take()};
    // `a: b: c` is broken, and b may be what we look for.
    if (at_ < text_.size() && text_[at_] == ':') at_ = value;
    return word;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

bool same(std::string_view word, std::string_view lower) {
  return std::ranges::equal(word, lower, [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; });
}

// Puts words together to objects: each begins with its apiVersion or its kind.
class Sorter {
 public:
  void add(const Word& word) {
    if (same(word.name, "apiversion")) {
      if (!object_.api_version.empty() || metadata_) close();
      object_.api_version = word.value;
    } else if (same(word.name, "kind")) {
      if (spec_) return;  // of a reference
      if (!object_.kind.empty()) close();
      object_.kind = word.value;
    } else if (same(word.name, "metadata")) {
      if (metadata_ && spec_) close();
      metadata_ = true;
    } else if (same(word.name, "spec")) {
      object_.whole_metadata = object_.whole_metadata || metadata_;
      spec_ = true;
    } else if (same(word.name, "name")) {
      if (metadata_ && !spec_ && object_.name.empty()) object_.name = word.value;
    } else if (same(word.name, "namespace")) {
      object_.namespaces.emplace(word.value);
    }
  }

  std::vector<Glance> take() {
    close();
    return std::move(out_);
  }
  std::size_t size() const { return out_.size(); }

 private:
  void close() {
    if (!object_.api_version.empty() || !object_.kind.empty()) out_.push_back(std::move(object_));
    object_ = {};
    metadata_ = spec_ = false;
  }

  Glance object_;
  bool metadata_ = false;
  bool spec_ = false;
  std::vector<Glance> out_;
};

}  // namespace

std::vector<Glance> glance(std::string_view text) {
  constexpr std::size_t kMost = 1000;  // the rest of such a file is in no namespace that we know
  std::string plain(text);
  std::erase(plain, '\0');  // UTF-16, as some editors save
  Sorter sorter;
  Words words(plain);
  while (const auto word = words.next()) {
    sorter.add(*word);
    if (sorter.size() < kMost) continue;
    std::vector<Glance> out = sorter.take();
    out.push_back({.kind = "AuthorizationPolicy"});
    return out;
  }
  return sorter.take();
}

}  // namespace culvert::config
