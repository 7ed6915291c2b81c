#include "ztunnel/dns/names.h"

#include <algorithm>
#include <array>
#include <optional>

namespace culvert::ztunnel::dns {
namespace {

std::string joined(std::string_view left, std::string_view right) {
  std::string out;
  out.reserve(left.size() + 1 + right.size());
  return out.append(left).append(1, '.').append(right);
}

// The domains that a pod's resolv.conf searches, without those of the machine.
struct Domains {
  std::string name_space, services;
  std::string cluster;

  Domains(std::string_view client_namespace, std::string_view cluster_domain)
      : name_space(joined(client_namespace, joined("svc", cluster_domain))),
        services(joined("svc", cluster_domain)),
        cluster(cluster_domain) {}
};

// Names as people write them inside a cluster: "web", "web.shop", "web.shop.svc", "web-0.web.shop.svc".
std::vector<std::string> expansions(std::string_view name, const Domains& domains) {
  const auto labels = std::ranges::count(name, '.') + 1;
  const bool ends_in_svc = name.ends_with(".svc");
  switch (labels) {
    case 1: return {joined(name, domains.name_space)};
    case 2: return {joined(name, domains.services), joined(name, domains.name_space)};
    case 3:
      if (ends_in_svc) return {joined(name, domains.cluster), joined(name, domains.services)};
      return {joined(name, domains.services)};
    case 4:
      if (ends_in_svc) return {joined(name, domains.cluster)};
      return {};
    default: return {};
  }
}

std::optional<std::string_view> without(std::string_view name, std::string_view domain) {
  if (name.size() <= domain.size() + 1 || !name.ends_with(domain)) return std::nullopt;
  if (name[name.size() - domain.size() - 1] != '.') return std::nullopt;
  return name.substr(0, name.size() - domain.size() - 1);
}

}  // namespace

std::vector<Candidate> candidates(std::string_view name, std::string_view client_namespace, std::string_view cluster_domain) {
  if (name.empty()) return {};
  const Domains domains(client_namespace, cluster_domain);
  std::vector<Candidate> out;
  const auto add = [&out](std::string text, bool stripped) {
    if (std::ranges::find(out, text, &Candidate::name) == out.end()) out.push_back({std::move(text), stripped});
  };

  add(std::string(name), false);
  for (auto& expansion : expansions(name, domains)) add(std::move(expansion), false);
  for (const std::string_view domain :
       {std::string_view(domains.name_space), std::string_view(domains.services), std::string_view(domains.cluster)}) {
    const auto stripped = without(name, domain);
    if (!stripped) continue;
    add(std::string(*stripped), true);
    for (auto& expansion : expansions(*stripped, domains)) add(std::move(expansion), true);
  }
  return out;
}

std::vector<std::string> wildcards(std::string_view name) {
  std::vector<std::string> out;
  for (std::size_t dot = name.find('.'); dot != std::string_view::npos; dot = name.find('.', dot + 1))
    out.push_back(joined("*", name.substr(dot + 1)));
  return out;
}

}  // namespace culvert::ztunnel::dns
