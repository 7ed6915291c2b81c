#include "common/rpc/client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <deque>
#include <utility>

#include "common/base/format.h"
#include "common/base/mutex.h"
#include "common/rpc/bytes.h"

namespace culvert::rpc {
namespace {

constexpr int kMaxMessage = 200 << 20;
constexpr int kConnectTimeout = 5'000;
constexpr int kFirstPause = 200;      // after a failed attempt to connect; gRPC's own pauses grow to two minutes,
constexpr int kLongestPause = 1'000;  // in which every call would fail although the server is back
constexpr int kPingInterval = 30'000;
constexpr int kPingTimeout = 10'000;
constexpr int kReadChunk = 64 << 10;  // a buffer of this size is kept ready when much has come: else of megabytes

grpc::ChannelArguments arguments(const Server& server) {
  grpc::ChannelArguments out;
  out.SetMaxReceiveMessageSize(kMaxMessage);
  out.SetInt(GRPC_ARG_MAX_METADATA_SIZE, 64 << 10);
  out.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kPingInterval);
  out.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kPingTimeout);
  out.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  out.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectTimeout);  // is also the limit of one attempt to connect
  out.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kFirstPause);
  out.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kLongestPause);
  out.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);          // a new channel is a new connection, with the roots of now
  out.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);                  // the environment's proxy is for web clients
  out.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);  // no policy from DNS records
  out.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  out.SetInt(GRPC_ARG_TCP_MAX_READ_CHUNK_SIZE, kReadChunk);
  if (!server.name.empty()) out.SetSslTargetNameOverride(server.name);
  return out;
}

void fill(grpc::ClientContext& context, const Metadata& metadata) {
  for (const auto& [name, value] : metadata) context.AddMetadata(name, value);
}

Ended ended(const grpc::Status& status) { return {static_cast<int>(status.error_code()), status.error_message()}; }

// A door to a loop that its owner can shut. gRPC's threads post through it, the loop's thread shuts it: hence the lock.
class Doorstep {
 public:
  explicit Doorstep(net::Loop& loop) : loop_(&loop) {}
  void post(std::move_only_function<void()> function) {
    const Lock lock(mutex_);
    if (loop_) loop_->post(std::move(function));
  }
  void shut() {
    const Lock lock(mutex_);
    loop_ = nullptr;
  }

 private:
  Mutex mutex_;
  net::Loop* loop_ CULVERT_GUARDED_BY(mutex_);
};

}  // namespace

Result<std::string> parse_address(const std::string& url) {
  std::string_view rest = url;
  if (rest.starts_with("https://")) rest.remove_prefix(8);
  if (rest.ends_with('/')) rest.remove_suffix(1);
  const auto bad = [&](std::string_view why) { return failure("address \"" + url + "\": " + std::string(why)); };
  if (rest.find("://") != rest.npos) return bad("only https is spoken (write https://host:port or host:port)");
  const auto colon = rest.rfind(':');
  if (colon == rest.npos || colon == 0 || rest.back() == ']') return bad("no port (write https://host:port or host:port)");
  const std::string_view host = rest.substr(0, colon);
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  const bool clean = std::ranges::all_of(host, [&](unsigned char c) {
    return std::isalnum(c) || c == '.' || c == '-' || c == '_' || (bracketed && (c == ':' || c == '[' || c == ']'));
  });
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(rest.data() + colon + 1, rest.data() + rest.size(), port);
  if (!clean) return bad("not a host name or address");
  if (error != std::errc() || end != rest.data() + rest.size() || port == 0) return bad("not a port");
  return std::string(rest);
}

std::string Ended::describe() const {
  static constexpr std::array kNames{
      "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
      "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
      "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
      "DATA_LOSS", "UNAUTHENTICATED"};
  const bool known = code >= 0 && static_cast<std::size_t>(code) < kNames.size();
  std::string label = known ? kNames[static_cast<std::size_t>(code)] : "code " + std::to_string(code);
  if (text.empty()) return label;
  if (!text.contains("certificate verify failed")) return label + ": " + text;
  // gRPC does not say what is wrong with it.
  const std::string now = rfc3339(std::chrono::system_clock::now());
  return label + ": " + text + " (are the roots here those of the server, and the clocks right? It is " + now + " here)";
}

struct Channel::State {
  std::shared_ptr<grpc::Channel> channel;
};

Channel::Channel(const Server& server) : state_(std::make_shared<State>()) {
  prepare_grpc();
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = server.roots_pem.empty() ? "nobody" : server.roots_pem;  // empty would mean the system's
  state_->channel = grpc::CreateCustomChannel("dns:///" + server.address, grpc::SslCredentials(options), arguments(server));
}

