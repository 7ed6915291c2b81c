// Packets of both directions, as a peer could send them: the input is cut into packets, each for one of the two ends.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/zds/client.h"
#include "common/zds/server.h"

namespace {

using namespace culvert;

// Takes the next packet off `input`: a byte of length, then so many bytes.
std::string_view take(std::string_view& input) {
  if (input.empty()) return {};
  const auto length = static_cast<unsigned char>(input.front());
  const auto packet = input.substr(1, length);
  input.remove_prefix(1 + packet.size());
  return packet;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  zds::Client client([](int descriptor) { return static_cast<std::uint64_t>(-descriptor); });
  zds::Server server;
  const zds::Client::Time now{};
  (void)client.connected();
  server.add({.uid = "a", .name = "p", .name_space = "n", .service_account = "s"}, std::make_shared<const Fd>(), now);
  const auto peer = server.connected(0, now);
  while (!input.empty()) {
    const auto what = static_cast<unsigned char>(input.front());
    input.remove_prefix(1);
    const auto packet = take(input);
    if (what % 2 == 0) {
      (void)server.received(peer, packet, now);
      continue;
    }
    std::vector<Fd> descriptors;
    if (what % 4 == 1) descriptors.emplace_back();
    if (auto step = client.received(packet, std::move(descriptors)); !step) {
      (void)client.connected();
    } else if (step->start) {
      (void)client.started(step->start->pod.uid, step->start->generation, what % 8 == 1 ? "" : "failed", now);
    }
    (void)client.pending();
  }
  return 0;
}
