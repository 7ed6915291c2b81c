#include "common/rpc/bytes.h"

#include <absl/synchronization/mutex.h>
#include <grpc/support/log.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>

#include <cstdlib>
#include <memory>
#include <mutex>
#include <vector>

#include "common/base/log.h"

namespace culvert::rpc {

std::string text_of(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string out;
  if (!buffer.Dump(&slices).ok()) return out;
  out.reserve(buffer.Length());
  for (const grpc::Slice& slice : slices) out.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return out;
}

grpc::ByteBuffer buffer_of(const std::string& message) {
  const grpc::Slice slice(message);
  return {&slice, 1};
}

namespace {

// gRPC 1.51 has no setting for the version. It has one for the cipher suites of TLS 1.2: the only one that we leave needs a pre-shared key,
// which nobody has, so that 1.3 (whose suites are not touched) is all that two ends can agree on.
void require_tls13() { ::setenv("GRPC_SSL_CIPHER_SUITES", "PSK-AES128-GCM-SHA256", 1); }

// gRPC 1.51 would read in pieces of 64 KiB from a connection that has once brought much, and keep two of them ready for what comes next: 130 KiB.
void read_in_small_pieces() { ::setenv("GRPC_EXPERIMENTS", "-tcp_read_chunks", 0); }

// gRPC's callbacks run on threads that the last channel takes with it, by joining them. Whoever lets go of the last one inside a
// callback would wait for himself (gRPC does not notice, and frees what the thread still uses). So there is always one channel more: to
// nowhere, with one call that has failed, because the first call is what makes a channel count.
struct Anchor {
  std::shared_ptr<grpc::Channel> channel = grpc::CreateChannel("nowhere", nullptr);
  grpc::GenericStub stub{channel};
  grpc::ClientContext context;
  grpc::ByteBuffer request = buffer_of("");
  grpc::ByteBuffer response;
  Anchor() {
    stub.UnaryCall(&context, "/", {}, &request, &response, [](const grpc::Status&) {});
  }
};

void write_to_log(gpr_log_func_args* line) { log::debug("grpc", line->message); }

}  // namespace

void prepare_grpc() {
  static std::once_flag once;
  std::call_once(once, [] {
    require_tls13();
    read_in_small_pieces();
    // Each lock of a mutex would look for cycles among all that are held: a tenth of what a push costs. It is for those who look for mistakes in gRPC.
    absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
    gpr_set_log_function(write_to_log);
    static const Anchor& anchor = *new Anchor;  // for as long as the process lives
    (void)anchor;
  });
}

}  // namespace culvert::rpc
