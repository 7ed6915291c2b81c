// Workload discovery as a control plane sends it: whatever the bytes are, they are refused or become values that survive the way back.
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <tuple>

#include "common/base/check.h"
#include "common/model/admit.h"
#include "common/model/plan.h"
#include "common/xds/codec.h"
#include "common/xds/update.h"
#include "common/xds/wire.h"

namespace {

using namespace culvert;

void use(xds::Update update) {
  model::MeshBuilder builder;
  std::move(update).apply_to(builder);
  const auto mesh = builder.build();
  const Endpoint somewhere{IpAddress::v4(0x0a000001), 80};
  mesh->each_workload([&](const model::WorkloadRef& workload) {
    std::ignore = model::plan_outbound(*mesh, *workload, somewhere, 1);
    for (const IpAddress& address : workload->addresses) std::ignore = model::plan_outbound(*mesh, *workload, {address, 80}, 2);
    (void)model::admit(*mesh, *workload, {workload->identity(), somewhere.address}, somewhere).text();
    (void)model::admit(*mesh, *workload, {std::nullopt, somewhere.address}, somewhere).text();
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  xds::Update update;
  if (auto address = xds::decode_address(bytes)) {
    const std::string again = std::visit([](const auto& value) { return xds::encode(value); }, *address);
    CULVERT_CHECK(xds::decode_address(again).value() == *address);
    if (auto* workload = std::get_if<model::Workload>(&*address)) update.workloads.push_back(*workload);
    else update.services.push_back(std::get<model::Service>(*address));
  }
  if (auto policy = xds::decode_policy(bytes)) {
    if (policy->invalid.empty()) CULVERT_CHECK(xds::decode_policy(xds::encode(*policy)).value() == *policy);
    model::Workload target;
    target.uid = "target", target.name_space = policy->name_space, target.policies = {policy->key()};
    update.workloads.push_back(std::move(target));
    update.policies.push_back(std::move(*policy));
  }
  if (auto response = xds::decode_response(bytes))
    CULVERT_CHECK(xds::decode_response(xds::encode(*response)).value() == *response);
  if (auto request = xds::decode_request(std::string(bytes))) (void)xds::encode(*request);
  use(std::move(update));
  return 0;
}
