#include "tests/bpf/packet.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "tests/bpf/lab.h"

namespace culvert::bpf_test {

std::pair<int, __u64> run_lookup(int program, const Packet& packet) {
  const auto source = must(IpAddress::parse(packet.source)), destination = must(IpAddress::parse(packet.destination));
  bpf_sk_lookup context{};
  context.family = source.is_v4() ? AF_INET : AF_INET6;
  context.protocol = static_cast<__u32>(packet.protocol);
  context.remote_port = htons(packet.source_port);
  context.local_port = packet.port;
  std::memcpy(source.is_v4() ? &context.remote_ip4 : context.remote_ip6, source.bytes().data(), source.bytes().size());
  std::memcpy(source.is_v4() ? &context.local_ip4 : context.local_ip6, destination.bytes().data(), destination.bytes().size());
  LIBBPF_OPTS(bpf_test_run_opts, options);
  options.ctx_in = &context;
  options.ctx_size_in = sizeof(context);
  options.ctx_out = &context;
  options.ctx_size_out = sizeof(context);
  if (bpf_prog_test_run_opts(program, &options) == 0) return {static_cast<int>(options.retval), context.cookie};
  if (errno == EOPNOTSUPP) return {SK_PASS, kOneOfAGroup};
  throw std::runtime_error("running sk_lookup: " + errno_text(errno));
}

}  // namespace culvert::bpf_test
