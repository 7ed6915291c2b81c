#include "common/rpc/server.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <deque>
#include <filesystem>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "common/base/mutex.h"
#include "common/rpc/bytes.h"
#include "common/rpc/first_look.h"

namespace culvert::rpc {

Result<Endpoint> endpoint_of(std::string_view peer) {
  std::string text(peer.substr(std::min(peer.size(), peer.find(':') + 1)));
  for (const auto& [coded, plain] : {std::pair("%5B", "["), std::pair("%5D", "]"), std::pair("%25", "%")})
    if (const auto at = text.find(coded); at != text.npos) text.replace(at, 3, plain);
  return Endpoint::parse(text);
}

namespace {

grpc::Status status_of(const Ended& ended) { return {static_cast<grpc::StatusCode>(ended.code), ended.text}; }

// gRPC gives the leaf, and what the caller sent with it.
std::string certificate_of(const grpc::ServerContextBase& context) {
  const auto shown = context.auth_context();
  const auto first = [&](const char* name) {
    const auto values = shown ? shown->FindPropertyValues(name) : std::vector<grpc::string_ref>();
    return values.empty() ? std::string() : std::string(values.front().data(), values.front().size());
  };
  std::string leaf = first(GRPC_X509_PEM_CERT_PROPERTY_NAME);
  std::string chain = first(GRPC_X509_PEM_CERT_CHAIN_PROPERTY_NAME);
  return chain.starts_with(leaf) ? chain : leaf + chain;
}

class Call;

// The calls that live. Locked, because gRPC makes and ends calls on threads of its own.
struct Registry {
  void go_on(const std::vector<Gate::Call>& calls);
  bool withdraw(Gate::Call call);

  Mutex mutex;
  std::set<Call*> live CULVERT_GUARDED_BY(mutex);
  std::map<Gate::Call, std::function<void()>> waiting CULVERT_GUARDED_BY(mutex);  // what lets the handler hear of them
  bool closing CULVERT_GUARDED_BY(mutex) = false;
  std::size_t max_calls = 0;
  std::unique_ptr<Door> door;
};

void Registry::go_on(const std::vector<Gate::Call>& calls) {
  if (calls.empty()) return;
  const Lock lock(mutex);
  for (const Gate::Call call : calls)
    if (const auto found = waiting.extract(call)) found.mapped()();
}

// True: nobody has heard of it, and nobody will.
bool Registry::withdraw(Gate::Call call) {
  const Lock lock(mutex);
  return waiting.erase(call) != 0;
}

// gRPC's callbacks come on its threads and do nothing but post; everything else happens on the loop. `self_` keeps the object until OnDone.
class Call final : public ServerCall, public grpc::ServerGenericBidiReactor, public std::enable_shared_from_this<Call> {
 public:
  Call(net::Loop& loop, Registry& registry, const Gate::Ticket& ticket, const grpc::GenericCallbackServerContext& context)
      : loop_(loop),
        registry_(registry),
        ticket_(ticket),
        connection_(number_of(context)),
        path_(context.method()),
        peer_(context.peer()),
        certificate_(certificate_of(context)) {
    for (const auto& [name, value] : context.client_metadata()) {
      metadata_.emplace(std::string(name.data(), name.size()), std::string(value.data(), value.size()));
    }
  }

  const std::string& path() const override { return path_; }
  const std::string& peer() const override { return peer_; }
  const std::string& certificate() const override { return certificate_; }
  std::string_view metadata(std::string_view name) const override {
    const auto found = metadata_.find(name);
    return found == metadata_.end() ? std::string_view{} : std::string_view(found->second);
  }

  void proved(const std::string& caller) override { registry_.go_on(registry_.door->prove(ticket_, caller)); }

  void accept(Events events) override {
    if (finished_) return;
    events_ = std::move(events);
    accepted_ = true;
    if (ended_) return end();
    StartRead(&incoming_);
  }

  void send(std::string message) override { send(Pieces{std::make_shared<const std::string>(std::move(message))}); }

  void send(Pieces message) override {
    if (finished_) return;
    outgoing_.push_back(std::move(message));
    if (!writing_) write_next();
  }

