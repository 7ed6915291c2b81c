#pragma once
// Whether we lead, for those who write what is written once. Asked anew when each write is about to be sent (Request::still): one may wait for a
// long time, and a process that has stood still leads no more before anybody has told it so.

#include <functional>
#include <utility>

namespace culvert::kube {

class Leadership {
 public:
  Leadership(bool leads) : leads_([leads] { return leads; }) {}  // NOLINT(google-explicit-constructor)
  explicit Leadership(std::function<bool()> leads) : leads_(std::move(leads)) {}
  explicit operator bool() const { return leads_(); }

 private:
  std::function<bool()> leads_;
};

}  // namespace culvert::kube
