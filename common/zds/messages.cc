#include "common/zds/messages.h"

#include <utility>

#include "common/base/format.h"
#include "proto/zds.pb.h"

namespace culvert::zds {
namespace {

namespace wire = istio::workload::zds;

// The error text that an ack may carry: what tags and lengths leave of a packet.
constexpr std::size_t kMaxError = kMaxPacket - 16;

template <class Message>
Result<Message> parse(std::string_view packet, std::string_view what) {
  if (packet.size() > kMaxPacket) {
    return failure(culvert::format("{} of {} bytes is longer than a packet may be ({})", what, packet.size(), kMaxPacket));
  }
  Message message;
  if (!message.ParseFromArray(packet.data(), static_cast<int>(packet.size())))
    return failure(culvert::format("cannot read {}", what));
  return message;
}

// Cuts at a border of UTF-8 characters: a string of protobuf must be valid.
std::string_view cut(std::string_view text, std::size_t size) {
  if (text.size() <= size) return text;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;
  return text.substr(0, size);
}

struct Fill {
  wire::WorkloadRequest& out;

  void operator()(const Add& add) const {
    out.mutable_add()->set_uid(add.pod.uid);
    auto& workload = *out.mutable_add()->mutable_workload_info();
    workload.set_name(add.pod.name);
    workload.set_namespace_(add.pod.name_space);
    workload.set_service_account(add.pod.service_account);
  }
  void operator()(const Keep& keep) const { out.mutable_keep()->set_uid(keep.uid); }
  void operator()(const Del& del) const { out.mutable_del()->set_uid(del.uid); }
  void operator()(const SnapshotSent&) const { out.mutable_snapshot_sent(); }
};

}  // namespace

Result<std::string> encode(const Request& request) {
  wire::WorkloadRequest message;
  std::visit(Fill{message}, request);
  auto packet = message.SerializeAsString();
  if (packet.size() > kMaxPacket) {
    return failure(culvert::format("a message of {} bytes does not fit into a packet of {}", packet.size(), kMaxPacket));
  }
  return packet;
}

Result<Request> decode_request(std::string_view packet) {
  auto message = parse<wire::WorkloadRequest>(packet, "a request");
  if (!message) return std::unexpected(std::move(message).error());
  switch (message->payload_case()) {
    case wire::WorkloadRequest::kAdd: {
      auto& add = *message->mutable_add();
      auto& workload = *add.mutable_workload_info();
      return Add{{.uid = std::move(*add.mutable_uid()),
                  .name = std::move(*workload.mutable_name()),
                  .name_space = std::move(*workload.mutable_namespace_()),
                  .service_account = std::move(*workload.mutable_service_account())}};
    }
    case wire::WorkloadRequest::kKeep: return Keep{std::move(*message->mutable_keep()->mutable_uid())};
    case wire::WorkloadRequest::kDel: return Del{std::move(*message->mutable_del()->mutable_uid())};
    case wire::WorkloadRequest::kSnapshotSent: return SnapshotSent{};
    case wire::WorkloadRequest::PAYLOAD_NOT_SET: break;
  }
  return failure("a request without a payload that we know (is the node agent newer than ztunnel?)");
}

std::string encode_hello() {
  wire::ZdsHello hello;
  hello.set_version(wire::V1);
  return hello.SerializeAsString();
}

Status decode_hello(std::string_view packet) {
  const auto hello = parse<wire::ZdsHello>(packet, "a hello");
  if (!hello) return std::unexpected(hello.error());
  if (hello->version() == wire::V1) return {};
  return failure(culvert::format("a hello of version {}: only version 1 is spoken here", static_cast<int>(hello->version())));
}

std::string encode_ack(std::string_view error) {
  wire::WorkloadResponse response;
  response.mutable_ack()->set_error(std::string(cut(error, kMaxError)));
  return response.SerializeAsString();
}

Result<std::string> decode_ack(std::string_view packet) {
  auto response = parse<wire::WorkloadResponse>(packet, "an answer");
  if (!response) return std::unexpected(std::move(response).error());
  if (!response->has_ack()) return failure("an answer that is no ack");
  return std::move(*response->mutable_ack()->mutable_error());
}

}  // namespace culvert::zds
