#include "ztunnel/worker/live.h"

#include <utility>

#include "common/base/check.h"

namespace culvert::ztunnel {

LiveSet::Entry::Entry(LiveSet& set, Connection connection, Stop stop)
    : set_(&set), connection_(std::move(connection)), stop_(std::move(stop)), next_(set.first_) {
  if (next_ != nullptr) next_->previous_ = this;
  set.first_ = this;
  ++set.size_;
}

LiveSet::Entry::~Entry() {
  if (next_ != nullptr) next_->previous_ = previous_;
  (previous_ != nullptr ? previous_->next_ : set_->first_) = next_;
  if (--set_->size_ == 0 && set_->on_empty) set_->on_empty();
}

void LiveSet::Entry::on_stop(Stop stop) {
  stop_ = std::move(stop);
  if (stopped_ != Reason::kNone && stop_) stop_(stopped_);
}

void LiveSet::Entry::stop(Reason reason) {
  if (stopped_ != Reason::kNone) return;
  stopped_ = reason;
  if (stop_) stop_(reason);
}

LiveSet::~LiveSet() { CULVERT_CHECK(first_ == nullptr); }

void LiveSet::each(const std::function<void(Entry&)>& visit) {
  for (Entry* entry = first_; entry != nullptr;) {
    Entry* next = entry->next_;
    visit(*entry);
    entry = next;
  }
}

void LiveSet::each(const std::function<void(const Entry&)>& visit) const {
  for (const Entry* entry = first_; entry != nullptr; entry = entry->next_) visit(*entry);
}

void LiveSet::stop_all(Reason reason) {
  each([reason](Entry& entry) { entry.stop(reason); });
}

}  // namespace culvert::ztunnel
