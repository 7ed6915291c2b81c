// The server's side of HTTP/2 and of gRPC's messages, fed with whatever a peer may send: what it makes us hold stays within bounds.
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/http/http2.h"
#include "common/rpc/message.h"

namespace {

using namespace culvert;
using http::Http2;

constexpr Http2::Limits kLimits{.streams = 4, .header_list = 1000, .connection_window = 100'000};

struct Server final : Http2::Events {
  void on_headers(Http2::StreamId stream, http::HeaderList headers) override {
    std::size_t size = 0;
    for (const auto& field : headers) size += field.name.size() + field.value.size() + 32;
    CULVERT_CHECK(size <= kLimits.header_list);
    CULVERT_CHECK(readers.emplace(stream, rpc::MessageReader()).second);
    CULVERT_CHECK(readers.size() <= kLimits.streams);
    if (stream % 3 == 0) return session.respond(stream, {{.name = ":status", .value = "415"}}, true);
    session.respond(stream, {{.name = ":status", .value = "200"}});
  }
  void on_data(Http2::StreamId stream, std::span<const std::byte> bytes) override {
    const std::size_t size = bytes.size();
    rpc::MessageReader& reader = readers.at(stream);
    for (auto step = reader.take(bytes); step != rpc::MessageReader::Step::kMore; step = reader.take(bytes)) {
      if (step == rpc::MessageReader::Step::kCompressed) {
        session.finish(stream, {{.name = "grpc-status", .value = "12"}});
        bytes = {};
        break;
      }
      if (step == rpc::MessageReader::Step::kMessage)
        session.send(stream,
                     {std::make_shared<const std::string>("echo "), std::make_shared<const std::string>(reader.message())});
    }
    CULVERT_CHECK(bytes.empty());
    if (size % 2 == 0) session.credit(stream, size);
  }
  void on_end(Http2::StreamId stream) override { session.finish(stream, {{.name = "grpc-status", .value = "0"}}); }
  void on_sent(Http2::StreamId) override {}
  void on_closed(Http2::StreamId stream, std::uint32_t) override { CULVERT_CHECK(readers.erase(stream) == 1); }

  std::map<Http2::StreamId, rpc::MessageReader> readers;
  Http2 session{Http2::Role::kServer, kLimits, *this};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Server server;
  const std::string preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + std::string("\0\0\0\4\0\0\0\0\0", 9);
  if (!server.session.receive(std::as_bytes(std::span(preface)))) return 0;
  // In pieces of many sizes, with what we say in between.
  for (auto rest = std::as_bytes(std::span(data, size)); !rest.empty();) {
    const std::size_t piece = std::min<std::size_t>(rest.size(), 1 + std::to_integer<std::size_t>(rest.front()));
    if (!server.session.receive(rest.first(piece))) break;
    rest = rest.subspan(piece);
    std::vector<std::byte> out;
    if (!server.session.output(out, 1 << 20) || server.session.over()) break;
  }
  return 0;
}
