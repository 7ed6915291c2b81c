#include "cli/local/programs.h"

#include "cli/local/ground.h"
#include "cli/local/root.h"
#include "cli/local/spawn.h"
#include "common/base/format.h"

namespace culvert::local {
namespace {

Program make(const Programs& programs, const std::string& name, const std::vector<std::string>& flags,
             std::map<std::string, std::string> env) {
  Program program{.name = name, .argv = {programs.folder + "/" + name}, .env = std::move(env)};
  program.argv.insert(program.argv.end(), flags.begin(), flags.end());
  program.env.insert({{"PATH", std::string(kPath)}, {"HOME", "/root"}, {"LANG", "C.UTF-8"}});
  for (const auto& [key, value] : programs.extra) program.env[key] = value;
  return program;
}

}  // namespace

Program control_plane(const Programs& programs) {
  return make(programs, "culvertd",
              {"--config-dir", world_path("config"), "--data-dir", world_path("ca"), "--tokens", world_path("tokens/all")}, {});
}

Program node_agent(const Programs& programs, int node) {
  return make(programs, "culvert-node",
              {"--config-dir", world_path("config"), "--node-name", node_name(node), "--cgroup-root", "/sys/fs/cgroup",
               "--kubelet-cgroups", "kubelet", "--ztunnel-socket", "/run/ztunnel/ztunnel.sock"},
              {});
}

Program ztunnel(const Programs& programs, int node) {
  const auto host = culvert::format("istiod.{}.svc", kRootNamespace);
  return make(programs, "ztunnel", {},
              {{"XDS_ADDRESS", "https://" + host + ":15012"},
               {"CA_ADDRESS", "https://" + host + ":15012"},
               {"XDS_ROOT_CA", root_certificate()},
               {"CA_ROOT_CA", root_certificate()},
               {"AUTH_TOKEN", token_path(node)},
               {"NODE_NAME", node_name(node)},
               {"POD_NAME", "ztunnel-" + node_name(node)},
               {"POD_NAMESPACE", std::string(kRootNamespace)},
               {"INSTANCE_IP", node_addresses(node).v4.text()},
               {"SERVICE_ACCOUNT", "ztunnel"}});
}

Program cluster_dns(const std::string& self) {
  const auto addresses = dns_addresses();
  return {.name = "dns",
          .argv = {self, "local", "serve-dns", world_path("zone"), addresses.v4.text(), addresses.v6.text()},
          .env = {{"PATH", std::string(kPath)}}};
}

std::string root_certificate() { return world_path("ca/root-cert.pem"); }

std::string token_path(int node) { return world_path("tokens/" + node_name(node)); }

std::string render_tokens(const std::map<int, std::string>& tokens) {
  std::string text;
  for (const auto& [node, token] : tokens) text += culvert::format("{} {}\n", token, node_name(node));
  return text;
}

}  // namespace culvert::local
