#include "ztunnel/worker/handshakes.h"

#include <utility>

namespace culvert::ztunnel {

Handshake* Handshakes::in_the_way(const Pod& pod) const {
  if (pod.handshakes < limits_.of_pod) return size_ < limits_.of_all ? nullptr : first_;
  Handshake* each = first_;
  while (&each->pod_ != &pod) each = each->next_;
  return each;
}

net::Task<> Handshakes::room(std::shared_ptr<const Pod> pod) {
  while (Handshake* const oldest = in_the_way(*pod)) {
    const auto left = oldest->begun_ + limits_.fair - net::Clock::now();
    if (left > net::Clock::duration::zero()) {
      co_await changed_.wait_for(left);
    } else {
      const auto drop = std::move(oldest->drop_);
      oldest->done();
      drop();
    }
  }
}

Handshake::Handshake(Handshakes& all, Pod& pod, std::function<void()> drop)
    : all_(&all), pod_(pod), drop_(std::move(drop)), previous_(all.last_) {
  (previous_ != nullptr ? previous_->next_ : all.first_) = this;
  all.last_ = this;
  ++all.size_;
  ++pod_.handshakes;
}

void Handshake::done() {
  Handshakes* const all = std::exchange(all_, nullptr);
  if (all == nullptr) return;
  (previous_ != nullptr ? previous_->next_ : all->first_) = next_;
  (next_ != nullptr ? next_->previous_ : all->last_) = previous_;
  --all->size_;
  --pod_.handshakes;
  all->changed_.notify_all();
}

}  // namespace culvert::ztunnel
