#pragma once
// A hash map whose copies cost one reference: a trie of 32-way nodes that all copies share. A change copies the few nodes on its way
// down, and none when nobody else holds them, so that building a large map from nothing costs no more than an ordinary one does.
// A value of it may be read from many threads; changing one needs that value to be owned by one thread (its copies need not be).
// References to entries live as long as a copy that holds them is neither changed nor destroyed.

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/check.h"

namespace culvert::model {

// A pointer to something that counts its own owners.
template <class T>
class Shared {
 public:
  Shared() = default;
  explicit Shared(T* owned) : pointer_(owned) {}
  Shared(const Shared& other) : pointer_(other.pointer_) {
    if (pointer_) pointer_->owners.fetch_add(1, std::memory_order_relaxed);
  }
  Shared(Shared&& other) noexcept : pointer_(std::exchange(other.pointer_, nullptr)) {}
  Shared& operator=(Shared other) noexcept {
    std::swap(pointer_, other.pointer_);
    return *this;
  }
  ~Shared() {
    if (pointer_ && pointer_->owners.fetch_sub(1, std::memory_order_acq_rel) == 1) delete pointer_;
  }

  explicit operator bool() const { return pointer_ != nullptr; }
  const T* get() const { return pointer_; }
  const T* operator->() const { return pointer_; }

  // The object to change: this very one when we are its only owner, else a copy that we then own.
  T& own() {
    if (pointer_->owners.load(std::memory_order_acquire) != 1) *this = Shared(new T(*pointer_));
    return *pointer_;
  }

 private:
  T* pointer_ = nullptr;
};

// The count of owners; a copy of the object starts with one.
struct Owned {
  std::atomic<std::uint32_t> owners{1};
  Owned() = default;
  Owned(const Owned&) {}
  Owned& operator=(const Owned&) { return *this; }
};

template <class Key, class Value>
class PersistentMap {
 public:
  std::size_t size() const { return root_ ? root_->count : 0; }
  bool empty() const { return size() == 0; }

  // Null when there is no such key.
  template <class K>
  const Value* find(const K& key) const;
  // The n-th entry in an order of its own that any change may alter; n < size().
  const std::pair<const Key, Value>& nth(std::size_t n) const;
  template <class Visit>
  void for_each(Visit&& visit) const {  // visit(key, value)
    if (root_) root_->for_each(visit);
  }

  void set(Key key, Value value) {
    change(std::move(key), [&](Value& slot) { slot = std::move(value); });
  }
  // Calls edit(Value&) on the entry, made with a default value when it is missing.
  template <class Edit>
  void change(Key key, Edit&& edit);
  template <class K>
  bool erase(const K& key);

 private:
  static constexpr unsigned kBits = 5;
  static constexpr unsigned kDepth = 13;  // 13 * 5 bits cover the hash; below that, keys of equal hash share a list

  struct Leaf : Owned {
    std::pair<const Key, Value> entry;
    explicit Leaf(Key key) : entry(std::move(key), Value()) {}
    Leaf(const Leaf&) = default;
  };
  struct Node;
  struct Slot {
    Shared<Node> node;  // exactly one of the two is set
    Shared<Leaf> leaf;
    std::size_t count() const { return node ? node->count : 1; }
  };
  struct Node : Owned {
    std::uint32_t bitmap = 0;  // which of the 32 children exist; all zero in a list of equal hashes
    std::size_t count = 0;     // entries below
    std::vector<Slot> slots;

    template <class Visit>
    void for_each(Visit& visit) const {
      for (const Slot& slot : slots) {
        if (slot.node) slot.node->for_each(visit);
        else visit(slot.leaf->entry.first, slot.leaf->entry.second);
      }
    }
  };

  // Strings are hashed as views, so that looking up a view needs no copy.
  template <class K>
  static std::uint64_t hash(const K& key) {
    std::uint64_t value;
    if constexpr (std::is_convertible_v<const K&, std::string_view>) value = std::hash<std::string_view>{}(key);
    else value = std::hash<K>{}(key);
    return (value ^ (value >> 32)) * 0x9e3779b97f4a7c15ULL;
  }
  static unsigned index(std::uint64_t hash, unsigned depth) { return hash >> (depth * kBits) & 31; }
  static std::size_t position(const Node& node, std::uint32_t bit) { return std::popcount(node.bitmap & (bit - 1)); }

  template <class Edit>
  static bool change_in(Node& node, std::uint64_t hashed, unsigned depth, Key&& key, Edit& edit);
  template <class Edit>
  static bool change_list(Node& node, Key&& key, Edit& edit);
  template <class K>
  static bool erase_in(Node& node, std::uint64_t hashed, unsigned depth, const K& key);
  static Slot leaf(Key&& key) { return {{}, Shared<Leaf>(new Leaf(std::move(key)))}; }

