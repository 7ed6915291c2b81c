// What a node that comes again costs culvertd's own code: its first request, which names all that it holds, is read and compared with what there is. Without
// TLS and gRPC, which ./dev bench scale measures. Prints a line for each order in which nodes may name things; asserts nothing.
// Usage: again_bench [WORKLOADS [TIMES]]      16000 and 200 by default
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "common/base/format.h"
#include "common/xds/wire.h"
#include "controlplane/snapshot/snapshot.h"
#include "controlplane/xds/stream.h"

namespace {

using namespace culvert;
using namespace culvert::controlplane;

double cpu_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

Snapshot snapshot_of(int workloads) {
  derive::Delta delta;
  for (int i = 0; i < workloads; ++i) {
    model::Workload workload;
    workload.uid = culvert::format("Kubernetes//Pod/ns-{}/app-{}-5d4f8c7b9-{:05}", i % 200, i % 5000, i);
    workload.name = culvert::format("app-{}-5d4f8c7b9-{:05}", i % 5000, i);
    workload.name_space = culvert::format("ns-{}", i % 200);
    delta.workloads.push_back(std::make_shared<const model::Workload>(std::move(workload)));
  }
  Snapshot out;
  out.apply(delta);
  return out;
}

constexpr std::uint32_t kInitialVersions = 5;  // of DeltaDiscoveryRequest

using Entries = std::vector<std::pair<std::string, std::string>>;

std::string request_of(const Entries& entries) {
  std::string out = xds::encode(
      xds::Request{.node = {.id = "ztunnel~10.0.0.1~a.b~b.svc.cluster.local"}, .type_url = std::string(xds::kAddressType)});
  for (const auto& [name, version] : entries) xds::Versions{{name, version}}.append_to(out, kInitialVersions);
  return out;
}

void measure(const char* order, const Snapshot& snapshot, const Entries& entries, int times) {
  const std::string message = request_of(entries);
  double decoded = 0, compared = 0;
  std::size_t sent = 0;
  for (int i = 0; i < times; ++i) {
    Stream stream;
    std::string copy = message;
    const double began = cpu_seconds();
    auto request = xds::decode_request(std::move(copy));
    const double read = cpu_seconds();
    stream.receive(std::move(*request), snapshot);
    for (const Push& push : stream.poll(snapshot)) sent += push.count();
    decoded += read - began;
    compared += cpu_seconds() - read;
  }
  std::printf("%s: %zu names, %zu bytes: read in %.2f ms, compared in %.2f ms, %zu resources sent\n", order, entries.size(),
              message.size(), decoded / times * 1e3, compared / times * 1e3, sent / static_cast<std::size_t>(times));
}

}  // namespace

int main(int argc, char** argv) {
  const int workloads = argc > 1 ? std::atoi(argv[1]) : 16'000, times = argc > 2 ? std::atoi(argv[2]) : 200;
  const Snapshot snapshot = snapshot_of(workloads);
  Entries entries;
  for (const auto& [name, resource] : snapshot.table(Type::kAddress).resources()) entries.emplace_back(name, resource.version());
  measure("in order", snapshot, entries, times);
  Entries few = entries;
  for (std::size_t i = 0; i < few.size(); i += few.size() / 10 + 1) few[i].second = "0123456789abcdef";
  measure("in order, ten of another version", snapshot, few, times);
  std::shuffle(entries.begin(), entries.end(), std::minstd_rand(1));
  measure("in any order", snapshot, entries, times);
  return 0;
}
