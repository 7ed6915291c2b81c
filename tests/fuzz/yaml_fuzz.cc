// Any bytes as a file of the configuration folder: no crash, no endless work, what is said about it can be printed, and what is derived from it can
// be read by whoever it is sent to.
#include <cstdint>
#include <string_view>
#include <vector>

#include "common/base/check.h"
#include "common/config/folder.h"
#include "common/derive/deriver.h"
#include "common/xds/codec.h"

namespace {

using culvert::config::Change;

void derive(const culvert::config::Diff& diff, culvert::derive::Objects& objects, culvert::derive::Deriver& deriver) {
  std::vector<culvert::config::Key> keys;
  for (const Change& change : diff.changes) {
    keys.push_back(change.key);
    switch (change.what) {
      case Change::What::kPut: objects.put(change.key, change.object); break;
      case Change::What::kDelete: objects.erase(change.key); break;
      case Change::What::kInvalid: objects.invalidate(change.key); break;
    }
  }
  for (const auto& problem : diff.problems) (void)problem.text();
  const auto delta = deriver.update(objects, keys);
  for (const auto& policy : delta.policies) CULVERT_CHECK(culvert::xds::decode_policy(culvert::xds::encode(*policy)));
  for (const auto& service : delta.services) CULVERT_CHECK(culvert::xds::decode_address(culvert::xds::encode(*service)));
  for (const auto& workload : delta.workloads) CULVERT_CHECK(culvert::xds::decode_address(culvert::xds::encode(*workload)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  culvert::config::Folder folder;
  culvert::derive::Objects objects;
  culvert::derive::Deriver deriver({});
  derive(folder.written("f.yaml", text, {}), objects, deriver);
  derive(folder.written("f.yaml", text.substr(0, text.size() / 2), {}), objects, deriver);
  derive(folder.written("status/pods/n1_shop_w.yaml", text, {}), objects, deriver);
  return 0;
}
