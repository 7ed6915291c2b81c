#include "common/rpc/budget.h"

#include <algorithm>

namespace culvert::rpc {

void Budget::Share::give_back() {
  if (const auto budget = std::move(budget_)) budget->give_back(bytes_);
}

std::optional<Budget::Share> Budget::take(std::size_t bytes, Later later) {
  bytes = std::min(bytes, all_);
  const Lock lock(mutex_);
  if (waiting_.empty() && bytes <= free_) {
    free_ -= bytes;
    return Share(shared_from_this(), bytes);
  }
  if (!closed_) waiting_.push_back({.bytes = bytes, .later = std::move(later)});
  return std::nullopt;
}

void Budget::give_back(std::size_t bytes) {
  const Lock lock(mutex_);
  free_ += bytes;
  while (!waiting_.empty() && waiting_.front().bytes <= free_) {
    Waiter next = std::move(waiting_.front());
    waiting_.pop_front();
    free_ -= next.bytes;
    next.later(Share(shared_from_this(), next.bytes));
  }
}

void Budget::close() {
  const Lock lock(mutex_);
  closed_ = true;
  waiting_.clear();
}

}  // namespace culvert::rpc
