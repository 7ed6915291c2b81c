#pragma once
// Ending in good order: counts the live things of one Loop, tells them to end, and waits until they have.

#include <functional>
#include <memory>

#include "common/net/event.h"

namespace culvert::net {

enum class Ending : std::uint8_t {
  kGraceful,  // finish what runs, begin nothing new
  kNow,       // the patience is over: reset
};

class Drain {
 public:
  explicit Drain(Loop& loop);
  ~Drain();  // everything held must be gone
  Drain(const Drain&) = delete;
  Drain& operator=(const Drain&) = delete;

  // One live thing. Counted from hold() to its destruction.
  class Hold {
   public:
    Hold();
    Hold(Hold&&) noexcept;
    Hold& operator=(Hold&&) noexcept;
    ~Hold();
    bool ending() const;  // begin() was called

   private:
    friend class Drain;
    struct Entry;
    explicit Hold(std::unique_ptr<Entry> entry);
    std::unique_ptr<Entry> entry_;
  };
  // `told` is called at begin() with kGraceful and at force() with kNow; at once when that has happened already. It must not
  // destroy its Hold, but may wake whoever does.
  Hold hold(std::move_only_function<void(Ending)> told = {});

  void begin();
  void force();
  bool ending() const { return ending_; }
  std::size_t live() const { return live_; }

  // begin(), then waits for `patience`, then force(), then waits for the end. True if nobody had to be forced.
  Task<bool> finish(Clock::duration patience);

 private:
  Hold::Entry* first_ = nullptr;
  std::size_t live_ = 0;
  bool ending_ = false;
  bool forced_ = false;
  Event empty_;
};

}  // namespace culvert::net
