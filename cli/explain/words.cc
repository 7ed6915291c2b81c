#include "cli/explain/words.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "common/base/format.h"

namespace culvert::cli {
namespace {

constexpr std::size_t kMostShown = 5;

std::string pod_name(const model::Workload& workload) { return workload.name_space + "/" + workload.name; }

std::string some_of(const std::set<std::string>& names) {
  std::string out;
  std::size_t count = 0;
  for (const std::string& name : names) {
    if (count++ == kMostShown) return out + ", ...";
    out += (out.empty() ? "" : ", ") + name;
  }
  return out;
}

Result<model::WorkloadRef> by_name(const model::Mesh& mesh, std::string_view word, const std::string& name_space) {
  const auto slash = word.find('/');
  const std::string wanted_space =
      slash == word.npos ? (name_space.empty() ? "default" : name_space) : std::string(word.substr(0, slash));
  const std::string_view name = slash == word.npos ? word : word.substr(slash + 1);
  if (const model::WorkloadRef& exact = mesh.pod(wanted_space, name)) return exact;
  model::WorkloadRef found;
  std::set<std::string> alike, elsewhere;
  mesh.each_workload([&](const model::WorkloadRef& workload) {
    if (!std::string_view(workload->name).starts_with(name)) return;
    if (workload->name_space != wanted_space) {
      if (workload->name == name) elsewhere.insert(pod_name(*workload));
      return;
    }
    alike.insert(pod_name(*workload));
    found = workload;
  });
  if (alike.size() == 1 && !name.empty()) return found;
  if (alike.size() > 1)
    return failure(culvert::format("several workloads are called \"{}\": {} (write more of the name)", word, some_of(alike)));
  return failure(culvert::format("no workload of namespace {} is called \"{}\"{}", wanted_space, name,
                                 elsewhere.empty() ? "" : " (is it " + some_of(elsewhere) + "?)"));
}

void add_vips(const model::Service& service, const model::Workload& source, std::uint16_t port, std::vector<Destination>& out) {
  for (const model::Vip& vip : service.vips) {
    if (vip.network == source.network && vip.is_host()) out.push_back({{vip.range.address, port}, "service " + service.key()});
  }
}

void add_addresses(const model::Workload& workload, std::uint16_t port, const std::string& name, std::vector<Destination>& out) {
  for (const IpAddress& address : workload.addresses) out.push_back({{address, port}, name});
}

// The names that a resolver tries; the cluster's domain is that of whatever service is there.
const model::ServiceState* service_called(const model::Mesh& mesh, const model::Workload& source, const std::string& host) {
  if (const auto* state = mesh.service_by_hostname(host, source.name_space)) return state;
  std::vector<std::string> begins = {host + "." + source.name_space + ".svc."};
  if (std::ranges::count(host, '.') == 1) begins.push_back(host + ".svc.");
  if (host.ends_with(".svc")) begins.push_back(host + ".");
  const model::ServiceState* found = nullptr;
  for (const std::string& begin : begins) {
    mesh.each_service([&](std::string_view, const model::ServiceState& state) {
      if (!found && state.service && state.service->hostname.starts_with(begin) && state.service->visible_to(source.name_space))
        found = mesh.service(state.service->key());
    });
    if (found) return found;
  }
  return nullptr;
}

}  // namespace

Result<model::WorkloadRef> source_called(const model::Mesh& mesh, std::string_view word, const std::string& name_space) {
  if (const auto address = IpAddress::parse(word)) {
    model::WorkloadRef found;
    mesh.each_workload([&](const model::WorkloadRef& workload) {
      if (workload->owns(*address) && workload->network_mode == model::NetworkMode::kStandard) found = workload;
    });
    if (found) return found;
    return failure("no workload has the address " + std::string(word));
  }
  constexpr std::string_view kPod = "pod/";
  if (word.starts_with(kPod)) word.remove_prefix(kPod.size());
  return by_name(mesh, word, name_space);
}

Result<std::vector<Destination>> destinations_called(const model::Mesh& mesh, const model::Workload& source,
                                                     std::string_view word) {
  if (const auto endpoint = Endpoint::parse(word); endpoint && endpoint->port != 0)
    return std::vector<Destination>{{*endpoint, endpoint->address.text()}};
  const auto colon = word.rfind(':');
  std::uint16_t port = 0;
  if (colon != word.npos) std::from_chars(word.data() + colon + 1, word.data() + word.size(), port);
  if (port == 0) return failure(culvert::format("\"{}\" is not HOST:PORT", word));
  std::string host(word.substr(0, colon));
  std::vector<Destination> out;
  if (host.contains('/')) {
    const auto workload = source_called(mesh, host, source.name_space);
    if (!workload) return std::unexpected(workload.error());
    add_addresses(**workload, port, "pod " + pod_name(**workload), out);
    return out;
  }
  while (host.ends_with('.')) host.pop_back();
  if (const auto* state = service_called(mesh, source, host); state && state->service) {
    add_vips(*state->service, source, port, out);
    if (!out.empty()) return out;
    // Headless: DNS gives the endpoints.
    state->endpoints.for_each([&](const std::string&, const model::ServiceEndpoint& endpoint) {
      if (endpoint.workload->health == model::Health::kHealthy)
        add_addresses(*endpoint.workload, port,
                      "endpoint " + pod_name(*endpoint.workload) + " of headless service " + state->service->key(), out);
    });
    if (out.empty()) return failure("service " + state->service->key() + " has no address and no healthy endpoint");
    return out;
  }
  return failure(culvert::format("\"{}\" is no service of the mesh (an address, a service's host name, or pod/NAME)", host));
}

}  // namespace culvert::cli
