#include "common/kube/client.h"

#include <utility>
#include <vector>

#include "common/base/format.h"
#include "common/base/secrets.h"
#include "common/base/version.h"
#include "common/kube/connection.h"
#include "common/net/event.h"

namespace culvert::kube {
namespace {

struct Idle {
  std::unique_ptr<Connection> connection;
  std::uint64_t generation;
  net::Clock::time_point since;
};

}  // namespace

struct Client::State {
  State(net::Loop& its_loop, Access its_access, ClientOptions its_options)
      : loop(its_loop), access(std::move(its_access)), options(std::move(its_options)), freed(its_loop) {}

  std::unique_ptr<Connection> take_idle(std::uint64_t generation);
  void put_back(std::unique_ptr<Connection> connection, std::uint64_t generation);
  http::Request message(const Request& request, const Proof& proof) const;

  net::Loop& loop;
  Access access;
  ClientOptions options;
  std::vector<Idle> idle;  // the one that was used last is used next
  std::size_t calls = 0;
  net::Event freed;
};

struct Client::Stream::State {
  std::shared_ptr<Client::State> client;
  std::unique_ptr<Connection> connection;
  std::uint64_t generation;
  std::string doing;

  State(std::shared_ptr<Client::State> its_client, std::unique_ptr<Connection> its_connection, std::uint64_t its_generation,
        std::string what)
      : client(std::move(its_client)),
        connection(std::move(its_connection)),
        generation(its_generation),
        doing(std::move(what)) {}
  State(const State&) = delete;
  ~State() {
    if (connection->reusable()) client->put_back(std::move(connection), generation);
  }
};

std::unique_ptr<Connection> Client::State::take_idle(std::uint64_t generation) {
  while (!idle.empty()) {
    Idle last = std::move(idle.back());
    idle.pop_back();
    if (last.generation != generation) continue;
    if (net::Clock::now() - last.since > options.idle_for || !last.connection->quiet()) continue;
    return std::move(last.connection);
  }
  return nullptr;
}

void Client::State::put_back(std::unique_ptr<Connection> connection, std::uint64_t generation) {
  if (options.idle == 0) return;
  if (idle.size() >= options.idle) idle.erase(idle.begin());
  idle.push_back({std::move(connection), generation, net::Clock::now()});
}

http::Request Client::State::message(const Request& request, const Proof& proof) const {
  http::Request out{
      .method = request.method, .target = access.server().prefix + request.target(), .headers = {}, .body = request.body};
  out.headers.add("User-Agent", culvert::format("{}/{}", options.user_agent, kVersion));
  // A list in that form has a name of its own; the server refuses (406) what is asked for under the other.
  const std::string_view part = request.verb == "list" ? "PartialObjectMetadataList" : "PartialObjectMetadata";
  if (request.headers.count("accept") == 0)
    out.headers.add("Accept",
                    request.metadata ? culvert::format("application/json;as={};g=meta.k8s.io;v=v1", part) : "application/json");
  for (const auto& [name, value] : request.headers.fields()) out.headers.add(name, value);
  if (!request.content_type.empty()) out.headers.add("Content-Type", request.content_type);
  if (!proof.token.empty()) out.headers.add("Authorization", "Bearer " + proof.token);
  return out;
}

namespace {

// One of the calls that may run at once, or one that waits to be.
class Slot {
 public:
  explicit Slot(std::shared_ptr<Client::State> its_client) : client_(std::move(its_client)) {}
  Slot(const Slot&) = delete;
  // Also of one that is given up when its turn has come and it has not resumed yet: whoever waits behind it is told instead.
  ~Slot() {
    if (taken_) --client_->calls;
    if (free()) client_->freed.notify_one();
  }
  bool free() const { return client_->calls < client_->options.calls; }
  void take() {
    ++client_->calls;
    taken_ = true;
  }

 private:
  std::shared_ptr<Client::State> client_;
  bool taken_ = false;
};

// Wipes it at the end, if it is a secret.
struct Wiped {
  Wiped(std::string& its_text, bool is_secret) : text(its_text), secret(is_secret) {}
  Wiped(const Wiped&) = delete;
  ~Wiped() {
    if (secret) wipe(text);
  }
  std::string& text;
  bool secret;
};

struct Answered {
  std::unique_ptr<Connection> connection;
  std::uint64_t generation;
};

// Asks once: on an idle connection while there is one that takes it, else on a new one.
net::Task<Result<Answered>> ask(std::shared_ptr<Client::State> client, const Request& request, Proof proof,
                                net::Clock::time_point deadline) {
  const Server& server = client->access.server();
  http::Request message = client->message(request, proof);
  const Wiped wiped(message.body, request.secret);
  for (;;) {
    auto connection = client->take_idle(proof.generation);
    const bool used = connection != nullptr;
    if (!used) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - net::Clock::now());
      auto opened = co_await Connection::open(client->loop, server, proof.tls, std::min(client->options.connect, left));
      if (!opened) co_return std::unexpected(std::move(opened).error());
      connection = std::move(*opened);
    }
    if (request.still && !request.still()) {
      client->put_back(std::move(connection), proof.generation);
      co_return failure("is not sent: it is not wanted any more");
    }
    if (request.secret) connection->keep_secret();
    auto asked = co_await connection->ask(message, server.authority(), deadline);
    if (asked) co_return Answered{std::move(connection), proof.generation};
    if (!used || !connection->untouched() || request.method != "GET" || net::Clock::now() >= deadline)
      co_return std::unexpected(std::move(asked).error());
  }
}