Channel::~Channel() = default;
Channel::Channel(Channel&&) noexcept = default;
Channel& Channel::operator=(Channel&&) noexcept = default;

// Started, written and released on the loop; gRPC's threads only post. A hold keeps OnDone away while the loop may still start something.
struct Stream::Call final : grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                            std::enable_shared_from_this<Stream::Call> {
  Call(net::Loop& loop, std::shared_ptr<Channel::State> to, Events what)
      : door(loop), channel(std::move(to)), stub(channel->channel), events(std::move(what)) {}

  void start(const std::string& path, const Metadata& metadata) {
    self = shared_from_this();
    fill(context, metadata);
    stub.PrepareBidiStreamingCall(&context, path, {}, this);
    AddHold();
    StartRead(&incoming);
    StartCall();
  }

  void write_next() {
    if (over || writing) return;
    if (!outgoing.empty()) {
      writing = true;
      written = buffer_of(outgoing.front());
      outgoing.pop_front();
      StartWrite(&written);
    } else if (std::exchange(finishing, false)) {
      StartWritesDone();
    }
  }

  void release() {
    if (!std::exchange(over, true)) RemoveHold();
  }

  // --- gRPC's threads ---
  void OnReadDone(bool ok) override {
    door.post([call = shared_from_this(), ok] { call->read_done(ok); });
  }
  void OnWriteDone(bool) override {
    door.post([call = shared_from_this()] {
      call->writing = false;
      call->write_next();  // after a failed write the read fails too
    });
  }
  void OnDone(const grpc::Status& status) override {
    const std::shared_ptr<Call> last = std::move(self);
    door.post([last, status = ended(status)]() mutable {
      const auto on_end = std::exchange(last->events.on_end, {});
      last->events = {};
      if (on_end) on_end(std::move(status));
    });
  }

  // --- the loop ---
  void read_done(bool ok) {
    if (over) return;
    if (!ok) return release();
    const auto on_message = events.on_message;  // a copy: the handler may destroy the Stream
    if (on_message) on_message(text_of(incoming));
    if (!over) StartRead(&incoming);
  }

  Doorstep door;
  std::shared_ptr<Channel::State> channel;
  grpc::GenericStub stub;
  grpc::ClientContext context;
  std::shared_ptr<Call> self;  // from start() to OnDone
  Events events;
  grpc::ByteBuffer incoming;
  grpc::ByteBuffer written;
  std::deque<std::string> outgoing;
  bool writing = false;
  bool finishing = false;
  bool over = false;  // nothing may be started any more
};

Stream::Stream(net::Loop& loop, const Channel& channel, const std::string& path, const Metadata& metadata, Events events)
    : call_(std::make_shared<Call>(loop, channel.state(), std::move(events))) {
  call_->start(path, metadata);
}

Stream::~Stream() {
  call_->door.shut();
  call_->events = {};
  call_->context.TryCancel();
  call_->release();
}

void Stream::send(std::string message) {
  call_->outgoing.push_back(std::move(message));
  call_->write_next();
}

void Stream::finish() {
  call_->finishing = true;
  call_->write_next();
}

struct Unary::Call : std::enable_shared_from_this<Unary::Call> {
  Call(net::Loop& loop, std::shared_ptr<Channel::State> to, const std::string& message, Answer what)
      : door(loop), channel(std::move(to)), stub(channel->channel), request(buffer_of(message)), answer(std::move(what)) {}

  void start(const std::string& path, const Metadata& metadata, std::chrono::milliseconds deadline) {
    fill(context, metadata);
    context.set_deadline(std::chrono::system_clock::now() + deadline);
    stub.UnaryCall(&context, path, {}, &request, &response, [call = shared_from_this()](const grpc::Status& status) {
      call->door.post([call, how = ended(status)]() mutable {
        const Answer answer = std::exchange(call->answer, {});
        if (answer) answer(std::move(how), text_of(call->response));
      });
    });
  }

  Doorstep door;
  std::shared_ptr<Channel::State> channel;
  grpc::GenericStub stub;
  grpc::ClientContext context;
  grpc::ByteBuffer request;
  grpc::ByteBuffer response;
  Answer answer;
};

Unary::Unary(net::Loop& loop, const Channel& channel, const std::string& path, const Metadata& metadata,
             const std::string& request, std::chrono::milliseconds deadline, Answer answer)
    : call_(std::make_shared<Call>(loop, channel.state(), request, std::move(answer))) {
  call_->start(path, metadata, deadline);
}

Unary::~Unary() {
  call_->door.shut();
  call_->answer = {};
  call_->context.TryCancel();
}

}  // namespace culvert::rpc