  void answer(std::string message) override {
    if (std::exchange(finished_, true)) return;
    events_ = {};
    written_ = buffer_of(message);
    StartWriteAndFinish(&written_, grpc::WriteOptions(), grpc::Status::OK);
  }

  void finish(Ended status) override {
    if (std::exchange(finished_, true)) return;
    events_ = {};
    outgoing_.clear();
    Finish(status_of(status));
  }

  // From the thread that made it: before anybody else knows of it.
  void keep(std::shared_ptr<Call> self) { self_ = std::move(self); }

  // --- gRPC's threads ---
  void OnReadDone(bool ok) override {
    loop_.post([self = shared_from_this(), ok] { self->read_done(ok); });
  }
  void OnWriteDone(bool ok) override {
    loop_.post([self = shared_from_this(), ok] { self->write_done(ok); });
  }
  void OnCancel() override {
    loop_.post([self = shared_from_this()] { self->end(); });
  }
  void OnDone() override {
    const std::shared_ptr<Call> last = std::move(self_);
    registry_.go_on(registry_.door->end_call(ticket_));
    registry_.door->done_with(connection_);
    const Lock lock(registry_.mutex);
    registry_.live.erase(this);
  }

 private:
  void read_done(bool ok) {
    if (finished_) return;
    if (!ok) return end();                       // the peer has finished sending: there is no use in a call that only listens
    const auto on_message = events_.on_message;  // a copy: the handler may finish the call, which drops the events
    registry_.door->moved(ticket_);
    std::string message = text_of(incoming_);
    incoming_.Clear();  // not until the next one: this one may be large
    if (on_message) on_message(std::move(message));
    if (!finished_ && !events_.one_message) StartRead(&incoming_);
  }

  void write_next() {
    writing_ = true;
    written_ = buffer_of(outgoing_.front());
    outgoing_.pop_front();
    StartWrite(&written_);
  }

  void write_done(bool ok) {
    writing_ = false;
    if (finished_ || !ok) return;  // a failed write is followed by OnCancel
    if (!outgoing_.empty()) return write_next();
    const auto on_sent = events_.on_sent;
    if (on_sent) on_sent();
  }

  void end() {
    ended_ = true;
    if (finished_) return;
    if (!accepted_ && registry_.withdraw(ticket_.call)) return finish({.code = grpc::StatusCode::CANCELLED, .text = ""});
    if (!accepted_) return;
    const auto on_end = std::move(events_.on_end);
    finish({.code = grpc::StatusCode::OK, .text = ""});
    if (on_end) on_end();
  }

  net::Loop& loop_;
  Registry& registry_;
  Gate::Ticket ticket_;
  const Turnstile::Number connection_;
  const std::string path_;
  const std::string peer_;
  const std::string certificate_;
  std::map<std::string, std::string, std::less<>> metadata_;
  std::shared_ptr<Call> self_;
  Events events_;
  grpc::ByteBuffer incoming_;
  grpc::ByteBuffer written_;
  std::deque<Pieces> outgoing_;
  bool accepted_ = false;
  bool writing_ = false;
  bool ended_ = false;     // the peer has gone
  bool finished_ = false;  // we have said how it ends
};

// A call that is one too many: nobody hears of it.
class Refusal final : public grpc::ServerGenericBidiReactor {
 public:
  Refusal(Door& door, Turnstile::Number connection, const grpc::Status& status) : door_(door), connection_(connection) {
    Finish(status);
  }
  void OnDone() override {
    door_.done_with(connection_);
    delete this;
  }

 private:
  Door& door_;
  const Turnstile::Number connection_;
};

class Service final : public grpc::CallbackGenericService {
 public:
  Service(net::Loop& loop, CallServer::Handler handler, std::size_t max_calls, std::unique_ptr<Door> door)
      : loop_(loop), handler_(std::make_shared<CallServer::Handler>(std::move(handler))) {
    registry_.max_calls = max_calls;
    registry_.door = std::move(door);
  }