// With a new proof when the old one is not taken and there is another.
net::Task<Result<Answered>> ask_as_ourselves(std::shared_ptr<Client::State> client, const Request& request,
                                             net::Clock::time_point deadline) {
  auto proof = co_await client->access.proof(client->loop);
  if (!proof) co_return std::unexpected(std::move(proof).error());
  auto answered = co_await ask(client, request, *proof, deadline);
  if (!answered || answered->connection->status() != 401) co_return answered;
  client->access.refused();
  auto other = co_await client->access.proof(client->loop);
  if (!other || (other->token == proof->token && other->generation == proof->generation)) co_return answered;
  co_return co_await ask(client, request, std::move(*other), deadline);
}

net::Task<Result<std::string>> read_whole(Client::Stream& stream, bool secret, std::size_t most,
                                          net::Clock::time_point deadline) {
  constexpr std::size_t kSecret =
      std::size_t{4} * 1024 * 1024;  // more than a Secret can be: it does not grow, and leaves nothing behind
  std::string body;
  const Wiped wiped(body, secret);  // what of it has come when it is cut off; else it has been handed on
  if (secret) body.reserve(kSecret);
  for (;;) {
    auto piece = co_await stream.next(std::chrono::duration_cast<std::chrono::milliseconds>(deadline - net::Clock::now()));
    if (!piece) co_return std::unexpected(std::move(piece).error());
    if (piece->empty()) co_return body;
    body += *piece;
    if (secret) wipe(*piece);
    if (body.size() > most) co_return failure(culvert::format("the answer is longer than {} bytes", most));
  }
}

}  // namespace

Client::Client(net::Loop& loop, Access access, ClientOptions options)
    : state_(std::make_shared<State>(loop, std::move(access), std::move(options))) {}
Client::~Client() = default;

Client::Stream::Stream(std::unique_ptr<State> state) : state_(std::move(state)) {}
Client::Stream::Stream(Stream&&) noexcept = default;
Client::Stream& Client::Stream::operator=(Stream&&) noexcept = default;
Client::Stream::~Stream() = default;
int Client::Stream::status() const { return state_->connection->status(); }
const http::Headers& Client::Stream::headers() const { return state_->connection->headers(); }

net::Task<Result<std::string>> Client::Stream::next(std::chrono::milliseconds patience) {
  auto piece = co_await state_->connection->more(net::Clock::now() + patience);
  if (!piece) co_return std::unexpected(std::move(piece).error().during(state_->doing));
  co_return piece;
}

net::Task<Result<Client::Stream>> Client::open(Request request) {
  const Wiped wiped(request.body, request.secret);
  const auto state = state_;
  auto answered = co_await ask_as_ourselves(state, request, net::Clock::now() + request.timeout);
  if (!answered) co_return std::unexpected(std::move(answered).error().during(request.text()));
  co_return Stream(std::make_unique<Stream::State>(state, std::move(answered->connection), answered->generation, request.text()));
}

net::Task<Result<Client::Switched>> Client::upgrade(Request request) {
  const auto state = state_;
  const auto deadline = net::Clock::now() + request.timeout;
  auto answered = co_await ask_as_ourselves(state, request, deadline);
  if (!answered) co_return std::unexpected(std::move(answered).error().during(request.text()));
  Connection& connection = *answered->connection;
  if (connection.status() == 101) {
    http::Headers headers = connection.headers();
    auto [stream, early] = connection.release();
    co_return Switched{std::move(stream), std::move(early), std::move(headers)};
  }
  const int status = connection.status();
  Stream stream(std::make_unique<Stream::State>(state, std::move(answered->connection), answered->generation, request.text()));
  auto body = co_await read_whole(stream, false, state->options.answer, deadline);
  if (!body) co_return std::unexpected(std::move(body).error());
  co_return std::unexpected(refusal(request, status, *body));
}

net::Task<Result<http::Response>> Client::exchange(Request request) {
  const Wiped wiped(request.body, request.secret);
  const auto state = state_;
  Slot slot(state);
  while (!request.urgent && !slot.free()) co_await state->freed.wait();
  slot.take();
  const auto deadline = net::Clock::now() + request.timeout;
  auto stream = co_await open(request);
  if (!stream) co_return std::unexpected(std::move(stream).error());
  auto body = co_await read_whole(*stream, request.secret, state->options.answer, deadline);
  if (!body) co_return std::unexpected(std::move(body).error());
  co_return http::Response{.status = stream->status(), .headers = stream->headers(), .body = std::move(*body)};
}

net::Task<Result<http::Response>> Client::call(Request request) {
  const Wiped wiped(request.body, request.secret);
  auto answer = co_await exchange(request);
  if (answer && !is_success(answer->status)) co_return std::unexpected(refusal(request, answer->status, answer->body));
  co_return answer;
}

net::Loop& Client::loop() const { return state_->loop; }
const Server& Client::server() const { return state_->access.server(); }
const std::string& Client::default_namespace() const { return state_->access.default_namespace(); }

}  // namespace culvert::kube
