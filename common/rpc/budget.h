#pragma once
// Memory for messages of all connections together, given out for a whole message and in order: who has his share can be finished, so that a thousand
// who send at once take turns, and none of them is told to go. Any thread.

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "common/base/mutex.h"

namespace culvert::rpc {

class Budget : public std::enable_shared_from_this<Budget> {
 public:
  explicit Budget(std::size_t bytes) : free_(bytes), all_(bytes) {}  // by make_shared: shares keep it
  Budget(const Budget&) = delete;

  // What is given back when it is destroyed.
  class Share {
   public:
    Share() = default;
    Share(Share&& other) noexcept = default;
    Share& operator=(Share&& other) noexcept {
      if (this == &other) return *this;
      give_back();
      budget_ = std::move(other.budget_);
      bytes_ = other.bytes_;
      return *this;
    }
    ~Share() { give_back(); }

   private:
    friend class Budget;
    Share(std::shared_ptr<Budget> budget, std::size_t bytes) : budget_(std::move(budget)), bytes_(bytes) {}
    void give_back();
    std::shared_ptr<Budget> budget_;
    std::size_t bytes_ = 0;
  };

  // A share now; or none, and `later` is called with it, on the thread of whoever gives back: it hands it on, and neither takes nor gives back itself. More than
  // there is in all is as much as there is.
  using Later = std::move_only_function<void(Share share)>;
  std::optional<Share> take(std::size_t bytes, Later later);
  // Whoever waits is forgotten, and from now on waits for ever.
  void close();

 private:
  struct Waiter {
    std::size_t bytes;
    Later later;
  };
  void give_back(std::size_t bytes);

  Mutex mutex_;
  std::size_t free_ CULVERT_GUARDED_BY(mutex_);
  const std::size_t all_;
  std::deque<Waiter> waiting_ CULVERT_GUARDED_BY(mutex_);
  bool closed_ CULVERT_GUARDED_BY(mutex_) = false;
};

}  // namespace culvert::rpc
