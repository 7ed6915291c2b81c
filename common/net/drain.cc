#include "common/net/drain.h"

namespace culvert::net {

struct Drain::Hold::Entry {
  Drain* drain;
  std::move_only_function<void(Ending)> told;
  Entry* previous = nullptr;
  Entry* next = nullptr;

  Entry(Drain* its_drain, std::move_only_function<void(Ending)> its_told)
      : drain(its_drain), told(std::move(its_told)), next(drain->first_) {
    if (next != nullptr) next->previous = this;
    drain->first_ = this;
    ++drain->live_;
  }
  ~Entry() {
    (previous != nullptr ? previous->next : drain->first_) = next;
    if (next != nullptr) next->previous = previous;
    if (--drain->live_ == 0) drain->empty_.notify_all();
  }
};

Drain::Drain(Loop& loop) : empty_(loop) {}
Drain::~Drain() { CULVERT_CHECK(live_ == 0); }

Drain::Hold::Hold() = default;
Drain::Hold::Hold(std::unique_ptr<Entry> entry) : entry_(std::move(entry)) {}
Drain::Hold::Hold(Hold&&) noexcept = default;
Drain::Hold& Drain::Hold::operator=(Hold&&) noexcept = default;
Drain::Hold::~Hold() = default;
bool Drain::Hold::ending() const { return entry_ && entry_->drain->ending_; }

Drain::Hold Drain::hold(std::move_only_function<void(Ending)> told) {
  Hold hold(std::make_unique<Hold::Entry>(this, std::move(told)));
  auto& entry = *hold.entry_;
  if (entry.told && ending_) entry.told(Ending::kGraceful);
  if (entry.told && forced_) entry.told(Ending::kNow);
  return hold;
}

void Drain::begin() {
  if (std::exchange(ending_, true)) return;
  for (auto* entry = first_; entry != nullptr; entry = entry->next)
    if (entry->told) entry->told(Ending::kGraceful);
}

void Drain::force() {
  begin();
  if (std::exchange(forced_, true)) return;
  for (auto* entry = first_; entry != nullptr; entry = entry->next)
    if (entry->told) entry->told(Ending::kNow);
}

Task<bool> Drain::finish(Clock::duration patience) {
  begin();
  if (live_ > 0) std::ignore = co_await empty_.wait_for(patience);
  const bool willing = live_ == 0;
  force();
  while (live_ > 0) co_await empty_.wait();
  co_return willing;
}

}  // namespace culvert::net