  Shared<Node> root_;
};

template <class Key, class Value>
template <class K>
const Value* PersistentMap<Key, Value>::find(const K& key) const {
  const Node* node = root_.get();
  const std::uint64_t hashed = hash(key);
  for (unsigned depth = 0; node; ++depth) {
    if (depth == kDepth) {
      for (const Slot& slot : node->slots) {
        if (slot.leaf->entry.first == key) return &slot.leaf->entry.second;
      }
      return nullptr;
    }
    const std::uint32_t bit = 1u << index(hashed, depth);
    if (!(node->bitmap & bit)) return nullptr;
    const Slot& slot = node->slots[position(*node, bit)];
    if (slot.leaf) return slot.leaf->entry.first == key ? &slot.leaf->entry.second : nullptr;
    node = slot.node.get();
  }
  return nullptr;
}

template <class Key, class Value>
const std::pair<const Key, Value>& PersistentMap<Key, Value>::nth(std::size_t n) const {
  CULVERT_CHECK(n < size());
  const Node* node = root_.get();
  while (true) {
    const Slot* at = node->slots.data();
    for (; n >= at->count(); ++at) n -= at->count();
    if (at->leaf) return at->leaf->entry;
    node = at->node.get();
  }
}

template <class Key, class Value>
template <class Edit>
void PersistentMap<Key, Value>::change(Key key, Edit&& edit) {
  if (!root_) root_ = Shared<Node>(new Node);
  const std::uint64_t hashed = hash(key);
  change_in(root_.own(), hashed, 0, std::move(key), edit);
}

// True when an entry was added.
template <class Key, class Value>
template <class Edit>
bool PersistentMap<Key, Value>::change_in(Node& node, std::uint64_t hashed, unsigned depth, Key&& key, Edit& edit) {
  if (depth == kDepth) return change_list(node, std::move(key), edit);
  const std::uint32_t bit = 1u << index(hashed, depth);
  const std::size_t at = position(node, bit);
  if (!(node.bitmap & bit)) {
    Slot slot = leaf(std::move(key));
    edit(slot.leaf.own().entry.second);
    node.slots.insert(node.slots.begin() + static_cast<std::ptrdiff_t>(at), std::move(slot));
    node.bitmap |= bit;
    ++node.count;
    return true;
  }
  Slot& slot = node.slots[at];
  if (slot.leaf && slot.leaf->entry.first == key) {
    edit(slot.leaf.own().entry.second);
    return false;
  }
  if (slot.leaf) {  // two keys in one place: both move one level down
    Node* below = new Node;
    below->count = 1;
    if (depth + 1 < kDepth) below->bitmap = 1u << index(hash(slot.leaf->entry.first), depth + 1);
    below->slots.push_back({{}, std::move(slot.leaf)});
    slot.node = Shared<Node>(below);
  }
  const bool added = change_in(slot.node.own(), hashed, depth + 1, std::move(key), edit);
  node.count += added;
  return added;
}

template <class Key, class Value>
template <class Edit>
bool PersistentMap<Key, Value>::change_list(Node& node, Key&& key, Edit& edit) {
  for (Slot& slot : node.slots) {
    if (slot.leaf->entry.first != key) continue;
    edit(slot.leaf.own().entry.second);
    return false;
  }
  node.slots.push_back(leaf(std::move(key)));
  edit(node.slots.back().leaf.own().entry.second);
  ++node.count;
  return true;
}

template <class Key, class Value>
template <class K>
bool PersistentMap<Key, Value>::erase(const K& key) {
  if (!find(key)) return false;  // so that a miss copies nothing
  erase_in(root_.own(), hash(key), 0, key);
  if (root_->count == 0) root_ = {};
  return true;
}

// The key exists. A node that is left with nothing is taken out by its parent.
template <class Key, class Value>
template <class K>
bool PersistentMap<Key, Value>::erase_in(Node& node, std::uint64_t hashed, unsigned depth, const K& key) {
  std::size_t at = 0;
  std::uint32_t bit = 0;
  if (depth == kDepth) {
    while (!(node.slots[at].leaf->entry.first == key)) ++at;
  } else {
    bit = 1u << index(hashed, depth);
    at = position(node, bit);
  }
  --node.count;
  Slot& slot = node.slots[at];
  if (slot.node && !erase_in(slot.node.own(), hashed, depth + 1, key)) return false;
  node.slots.erase(node.slots.begin() + static_cast<std::ptrdiff_t>(at));
  node.bitmap &= ~bit;
  return node.slots.empty();
}

}  // namespace culvert::model
