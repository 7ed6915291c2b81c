#pragma once
// A snapshot that one thread makes and every worker uses. Values are immutable; nobody locks, nobody waits.
//
//   Published<model::Mesh> mesh(control_loop);                 // on the control thread
//   auto view = mesh.view(worker.loop());                      // one per worker, made on the control thread
//   mesh.publish(std::move(next), [] { ...every worker has switched... });
//   const auto now = view->get();                              // on the worker: one shared_ptr copy per connection

#include <atomic>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "common/net/loop.h"

namespace culvert::net {

template <class T>
class Published {
 public:
  using Value = std::shared_ptr<const T>;

  // One Loop's copy of the pointer. Used only on that loop.
  class View {
   public:
    const Value& get() const { return value_; }
    // Called on the loop after each switch, with the new value in place.
    void on_change(std::move_only_function<void()> function) { changed_ = std::move(function); }

   private:
    friend class Published;
    Value value_;
    std::move_only_function<void()> changed_;
  };

  explicit Published(Loop& owner, Value first = std::make_shared<const T>()) : owner_(owner), value_(std::move(first)) {}

  // The value last published: on the owner's thread.
  const Value& get() const { return value_; }

  // On the owner's thread, before `loop` uses the view. The view may be dropped at any time, on its loop.
  std::shared_ptr<View> view(Loop& loop) {
    auto view = std::make_shared<View>();
    view->value_ = value_;
    views_.push_back({&loop, view});
    return view;
  }

  // On the owner's thread. `switched` is called there, after every view has the new value. The old value is kept until then, so that it is
  // the owner who frees it, not a worker amid its connections.
  void publish(Value value, std::move_only_function<void()> switched = {}) {
    struct Countdown {
      std::atomic<std::size_t> left;
      std::move_only_function<void()> done;
      Value old;
    };
    auto countdown = std::make_shared<Countdown>();
    countdown->left = views_.size() + 1;
    countdown->done = std::move(switched);
    countdown->old = std::exchange(value_, std::move(value));
    Loop* owner = &owner_;
    const auto arrived = [countdown, owner] {
      if (countdown->left.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
      owner->post([countdown] {
        countdown->old.reset();
        if (countdown->done) countdown->done();
      });
    };
    for (const Target& target : views_) {
      target.loop->post([weak = target.view, value = value_, arrived]() mutable {
        if (auto view = weak.lock()) {
          std::swap(view->value_, value);
          if (view->changed_) view->changed_();
        }
        value.reset();
        arrived();
      });
    }
    arrived();
  }

 private:
  struct Target {
    Loop* loop;
    std::weak_ptr<View> view;
  };
  Loop& owner_;
  Value value_;
  std::vector<Target> views_;
};

}  // namespace culvert::net