  // On gRPC's threads.
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* context) override {
    const auto refuse = [&](const char* why, grpc::StatusCode code = grpc::StatusCode::RESOURCE_EXHAUSTED) {
      return new Refusal(*registry_.door, number_of(*context), {code, why});
    };
    const auto peer = endpoint_of(context->peer());
    Gate::Ticket begun;
    bool full = false;
    {
      // From here on, so that whoever lets it go on finds it waiting.
      const Lock lock(registry_.mutex);
      const auto ticket = peer ? registry_.door->begin_call(*peer, number_of(*context)) : std::nullopt;
      if (!ticket) return refuse("too many calls at one time");
      begun = *ticket;
      // Who is not proved has half of it at most: a connection of one who is finds room.
      const std::size_t most = begun.unproved ? std::max<std::size_t>(1, registry_.max_calls / 2) : registry_.max_calls;
      if (!registry_.closing && registry_.live.size() < most) return admit(begun, *context);
      full = !registry_.closing;
    }
    registry_.go_on(registry_.door->end_call(begun));
    return full ? refuse("too many calls") : refuse("shutting down", grpc::StatusCode::UNAVAILABLE);
  }

  // The handler hears of it, in its turn. Under the lock, so that close() finds either the call in the registry or the door shut.
  Call* admit(const Gate::Ticket& ticket, const grpc::GenericCallbackServerContext& context) CULVERT_REQUIRES(registry_.mutex) {
    auto call = std::make_shared<Call>(loop_, registry_, ticket, context);
    call->keep(call);
    registry_.live.insert(call.get());
    auto heard = [this, call, handler = handler_] { loop_.post([call, handler] { (*handler)(call); }); };
    if (ticket.waits) registry_.waiting.emplace(ticket.call, std::move(heard));
    else heard();
    return call.get();
  }

  // On the loop: no call begins any more, those that live end.
  void close() {
    std::vector<std::shared_ptr<Call>> live;
    {
      const Lock lock(registry_.mutex);
      registry_.closing = true;
      registry_.waiting.clear();
      for (Call* call : registry_.live) live.push_back(call->shared_from_this());
    }
    for (const auto& call : live) call->finish({grpc::StatusCode::UNAVAILABLE, "shutting down"});
    *handler_ = [](const CallRef&) {};
  }

  std::size_t size() {
    const Lock lock(registry_.mutex);
    return registry_.live.size();
  }
  Door& door() { return *registry_.door; }

 private:
  net::Loop& loop_;
  std::shared_ptr<CallServer::Handler> handler_;
  Registry registry_;
};

void set_limits(grpc::ServerBuilder& builder, const ServerOptions& options) {
  constexpr int kPingInterval = 30'000;
  constexpr int kPingTimeout = 10'000;
  constexpr int kLeastPingInterval = 10'000;
  constexpr int kMaxMetadata = 16 << 10;
  constexpr auto kGrace = std::chrono::milliseconds(10'000);  // for calls under way when a connection is too old
  constexpr int kIdle = 60'000;  // a connection without a call: whoever has no token to show goes soon
  constexpr int kReadAtOnce = 8 << 10;
  builder.SetMaxReceiveMessageSize(static_cast<int>(options.max_message_bytes));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, static_cast<int>(options.connections.calls));
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadata);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, static_cast<int>(options.handshake_timeout.count()));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kPingInterval);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kPingTimeout);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kLeastPingInterval);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, static_cast<int>(options.max_connection_age.count()));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS,
                             static_cast<int>(std::min(kGrace, options.max_connection_age).count()));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, kIdle);
  // All calls in what is read at once are made before we are shown the first: gRPC would read more and more at once, of who sends much.
  // And a buffer of this size is kept ready for each connection.
  builder.AddChannelArgument(GRPC_ARG_TCP_MAX_READ_CHUNK_SIZE, kReadAtOnce);
  // What a client may send ahead of being read stays 64 KiB. Else it grows with what a connection can carry: megabytes of each of a thousand clients that
  // have all to say what they hold, and a ping for every burst to find out.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.AddChannelArgument(GRPC_ARG_ENABLE_CHANNELZ, 0);  // figures of each connection and call that nobody asks for
  grpc::ResourceQuota quota("rpc");
  quota.Resize(options.max_memory);
  builder.SetResourceQuota(quota);
}

}  // namespace

