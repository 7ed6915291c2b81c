#pragma once
// How much is under way at a time: of one proxy, as part of all proxies of its worker.

#include <cstddef>
#include <memory>
#include <utility>

namespace culvert::ztunnel::dns {

class Load {
 public:
  explicit Load(std::size_t most, std::shared_ptr<Load> all = {}) : most_(most), all_(std::move(all)) {}

  bool full() const { return under_way_ >= most_ || (all_ && all_->full()); }
  void begin() {
    ++under_way_;
    if (all_) all_->begin();
  }
  void end() {
    --under_way_;
    if (all_) all_->end();
  }
  std::size_t under_way() const { return under_way_; }

 private:
  const std::size_t most_;
  const std::shared_ptr<Load> all_;
  std::size_t under_way_ = 0;
};

}  // namespace culvert::ztunnel::dns
