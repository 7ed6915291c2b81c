#pragma once
// The addresses that hosts of ServiceEntries are given (derive/allocate.h), written to status.addresses, from where every replica takes them. Only while we
// lead, and only what is not there already. On the control thread.

#include <memory>
#include <vector>

#include "common/derive/objects.h"
#include "common/kube/client.h"
#include "common/kube/leadership.h"
#include "common/kube/source/kube_source.h"
#include "common/telemetry/registry.h"

namespace culvert::controlplane {

class AddressWriter {
 public:
  // The client and the objects must outlive it.
  AddressWriter(kube::Client& client, const derive::Objects& objects, telemetry::Registry& registry,
                kube::ServedAs served = kube::collection_of);
  ~AddressWriter();
  AddressWriter(const AddressWriter&) = delete;
  AddressWriter& operator=(const AddressWriter&) = delete;

  void lead(kube::Leadership leading);
  // The objects have taken other versions of these, of whatever kind.
  void changed(const std::vector<config::Key>& keys);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// The patch of a ServiceEntry's status.
kube::Request address_patch(const kube::Collection& entries, const config::Key& entry,
                            const std::vector<config::StatusAddress>& addresses);

}  // namespace culvert::controlplane