using Acceptor = grpc::experimental::ExternalConnectionAcceptor;

struct CallServer::State {
  State(net::Loop& loop, Handler handler, std::size_t max_calls, std::unique_ptr<Door> door)
      : service(loop, std::move(handler), max_calls, std::move(door)) {}

  Service service;
  std::vector<std::unique_ptr<Acceptor>> acceptors;
  std::unique_ptr<grpc::Server> server;
  std::uint16_t port = 0;
  std::uint16_t plaintext_port = 0;

  // One more way in, before the server is built.
  Result<std::uint16_t> listen(grpc::ServerBuilder& builder, const std::string& address,
                               const std::shared_ptr<grpc::ServerCredentials>& credentials) {
    const auto at = Endpoint::parse(address);
    if (!at) return std::unexpected(Error(at.error()).during("reading the address to listen on"));
    acceptors.push_back(builder.experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, credentials));
    return service.door().listen(*at, [acceptor = acceptors.back().get()](Fd connection) {
      Acceptor::NewConnectionParameters parameters;
      parameters.fd = connection.release();
      acceptor->HandleNewConnection(&parameters);
    });
  }
};

CallServer::CallServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

CallServer::~CallServer() {
  state_->service.door().close();
  state_->service.close();
  state_->server->Shutdown(std::chrono::system_clock::now());
  state_->server->Wait();
}

namespace {

std::shared_ptr<grpc::ServerCredentials> tls_credentials(const ServerOptions& options, Door& door) {
  constexpr unsigned kReadAgain = 1;  // seconds: what it was signed with may be trusted no more soon
  auto provider = std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(options.key_file, options.certificate_file,
                                                                                       kReadAgain);
  grpc::experimental::TlsServerCredentialsOptions credentials(provider);
  credentials.watch_identity_key_cert_pairs();
  // Who shows one is judged with each of his calls, by the roots of that moment, and told: a handshake that fails tells nothing.
  credentials.set_cert_request_type(GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_BUT_DONT_VERIFY);
  auto made = grpc::experimental::TlsServerCredentials(credentials);
  made->SetAuthMetadataProcessor(first_look(door));
  return made;
}

}  // namespace

Result<std::unique_ptr<CallServer>> CallServer::start(net::Loop& loop, const ServerOptions& options, Handler handler) {
  for (const std::string& file : {options.certificate_file, options.key_file}) {
    std::error_code error;
    if (!std::filesystem::is_regular_file(file, error)) return failure("starting the gRPC server: " + file + " is not there");
  }
  auto door = Door::open(options.connections);
  if (!door) return std::unexpected(std::move(door).error());
  prepare_grpc();
  auto state = std::make_unique<State>(loop, std::move(handler), options.max_calls, std::move(*door));
  grpc::ServerBuilder builder;
  set_limits(builder, options);
  builder.RegisterCallbackGenericService(&state->service);
  const auto port = state->listen(builder, options.address, tls_credentials(options, state->service.door()));
  if (!port) return std::unexpected(port.error());
  state->port = *port;
  if (!options.plaintext_address.empty()) {
    const auto plaintext = state->listen(builder, options.plaintext_address, grpc::InsecureServerCredentials());
    if (!plaintext) return std::unexpected(plaintext.error());
    state->plaintext_port = *plaintext;
  }
  state->server = builder.BuildAndStart();
  if (!state->server) return failure("starting the gRPC server");
  state->service.door().begin();
  return std::unique_ptr<CallServer>(new CallServer(std::move(state)));
}

std::uint16_t CallServer::port() const { return state_->port; }

std::uint16_t CallServer::plaintext_port() const { return state_->plaintext_port; }

std::size_t CallServer::calls() const { return state_->service.size(); }

Door::Figures CallServer::figures() const { return state_->service.door().figures(); }

}  // namespace culvert::rpc
