#pragma once
// A value that is never changed and that many may share: the labels of the pods of one Deployment are there once, however many pods there are. Reads like
// a const T, and compares by value. Pool finds the one that is there already.

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

  Shared() = default;  // an empty one
  Shared(T value)
      : value_(value.empty() ? nullptr : std::make_shared<const T>(std::move(value))) {}  // NOLINT(google-explicit-constructor)
  Shared(std::initializer_list<value_type> all) : Shared(T(all)) {}
  explicit Shared(std::shared_ptr<const T> value) : value_(std::move(value)) {}

  const T& get() const {
    static const T kNone;
    return value_ ? *value_ : kNone;
  }
  operator const T&() const { return get(); }  // NOLINT(google-explicit-constructor)
  const T& operator*() const { return get(); }
  const T* operator->() const { return &get(); }

  // A copy of its own, to be changed before it is handed on.
  T& edit() {
    auto own = std::make_shared<T>(get());
    T& out = *own;
    value_ = std::move(own);
    return out;
  }

  auto begin() const { return get().begin(); }
  auto end() const { return get().end(); }
  bool empty() const { return get().empty(); }
  std::size_t size() const { return get().size(); }

  friend bool operator==(const Shared& a, const Shared& b) { return a.value_ == b.value_ || a.get() == b.get(); }

 private:
  std::shared_ptr<const T> value_;
};

// A value of its own, elsewhere: what is large and in few of the kinds of which one is held, so that all of them would be as large.
template <class T>
class Boxed {
 public:
  Boxed() : value_(std::make_unique<T>()) {}
  Boxed(T value) : value_(std::make_unique<T>(std::move(value))) {}  // NOLINT(google-explicit-constructor)
  Boxed(const Boxed& other) : Boxed(*other.value_) {}
  Boxed(Boxed&& other) noexcept = default;
  Boxed& operator=(Boxed other) noexcept {
    value_.swap(other.value_);
    return *this;
  }
  ~Boxed() = default;

  operator const T&() const { return *value_; }  // NOLINT(google-explicit-constructor)
  const T& operator*() const { return *value_; }
  const T* operator->() const { return value_.get(); }
  T* operator->() { return value_.get(); }

  friend bool operator==(const Boxed& a, const Boxed& b) { return *a.value_ == *b.value_; }

 private:
  std::unique_ptr<T> value_;  // null only of what was moved from
};

// Values by a text that stands for each. Those that nobody has any more are let go of as new ones come. On one thread.
template <class T>
class Pool {
 public:
  // The value of `key`, or `make`() when there is none yet.
  template <class Make>
  Shared<T> take(const std::string& key, Make make) {
    if (const auto found = held_.find(key); found != held_.end())
      if (auto there = found->second.lock()) return Shared<T>(std::move(there));
    if (held_.size() >= look_at_) {
      std::erase_if(held_, [](const auto& one) { return one.second.expired(); });
      look_at_ = kLeast + 2 * held_.size();
    }
    auto made = std::shared_ptr<const T>(new const T(make()));  // not make_shared: weak pointers would hold its memory
    held_[key] = made;
    return Shared<T>(std::move(made));
  }
  std::size_t size() const { return held_.size(); }

 private:
  static constexpr std::size_t kLeast = 1000;
  std::unordered_map<std::string, std::weak_ptr<const T>> held_;
  std::size_t look_at_ = kLeast;
};

}  // namespace culvert::config
