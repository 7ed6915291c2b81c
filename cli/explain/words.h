#pragma once
// Who and where, from what an operator writes. Pure.

#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/model/mesh.h"

namespace culvert::cli {

// "web-0", "shop/web-0", "pod/web-0", or an address: the workload. A name may be left off at its end when but one begins so. Fails with what to
// write instead.
Result<model::WorkloadRef> source_called(const model::Mesh& mesh, std::string_view word, const std::string& name_space);

struct Destination {
  Endpoint at;
  std::string name;  // as it was found: "service shop/web.shop.svc.cluster.local", "pod shop/web-0", "10.0.0.1"
};
// "HOST:PORT": a service by host name or the beginning of it ("web", "web.shop"), as DNS would find it from the source's namespace; a pod
// ("pod/web-0", "pod/shop/web-0"); an address. All addresses that `source` may be given for it, those of its own first family first.
Result<std::vector<Destination>> destinations_called(const model::Mesh& mesh, const model::Workload& source,
                                                     std::string_view word);

}  // namespace culvert::cli
