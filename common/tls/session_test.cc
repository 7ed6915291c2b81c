#include "common/tls/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "common/net/dial.h"
#include "common/net/listener.h"
#include "common/tls/authority.h"
#include "common/tls/stream.h"

namespace culvert::tls {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using State = Session::State;

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }
Identity identity(std::string account, std::string domain = "cluster.local") {
  return {std::move(domain), "default", std::move(account)};
}

const Authority& authority() {
  static const Authority one = *Authority::make_root("cluster.local");
  return one;
}
Roots roots() { return Roots({authority().certificate()}); }
Context mesh(const Identity& who) { return *Context::mesh(*authority().make_workload(who, 1h), roots()); }

// Carries what `from` has to say over to `to`; how much it was.
std::size_t carry(Session& from, Session& to) {
  const std::vector<std::byte> message(from.output().begin(), from.output().end());
  from.sent(message.size());
  to.feed(message);
  to.keep();
  return message.size();
}

// Until nobody has anything to say; the number of flights that the client sent.
int talk(Session& client, Session& server) {
  int flights = 0;
  while (!client.output().empty() || !server.output().empty()) {
    if (!client.output().empty()) {
      carry(client, server);
      ++flights;
    }
    if (!server.output().empty()) carry(server, client);
    std::byte none[1];
    std::ignore = client.read({none, 0});
  }
  return flights;
}

