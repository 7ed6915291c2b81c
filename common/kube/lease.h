#pragma once
// One of several replicas leads: leader election by a coordination.k8s.io/v1 Lease, in the way of client-go, whose candidates may be
// among ours. On the client's loop.
//
// Whoever leads renews; whoever does not looks, and takes over once the lease has not changed for its whole duration by his own clock:
// no two clocks are compared. A leader that cannot renew for two thirds of the duration says that it leads no more, before anybody can
// think so. Writes carry the version that was read, so of two that take it, one fails (409).

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/kube/client.h"

namespace culvert::kube {

struct LeaseOptions {
  std::string ns;
  std::string name;
  std::string identity;  // ours, unlike everybody else's: the pod's name
  std::chrono::milliseconds duration{15'000};
  std::chrono::milliseconds retry{2'000};  // between two looks
};

// What a Lease object says.
struct LeaseRecord {
  std::string holder = {};  // empty: given up
  std::string renewed = {};
  std::chrono::seconds duration{0};
  int transitions = 0;
  std::string resource_version = {};
};
Result<LeaseRecord> read_lease(std::string_view object);

// What one look at the lease comes to. Pure. `still` is for how long it has not changed, by our clock.
enum class LeaseMove : std::uint8_t { kRenew, kTake, kWait };
LeaseMove lease_move(const LeaseRecord& record, std::string_view identity, std::chrono::milliseconds still);

class Lease {
 public:
  using Changed = std::function<void(bool leading)>;

  // Begins at once. `changed` must not destroy the Lease.
  Lease(Client& client, LeaseOptions options, Changed changed);
  // Leads no more, without a word: the others wait for the duration.
  ~Lease();
  Lease(const Lease&) = delete;

  bool leading() const;               // also right after the process has stood still, before anything has been told
  const std::string& holder() const;  // as last seen

  // Ends it for good. If we led, the others hear of it and need not wait. Tells `changed` first.
  net::Task<> release();

  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace culvert::kube
