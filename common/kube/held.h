#pragma once
// Which objects of a collection have been told of, so that a new list shows which of them are gone and which are as they were. Names, uids and versions
// only, each object's in one block: there may be a hundred thousand. Pure.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "common/kube/event.h"

namespace culvert::kube {

class Held {
 public:
  // A new list begins: nothing is seen yet.
  void begin() {
    ++list_;
    doubt_ = false;
  }
  // Is there, in this version.
  struct Before {
    std::string uid;    // that it had before, when that was another one; else empty
    bool same = false;  // this version of this object was told before
  };
  Before put(const Key& key, std::string_view uid, std::string_view version);
  // Is there, but cannot be read: stays what it was, and has been told of like the others. Without a uid it is not sure which it is: then nothing can
  // be told gone by this list.
  void unreadable(const Key& key, const std::string& uid);
  // The list is whole: what it did not have is gone. In order of key.
  std::vector<Gone> end();
  // True when it was held; `uid` becomes the one that it had.
  bool remove(const Key& key, std::string& uid);
  // The version that was told last: empty when that could not be read. None when it is not held.
  std::optional<std::string> version(const Key& key) const;
  std::size_t size() const { return objects_.size(); }

 private:
  struct View {
    std::string_view ns, name;
    friend bool operator==(const View&, const View&) = default;
  };
  struct Object {
    std::unique_ptr<char[]> block;   // four sizes, then namespace, name, uid and version
    mutable std::uint32_t list = 0;  // the last in which it was seen

    static Object of(const Key& key, std::string_view uid, std::string_view version, std::uint32_t list);
    std::string_view part(std::size_t index) const;
    View key() const { return {part(0), part(1)}; }
    std::string_view uid() const { return part(2); }
    std::string_view version() const { return part(3); }
  };
  static View view(const View& key) { return key; }
  static View view(const Object& object) { return object.key(); }
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(const auto& one) const noexcept {  // else the set would keep it beside each
      const View key = view(one);
      return std::hash<std::string_view>()(key.name) * 31 + std::hash<std::string_view>()(key.ns);
    }
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(const auto& a, const auto& b) const { return view(a) == view(b); }
  };

  std::unordered_set<Object, Hash, Equal> objects_;
  std::uint32_t list_ = 0;
  bool doubt_ = false;
};

}  // namespace culvert::kube