std::string read_all(Session& session, net::Io* end = nullptr) {
  std::string text;
  std::vector<std::byte> buffer(300'000);
  for (;;) {
    const net::Io io = session.read(buffer);
    if (end != nullptr) *end = io;
    if (!io.ok()) return text;
    text.append(reinterpret_cast<const char*>(buffer.data()), io.bytes);
  }
}

struct Pair {
  Session client;
  Session server;
};
Pair established() {
  const Context a = mesh(identity("a"));
  const Context b = mesh(identity("b"));
  const Identity expected[] = {identity("b")};
  Pair pair{a.mesh_client(expected), b.mesh_server()};
  talk(pair.client, pair.server);
  return pair;
}

TEST(Session, MeshHandshakeAgreesOnWhatIsPreferredInOneRound) {
  const Context a = mesh(identity("a"));
  const Context b = mesh(identity("b"));
  const Identity expected[] = {identity("other"), identity("b")};
  Session client = a.mesh_client(expected);
  Session server = b.mesh_server();

  EXPECT_EQ(talk(client, server), 2);  // ClientHello; certificate and Finished

  ASSERT_TRUE(client.established()) << client.error().text;
  ASSERT_TRUE(server.established()) << server.error().text;
  EXPECT_EQ(client.peer_identity(), identity("b"));
  EXPECT_EQ(server.peer_identity(), identity("a"));
  EXPECT_EQ(client.alpn(), "h2");
  EXPECT_EQ(server.alpn(), "h2");
  EXPECT_EQ(client.cipher(), "TLS_AES_128_GCM_SHA256");
  EXPECT_EQ(client.group(), "X25519MLKEM768");
}

TEST(Session, WrongServerIdentityIsRefusedNamingBoth) {
  const Context a = mesh(identity("a"));
  const Context b = mesh(identity("b"));
  const Identity expected[] = {identity("c"), identity("d")};
  Session client = a.mesh_client(expected);
  Session server = b.mesh_server();

  talk(client, server);

  ASSERT_EQ(client.state(), State::kFailed);
  EXPECT_EQ(client.error().reason, Reason::kTlsFailure);
  EXPECT_EQ(client.error().text,
            "TLS handshake: the peer presented spiffe://cluster.local/ns/default/sa/b, expected "
            "spiffe://cluster.local/ns/default/sa/c or "
            "spiffe://cluster.local/ns/default/sa/d");
  EXPECT_EQ(server.state(), State::kFailed);
  EXPECT_THAT(server.error().text, HasSubstr("the peer refused"));
}

TEST(Session, ClientOfAnotherTrustDomainIsRefused) {
  const Context a = mesh(identity("a", "elsewhere"));
  const Context b = mesh(identity("b"));
  const Identity expected[] = {identity("b")};
  Session client = a.mesh_client(expected);
  Session server = b.mesh_server();

  talk(client, server);

  ASSERT_EQ(server.state(), State::kFailed);
  EXPECT_EQ(server.error().text,
            "TLS handshake: the peer presented spiffe://elsewhere/ns/default/sa/a, expected trust domain cluster.local");
  EXPECT_EQ(read_all(client), "");
  EXPECT_EQ(client.state(), State::kFailed);  // TLS 1.3: the client hears of it after its own handshake
}

TEST(Session, LittleIsSaidOfAStrangersLongName) {
  const Authority other = *Authority::make_root("cluster.local");
  const Context a = *Context::mesh(*other.make_workload(identity(std::string(10'000, 'a')), 1h), roots());
  const Context b = mesh(identity("b"));
  const Identity expected[] = {identity("b")};
  Session client = a.mesh_client(expected);
  Session server = b.mesh_server();

  talk(client, server);

  ASSERT_EQ(server.state(), State::kFailed);
  EXPECT_NE(server.error().text.find("spiffe://cluster.local/ns/default/sa/aaa"), std::string::npos) << server.error().text;
  EXPECT_LT(server.error().text.size(), 500u);
}

TEST(Session, ForeignAuthorityIsRefused) {
  const Authority other = *Authority::make_root("cluster.local");
  const Context a = *Context::mesh(*other.make_workload(identity("a"), 1h), roots());
  const Context b = mesh(identity("b"));
  const Identity expected[] = {identity("b")};
  Session client = a.mesh_client(expected);
  Session server = b.mesh_server();

  talk(client, server);

  ASSERT_EQ(server.state(), State::kFailed);
  EXPECT_THAT(
      server.error().text,
      HasSubstr("the peer's certificate (spiffe://cluster.local/ns/default/sa/a): unable to get local issuer certificate"));
}

TEST(Session, ExpiredCertificateIsRefused) {
  const auto past = std::chrono::system_clock::now() - 2h;
  const Context a = mesh(identity("a"));
  const Context b = *Context::mesh(*authority().make_workload(identity("b"), 1h, past), roots());
  const Identity expected[] = {identity("b")};
  Session client = a.mesh_client(expected);
  Session server = b.mesh_server();

  talk(client, server);

  ASSERT_EQ(client.state(), State::kFailed);
  EXPECT_THAT(client.error().text, HasSubstr("certificate has expired"));
}

// Who signs is ahead of the clock here, by as much as leaves are dated back.
TEST(Session, AFreshLeafIsTakenByAClockThatIsTwoMinutesBehind) {
  const auto outcome = [](std::chrono::seconds ahead) {
    const auto then = std::chrono::system_clock::now() + ahead;
    const Context a = mesh(identity("a"));
    const Context b = *Context::mesh(*authority().make_workload(identity("b"), 1h, then), roots());
    const Identity expected[] = {identity("b")};
    Session client = a.mesh_client(expected);
    Session server = b.mesh_server();
    talk(client, server);
    return client.state() == State::kFailed ? client.error().text : "taken";
  };

  EXPECT_EQ(outcome(kBackdate - 1s), "taken");
  EXPECT_THAT(outcome(kBackdate + 60s), HasSubstr("certificate is not yet valid"));
}

TEST(Session, PlainClientWithoutCertificateIsRefusedByTheMesh) {
  const Context plain = *Context::client(roots());
  const Context b = mesh(identity("b"));
  Session client = plain.connect("b.example");
  Session server = b.mesh_server();

  talk(client, server);

  EXPECT_EQ(server.state(), State::kFailed);
}

TEST(Session, HostNamesAndAddressesAreVerified) {
  const std::string names[] = {"istiod.istio-system.svc"};
  const IpAddress addresses[] = {*IpAddress::parse("127.0.0.1"), *IpAddress::parse("fd00::1")};
  const Context server_context = *Context::server(*authority().make_server(names, addresses, 1h), {"h2", "http/1.1"});
  const Context client_context = *Context::client(roots(), {}, {"http/1.1"});

  for (const auto& [host, good] : {std::pair("istiod.istio-system.svc", true),
                                   {"127.0.0.1", true},
                                   {"fd00::1", true},
                                   {"other.svc", false},
                                   {"127.0.0.2", false}}) {
    Session client = client_context.connect(host);
    Session server = server_context.accept();
    talk(client, server);
    EXPECT_EQ(client.established(), good) << host;
    EXPECT_EQ(client.alpn(), good ? "http/1.1" : client.alpn());
  }
}

TEST(Session, PartsShareARecord) {
  auto [client, server] = established();

  ASSERT_TRUE(client.write({bytes("frame header"), bytes("HEADERS"), bytes("DATA")}));

  EXPECT_EQ(client.output().size(), 23U + 22U);  // one record: 5 + 1 + 16 bytes around the text
  carry(client, server);
  EXPECT_EQ(read_all(server), "frame headerHEADERSDATA");
}

TEST(Session, BulkGoesInFullRecordsAndIsReadInOneCall) {
  auto [client, server] = established();
  std::string text(256 * 1024, '\0');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i % 251);

  ASSERT_TRUE(client.write({bytes("123456789"), bytes(text)}));
  const std::vector<std::byte> sent(client.output().begin(), client.output().end());
  EXPECT_EQ(sent.size(), text.size() + 9 + 17 * 22);
  client.sent(sent.size());

  std::vector<std::byte> received(300'000);
  server.feed(sent);
  const net::Io io = server.read(received);
  EXPECT_EQ(io.bytes, text.size() + 9);
  EXPECT_EQ(std::memcmp(received.data() + 9, text.data(), text.size()), 0);
  EXPECT_EQ(server.read(received).state, net::Io::kWouldBlock);
}

TEST(Session, TakesCiphertextInPiecesOfAnySize) {
  auto [client, server] = established();
  const std::string text(50'000, 'z');
  ASSERT_TRUE(client.write(bytes(text)));
  const std::vector<std::byte> sent(client.output().begin(), client.output().end());
  client.sent(sent.size());

  std::string received;
  for (std::size_t at = 0; at < sent.size(); at += 777) {
    server.feed(std::span(sent).subspan(at, std::min<std::size_t>(777, sent.size() - at)));
    received += read_all(server);
  }

  EXPECT_TRUE(received == text);
}

TEST(Session, ReaderMayStopInTheMiddle) {
  auto [client, server] = established();
  ASSERT_TRUE(client.write(bytes(std::string(40'000, 'q'))));
  carry(client, server);  // keeps
  std::byte small[100];

  std::size_t total = 0;
  for (;;) {
    const net::Io io = server.read(small);
    if (!io.ok()) break;
    total += io.bytes;
    if (total == 30'000) {
      ASSERT_TRUE(client.write(bytes("more")));
      carry(client, server);
    }
  }

  EXPECT_EQ(total, 40'004U);
}

TEST(Session, PartlySentOutputStaysInOrder) {
  auto [client, server] = established();
  std::string received;

  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(client.write(bytes(std::string(5'000, static_cast<char>('a' + i % 26)))));
    const std::vector<std::byte> piece(client.output().begin(),
                                       client.output().begin() + static_cast<std::ptrdiff_t>(client.output().size() / 2));
    client.sent(piece.size());
    server.feed(piece);
    received += read_all(server);
  }
  carry(client, server);
  received += read_all(server);

  ASSERT_EQ(received.size(), 1'000'000U);
  for (std::size_t i = 0; i < received.size(); ++i) ASSERT_EQ(received[i], static_cast<char>('a' + i / 5'000 % 26));
}

TEST(Session, CloseNotifyIsACleanEnd) {
  auto [client, server] = established();
  ASSERT_TRUE(client.write(bytes("bye")));
  client.close();
  carry(client, server);

  net::Io end;
  EXPECT_EQ(read_all(server, &end), "bye");
  EXPECT_EQ(end.state, net::Io::kEof);
  EXPECT_EQ(server.state(), State::kClosed);
}

TEST(Session, TamperedRecordFails) {
  auto [client, server] = established();
  ASSERT_TRUE(client.write(bytes("secret")));
  std::vector<std::byte> sent(client.output().begin(), client.output().end());
  sent.back() ^= std::byte{1};
  server.feed(sent);

  net::Io end;
  EXPECT_EQ(read_all(server, &end), "");
  EXPECT_EQ(end.state, net::Io::kError);
  EXPECT_FALSE(server.output().empty());  // the alert
  EXPECT_FALSE(server.write(bytes("x")));
}

TEST(Session, GarbageInsteadOfAClientHelloFails) {
  Session server = mesh(identity("b")).mesh_server();
  server.feed(bytes("GET / HTTP/1.1\r\n\r\n"));
  EXPECT_EQ(server.state(), State::kFailed);
}

TEST(Context, NeedsASpiffeIdentityForTheMesh) {
  const std::string names[] = {"example.org"};
  const auto context = Context::mesh(*authority().make_server(names, {}, 1h), roots());
  ASSERT_FALSE(context);
  EXPECT_EQ(context.error().reason, Reason::kIdentityError);
}

TEST(TlsStream, CarriesDataAndTellsAnEndFromACut) {
  net::Loop loop;
  const Context a = mesh(identity("a"));
  const Context b = mesh(identity("b"));

  loop.run([](net::Loop& l, const Context& client_context, const Context& server_context) -> net::Task<> {
    auto listener = *net::Listener::open(l, {.at = *Endpoint::parse("127.0.0.1:0")});
    for (const bool clean : {true, false}) {
      auto dialled = *co_await net::dial(l, {.to = listener.local()});
      auto accepted = *co_await listener.accept();
      const Identity expected[] = {identity("b")};
      std::optional<Stream> client;
      std::optional<Stream> server;
      co_await net::both(
          [](net::Stream s, Session session, std::optional<Stream>& out) -> net::Task<> {
            auto opened = co_await Stream::open(std::move(s), std::move(session));
            EXPECT_TRUE(opened);
            out.emplace(std::move(*opened));
          }(std::move(dialled), client_context.mesh_client(expected), client),
          [](net::Stream s, Session session, std::optional<Stream>& out) -> net::Task<> {
            auto opened = co_await Stream::open(std::move(s), std::move(session));
            EXPECT_TRUE(opened);
            out.emplace(std::move(*opened));
          }(std::move(accepted), server_context.mesh_server(), server));
      EXPECT_TRUE((co_await client->write_all(bytes("hello"))).ok());
      std::byte buffer[16];
      net::Io io = co_await server->read(buffer);
      EXPECT_EQ(io.bytes, 5U);
      if (clean) co_await client->shutdown();
      else client->socket().close();
      io = co_await server->read(buffer);
      EXPECT_EQ(io.state, clean ? net::Io::kEof : net::Io::kReset);
    }
  }(loop, a, b));
}

}  // namespace
}  // namespace culvert::tls
