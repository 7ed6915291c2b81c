#pragma once
// Values that cost an object that is there a hundred thousand times a pointer each. Shared is never changed and many may share it: the labels of the pods of
// one Deployment are there once, however many pods there are. Reads like a const T, and compares by value; Pool finds the one that is there already.
// Boxed is a value of one's own that few have.

#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>

namespace culvert::config {

// T is a container.
template <class T>
class Shared {
 public:
  using value_type = typename T::value_type;
  using const_iterator = typename T::const_iterator;
  using iterator = const_iterator;

  Shared() = default;                                                               // an empty one
  Shared(T value) : node_(value.empty() ? nullptr : new Node(std::move(value))) {}  // NOLINT(google-explicit-constructor)
  Shared(std::initializer_list<value_type> all) : Shared(T(all)) {}

  const T& get() const {
    static const T kNone;
    return node_ ? node_->value : kNone;
  }
  operator const T&() const { return get(); }  // NOLINT(google-explicit-constructor)
  const T& operator*() const { return get(); }
  const T* operator->() const { return &get(); }

  // A copy of its own, to be changed before it is handed on.
  T& edit() {
    auto* own = new Node(get());
    node_ = own;
    return own->value;
  }
  // Whether anybody else has it.
  bool is_shared() const { return node_ && node_->use_count() > 1; }

  auto begin() const { return get().begin(); }
  auto end() const { return get().end(); }
  bool empty() const { return get().empty(); }
  std::size_t size() const { return get().size(); }

  friend bool operator==(const Shared& a, const Shared& b) { return a.node_ == b.node_ || a.get() == b.get(); }

 private:
  struct Node : boost::intrusive_ref_counter<Node> {
    explicit Node(T its) : value(std::move(its)) {}
    T value;
  };
  boost::intrusive_ptr<const Node> node_;  // a pointer: std::shared_ptr is two. Null: of an empty one
};

// A value of its own, elsewhere: what is large and in few, of which all would be as large. The default one is nowhere until it is to be changed.
template <class T>
class Boxed {
 public:
  Boxed() = default;
  Boxed(T value) : value_(std::make_unique<T>(std::move(value))) {}  // NOLINT(google-explicit-constructor)
  Boxed(const Boxed& other) : value_(other.value_ ? std::make_unique<T>(*other.value_) : nullptr) {}
  Boxed(Boxed&& other) noexcept = default;
  Boxed& operator=(Boxed other) noexcept {
    value_.swap(other.value_);
    return *this;
  }
  ~Boxed() = default;

  operator const T&() const { return **this; }  // NOLINT(google-explicit-constructor)
  const T& operator*() const {
    static const T kDefault;
    return value_ ? *value_ : kDefault;
  }
  const T* operator->() const { return &**this; }
  T* operator->() {
    if (!value_) value_ = std::make_unique<T>();
    return value_.get();
  }

  friend bool operator==(const Boxed& a, const Boxed& b) { return *a == *b; }

 private:
  std::unique_ptr<T> value_;  // null: the default one
};

// Values by a text that stands for each. Those that nobody has any more are let go of as new ones come, when they may be a quarter of all. On one thread.
template <class T>
class Pool {
 public:
  // The value of `key`, or `make`() when there is none yet.
  template <class Make>
  Shared<T> take(const std::string& key, Make make) {
    if (const auto found = held_.find(key); found != held_.end()) return found->second;
    if (held_.size() >= look_at_) {
      std::erase_if(held_, [](const auto& one) { return !one.second.is_shared(); });
      look_at_ = kLeast + held_.size() + held_.size() / 4;
    }
    return held_.emplace(key, make()).first->second;
  }
  std::size_t size() const { return held_.size(); }

 private:
  static constexpr std::size_t kLeast = 1000;
  std::unordered_map<std::string, Shared<T>> held_;
  std::size_t look_at_ = kLeast;
};

}  // namespace culvert::config
