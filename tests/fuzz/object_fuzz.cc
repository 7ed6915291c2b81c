// Any bytes as an object of the API server, and as MeshConfig: no crash, no endless work; what is derived from them is the same, in whatever order they
// come, and can be read by whoever it is sent to.
#include <fuzzer/FuzzedDataProvider.h>

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/config/parse.h"
#include "common/derive/allocate.h"
#include "common/derive/deriver.h"
#include "common/xds/codec.h"

namespace {

using namespace culvert;
using Objects = std::vector<config::ObjectPtr>;

// What a subscriber holds who saw only the differences: encoded, by name.
class Mesh {
 public:
  void put(const config::ObjectPtr& object) {
    const config::Key key = config::key_of(*object);
    objects_.put(key, object);
    take(key);
  }
  void erase(const config::Key& key) {
    objects_.erase(key);
    take(key);
  }
  const std::map<std::string, std::string>& held() const { return held_; }
  const derive::Objects& objects() const { return objects_; }

 private:
  void take(const config::Key& key) {
    const derive::Delta delta = deriver_.update(objects_, std::vector{key});
    for (const std::string& name : delta.removed_addresses) CULVERT_CHECK(held_.erase(name) == 1);
    for (const std::string& name : delta.removed_policies) CULVERT_CHECK(held_.erase("policy " + name) == 1);
    for (const auto& service : delta.services) CULVERT_CHECK(xds::decode_address(held_[service->key()] = xds::encode(*service)));
    for (const auto& workload : delta.workloads)
      CULVERT_CHECK(xds::decode_address(held_[workload->uid] = xds::encode(*workload)));
    for (const auto& policy : delta.policies)
      CULVERT_CHECK(xds::decode_policy(held_["policy " + policy->key()] = xds::encode(*policy)));
    for (const derive::Warning& warning : delta.warnings) CULVERT_CHECK(!warning.text.empty());
  }

  derive::Objects objects_;
  derive::Deriver deriver_{{}};
  std::map<std::string, std::string> held_;
};

// The last of each name, as an API server has one object of a name.
Objects read(FuzzedDataProvider& data) {
  constexpr int kMost = 8;
  std::map<config::Key, config::ObjectPtr> out;
  for (int i = 0; i < kMost && data.remaining_bytes() > 0; ++i) {
    const std::string text = data.ConsumeRandomLengthString();
    for (const auto& one : config::parse_json("f", text).objects) out[config::key_of(*one.object)] = one.object;
  }
  Objects objects;
  for (auto& [key, object] : out) objects.push_back(std::move(object));
  return objects;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  FuzzedDataProvider data(bytes, size);
  const Objects objects = read(data);
  Mesh forwards, backwards;
  for (const auto& object : objects) forwards.put(object);
  for (auto object = objects.rbegin(); object != objects.rend(); ++object) backwards.put(*object);
  CULVERT_CHECK(forwards.held() == backwards.held());
  (void)derive::allocate(forwards.objects());
  for (const auto& object : objects) {
    forwards.erase(config::key_of(*object));
    forwards.put(object);
    CULVERT_CHECK(forwards.held() == backwards.held());
  }
  for (const auto& object : objects) forwards.erase(config::key_of(*object));
  CULVERT_CHECK(forwards.held().empty());
  return 0;
}
