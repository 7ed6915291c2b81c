// What derivation costs in a mesh of many pods: how long the first update takes, and each later one. Prints a table; asserts nothing (what an update looks
// at is held by common/derive/deriver_test.cc).
// Usage: derive_bench [PODS [NAMESPACES]]      100000 and 200 by default; 1 namespace is the worst that there is
#include <time.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/format.h"
#include "common/derive/deriver.h"

namespace {

using namespace culvert;
using config::Kind;

constexpr int kPodsOfAService = 20;
constexpr int kServicesOfAPolicy = 5;

struct Mesh {
  derive::Objects objects;
  derive::Deriver deriver{{}};
  std::vector<config::Key> changed;

  template <class T>
  void put(T object) {
    auto made = std::make_shared<const config::Object>(std::move(object));
    changed.push_back(config::key_of(*made));
    objects.put(changed.back(), std::move(made));
  }
  derive::Delta update() {
    derive::Delta delta = deriver.update(objects, changed);
    changed.clear();
    return delta;
  }
};

config::Metadata metadata(std::string name_space, std::string name, config::Labels labels = {}) {
  config::Metadata out;
  out.name_space = std::move(name_space);
  out.name = std::move(name);
  out.labels = std::move(labels);
  return out;
}

struct Shape {
  int pods, namespaces;
  std::string ns(int service) const { return culvert::format("ns-{}", service % namespaces); }

  config::Pod pod(int index, bool ready = true) const {
    const int service = index / kPodsOfAService;
    config::Pod out;
    out.metadata = metadata(ns(service), culvert::format("app-{}-5d4f8c7b9-{:05}", service, index),
                            {{"app", culvert::format("app-{}", service)},
                             {"pod-template-hash", "5d4f8c7b9"},
                             {"version", "v1"},
                             {"tier", "backend"}});
    out.metadata.annotations = {{"ambient.istio.io/redirection", "enabled"}};
    out.spec.node_name = culvert::format("node-{}", index % 1000);
    out.spec.service_account = culvert::format("app-{}", service);
    out.phase = config::PodPhase::kRunning;
    out.addresses = {IpAddress::v4(static_cast<std::uint32_t>(0x0a000000 + index))};
    out.ready = ready;
    return out;
  }
  config::Service service(int index) const {
    config::Service out;
    out.metadata = metadata(ns(index), culvert::format("app-{}", index));
    out.selector = {{"app", culvert::format("app-{}", index)}};
    out.cluster_ips = {IpAddress::v4(static_cast<std::uint32_t>(0x0b000000 + index))};
    out.ports = {{.name = "http", .port = 80, .target = {8080, ""}, .transport = config::Transport::kTcp, .app_protocol = ""}};
    return out;
  }
  config::AuthorizationPolicy policy(int service, const std::string& account) const {
    config::AuthorizationPolicy out;
    out.metadata = metadata(ns(service), culvert::format("only-{}", service));
    out.selector = {{"app", culvert::format("app-{}", service)}};
    auto& source = out.rules.emplace_back().from.emplace_back();
    source.service_accounts = {account};
    return out;
  }
};

// Of the processor, so that others on the machine do not count.
double cpu_us() {
  timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

template <class Do>
void measure(std::string_view what, int times, Do one) {
  const double began = cpu_us();
  std::size_t out = 0;
  for (int i = 0; i < times; ++i) out += one(i);
  std::printf("%-50s %12.1f us of CPU each   (%d times, %zu resources changed)\n", std::string(what).c_str(),
              (cpu_us() - began) / times, times, out);
}

long resident_mib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmRSS:")) return std::atol(line.c_str() + 6) / 1024;
  return 0;
}

void run(const Shape& shape) {
  const int services = shape.pods / kPodsOfAService;
  Mesh mesh;
  for (int i = 0; i < 1000; ++i) {
    config::Node node;
    node.metadata = metadata("", culvert::format("node-{}", i), {{"topology.kubernetes.io/zone", culvert::format("z{}", i % 3)}});
    mesh.put(node);
  }
  for (int i = 0; i < services; ++i) {
    mesh.put(shape.service(i));
    config::ServiceAccount account;
    account.metadata = metadata(shape.ns(i), culvert::format("app-{}", i));
    mesh.put(account);
    if (i % kServicesOfAPolicy == 0) mesh.put(shape.policy(i, "client"));
  }
  for (int i = 0; i < shape.pods; ++i) mesh.put(shape.pod(i));
  std::printf("%d pods, %d services, %d policies, 1000 nodes, %d namespaces\n", shape.pods, services,
              services / kServicesOfAPolicy, shape.namespaces);
  const auto resources = [](const derive::Delta& delta) {
    return delta.workloads.size() + delta.services.size() + delta.policies.size() + delta.removed_addresses.size();
  };
  const auto pick = [&](int i) { return static_cast<int>(static_cast<long long>(i) * 7919 % shape.pods); };
  const auto step = [&](auto object) {
    mesh.put(std::move(object));
    return resources(mesh.update());
  };
  measure("all of it, for the first time", 1, [&](int) { return resources(mesh.update()); });
  measure("a pod is ready no more", 10'000, [&](int i) { return step(shape.pod(pick(i), false)); });
  measure("a pod changes in what nothing is derived from", 10'000, [&](int i) {
    config::Pod pod = shape.pod(pick(i), false);
    pod.metadata.annotations.edit()["note"] = "x";
    return step(std::move(pod));
  });
  measure("a pod goes and another comes", 10'000, [&](int i) {
    const config::Pod old = shape.pod(pick(i));
    mesh.changed.push_back({Kind::kPod, old.metadata.name_space, old.metadata.name});
    mesh.objects.erase(mesh.changed.back());
    config::Pod fresh = old;
    fresh.metadata.name += "x";
    return step(std::move(fresh));
  });
  measure("a service gets another port", 100, [&](int i) {
    config::Service service = shape.service(i);
    service.ports[0].port = 81;
    return step(std::move(service));
  });
  measure("a policy gets another rule", 100, [&](int i) { return step(shape.policy(i * kServicesOfAPolicy, "other")); });
  std::printf("resident: %ld MiB\n", resident_mib());
}

}  // namespace

int main(int argc, char** argv) {
  run({.pods = argc > 1 ? std::atoi(argv[1]) : 100'000, .namespaces = argc > 2 ? std::atoi(argv[2]) : 200});
  return 0;
}
