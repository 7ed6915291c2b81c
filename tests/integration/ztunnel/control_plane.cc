// A control plane for tests: tells what FOLDER/mesh.yaml says (the format of LOCAL_XDS_PATH), again at each change.
//   test-control-plane FOLDER PORT      with the certificate FOLDER/server.pem and server.key; says "listening"
// While FOLDER/hold exists, policies are not told. FOLDER/bad-address and FOLDER/bad-policy are resources as well, a line with the name and then the
// bytes, in place of what mesh.yaml says of that name. What a client refuses is appended to FOLDER/refused.

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

#include "common/net/timer.h"
#include "common/rpc/server.h"
#include "common/xds/codec.h"
#include "common/xds/local_file.h"
#include "common/xds/wire.h"

namespace {

using namespace culvert;
using namespace std::chrono_literals;
using Resources = std::map<std::string, std::string>;  // bytes by name

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void put_bad(const std::filesystem::path& path, Resources& among) {
  const std::string all = read(path);
  if (const auto line = all.find('\n'); line != all.npos) among[all.substr(0, line)] = all.substr(line + 1);
}

struct ControlPlane {
  std::filesystem::path folder;
  rpc::CallRef call;  // the last to come
  std::map<std::string, Resources> told;
  std::map<std::string, bool> asked;
  int nonce = 0;

  void serve(rpc::CallRef by) {
    call = std::move(by);
    told.clear();
    asked.clear();
    call->accept(
        {.on_message = [this](std::string message) { hear(*xds::decode_request(message)); }, .on_sent = {}, .on_end = {}});
  }

  void hear(const xds::Request& request) {
    asked[request.type_url] = true;
    if (!request.error.empty()) std::ofstream(folder / "refused", std::ios::app) << request.error << "\n";
  }

  std::map<std::string, Resources> wanted() const {
    const auto config = xds::parse_local(read(folder / "mesh.yaml"), "mesh.yaml");
    std::map<std::string, Resources> out;
    if (!config) return told;
    auto& addresses = out[std::string(xds::kAddressType)];
    auto& policies = out[std::string(xds::kAuthorizationType)];
    for (const auto& workload : config->workloads) addresses[workload.uid] = xds::encode(workload);
    for (const auto& service : config->services) addresses[service.key()] = xds::encode(service);
    for (const auto& policy : config->policies) policies[policy.key()] = xds::encode(policy);
    put_bad(folder / "bad-address", addresses);
    put_bad(folder / "bad-policy", policies);
    if (std::filesystem::exists(folder / "hold")) out.erase(std::string(xds::kAuthorizationType));
    return out;
  }

  void tell() {
    for (auto& [type, resources] : wanted()) {
      if (!asked[type]) continue;
      const bool first = !told.contains(type);
      Resources& before = told[type];
      xds::Response response{type, std::to_string(++nonce), {}, {}};
      for (const auto& [name, bytes] : resources) {
        if (const auto found = before.find(name); found == before.end() || found->second != bytes)
          response.resources.push_back({name, std::to_string(nonce), type, bytes});
      }
      for (const auto& [name, unused] : before) {
        if (!resources.contains(name)) response.removed.push_back(name);
      }
      if (!first && response.resources.empty() && response.removed.empty()) continue;
      before = resources;
      call->send(xds::encode(response));
    }
  }

  static net::Task<> live(net::Loop* loop, ControlPlane* self) {
    for (;;) {
      co_await net::sleep_for(*loop, 10ms);
      if (self->call) self->tell();
    }
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 1;
  net::Loop loop;
  ControlPlane plane{.folder = argv[1], .call = {}, .told = {}, .asked = {}};
  const auto listening = rpc::CallServer::start(loop,
                                                {.address = std::string("127.0.0.1:") + argv[2],
                                                 .certificate_file = plane.folder / "server.pem",
                                                 .key_file = plane.folder / "server.key"},
                                                [&](rpc::CallRef call) {
                                                  call->proved("ztunnel");
                                                  plane.serve(std::move(call));
                                                });
  if (!listening) {
    std::fprintf(stderr, "%s\n", listening.error().text.c_str());
    return 1;
  }
  std::printf("listening\n");
  std::fflush(stdout);
  loop.spawn(ControlPlane::live(&loop, &plane));
  loop.run();
}
