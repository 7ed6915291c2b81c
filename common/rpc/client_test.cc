#include "common/rpc/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>
#include <utility>

#include "common/net/event.h"
#include "common/net/timer.h"
#include "common/rpc/ca_client.h"
#include "common/rpc/credentials.h"
#include "common/rpc/server.h"
#include "proto/ca.pb.h"

namespace culvert::rpc {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

std::string slurp(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}
void spit(const std::string& path, std::string_view text) { std::ofstream(path) << text; }

// A certificate authority and a server's certificate for localhost and 127.0.0.1, made once.
struct Certificates {
  std::string folder;
  Certificates() {
    char pattern[] = "/tmp/culvert-rpc-XXXXXX";
    folder = ::mkdtemp(pattern);
    make("ca", "localhost");
    make("other", "elsewhere.example.com");
  }
  ~Certificates() { std::filesystem::remove_all(folder); }
  // A self-signed certificate is its own root.
  void make(const std::string& name, const std::string& host) const {
    const std::string command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=" + name +
                                " -addext subjectAltName=DNS:" + host + ",IP:127.0.0.1 -keyout " + key(name) + " -out " +
                                certificate(name) + " 2>/dev/null";
    CULVERT_CHECK(std::system(command.c_str()) == 0);
  }
  std::string certificate(const std::string& name) const { return folder + "/" + name + ".pem"; }
  std::string key(const std::string& name) const { return folder + "/" + name + ".key"; }
};
const Certificates& certificates() {
  static const Certificates made;
  return made;
}

struct Heard {
  std::vector<std::string> messages;
  std::optional<Ended> ended;
  Stream::Events events() {
    return {[this](std::string message) { messages.push_back(std::move(message)); },
            [this](Ended how) { ended = std::move(how); }};
  }
};

struct World : testing::Test {
  net::Loop loop;
  std::vector<CallRef> calls;
  std::function<void(CallRef)> on_call = [](CallRef) {};
  std::unique_ptr<CallServer> server =
      CallServer::start(
          loop,
          {.address = "127.0.0.1:0", .certificate_file = certificates().certificate("ca"), .key_file = certificates().key("ca")},
          [this](CallRef call) { calls.push_back(call), on_call(call); })
          .value();

  Server trusted(const std::string& host = "localhost") {
    return {
        .address = host + ":" + std::to_string(server->port()), .roots_pem = slurp(certificates().certificate("ca")), .name = ""};
  }
  // A channel whose connection is up. gRPC 1.51 lets other calls overwrite errno between connect() and looking at it, so that once in some
  // hundred times, under a sanitizer, it takes "in progress" for a failure. Those who call it in earnest try again; so does this.
  Channel connected() { return connected(trusted()); }
  Channel connected(const Server& to) {
    for (int attempt = 0;; ++attempt) {
      Channel channel(to);
      const auto handler = std::exchange(on_call, [](const CallRef& call) { call->finish({0, ""}); });
      Heard heard;
      const Stream stream(loop, channel, "/a.B/Hello", {}, heard.events());
      until([&] { return heard.ended.has_value(); });
      on_call = handler;
      calls.clear();
      if (heard.ended->ok() || attempt == 5) return channel;
    }
  }
  // Runs the loop until `done` or the test's patience ends.
  void until(const std::function<bool()>& done) {
    loop.run([](World* world, const std::function<bool()>* enough) -> net::Task<> {
      const auto end = net::Clock::now() + 10s;
      while (!(*enough)() && net::Clock::now() < end) co_await net::sleep_for(world->loop, 2ms);
    }(this, &done));
    EXPECT_TRUE(done());
  }
};

TEST_F(World, AStreamCarriesMessagesBothWaysAndItsMetadata) {
  on_call = [](CallRef call) {
    EXPECT_EQ(call->path(), "/a.B/C");
    EXPECT_EQ(call->metadata("authorization"), "Bearer t");
    call->accept({[call = call.get()](std::string message) { call->send("echo " + message); }, {}, {}});
  };
  const Channel channel = connected();
  Heard heard;
  Stream stream(loop, channel, "/a.B/C", {{"authorization", "Bearer t"}}, heard.events());
  stream.send("one");
  stream.send(std::string(3 << 20, 'x'));
  until([&] { return heard.messages.size() == 2; });

  EXPECT_EQ(heard.messages[0], "echo one");
  EXPECT_EQ(heard.messages[1].size(), (3u << 20) + 5);
  EXPECT_FALSE(heard.ended);
}

TEST_F(World, AStreamSaysHowTheServerEndedIt) {
  on_call = [](CallRef call) { call->finish({7, "go away"}); };
  const Channel channel = connected();
  Heard heard;
  Stream stream(loop, channel, "/a.B/C", {}, heard.events());
  until([&] { return heard.ended.has_value(); });

  EXPECT_EQ(heard.ended->describe(), "PERMISSION_DENIED: go away");
}

TEST_F(World, AStreamMayBeDestroyedInItsOwnEventsAndAtAnyTime) {
  on_call = [](CallRef call) { call->accept({{}, {}, {}}), call->send("x"), call->send("y"); };
  const Channel channel = connected();
  std::optional<Stream> stream;
  int heard = 0;
  stream.emplace(loop, channel, "/a.B/C", Metadata{},
                 Stream::Events{[&](std::string) { ++heard, stream.reset(); }, [&](Ended) { FAIL(); }});
  until([&] { return heard == 1; });

  for (int i = 0; i < 50; ++i) {
    stream.emplace(loop, channel, "/a.B/C", Metadata{}, Stream::Events{[&](std::string) { ++heard; }, [&](Ended) { FAIL(); }});
    if (i % 5 == 0) until([&, before = heard] { return heard > before; });
    stream.reset();
  }
  until([&] { return server->calls() == 0; });
}

TEST_F(World, FinishEndsTheStreamAfterWhatWasSent) {
  std::vector<std::string> got;
  on_call = [&](CallRef call) { call->accept({[&](std::string message) { got.push_back(message); }, {}, {}}); };
  const Channel channel = connected();
  Heard heard;
  Stream stream(loop, channel, "/a.B/C", {}, heard.events());
  stream.send("last");
  stream.finish();
  until([&] { return heard.ended.has_value(); });

  EXPECT_TRUE(heard.ended->ok()) << heard.ended->describe();
  EXPECT_THAT(got, ElementsAre("last"));
}

TEST_F(World, RefusesAServerThatItDoesNotTrust) {
  const auto attempt = [&](const Server& to) {
    const Channel channel(to);
    Heard heard;
    Stream stream(loop, channel, "/a.B/C", {}, heard.events());
    until([&] { return heard.ended.has_value(); });
    return heard.ended->code;
  };
  auto other_root = trusted();
  other_root.roots_pem = slurp(certificates().certificate("other"));
  auto no_root = trusted();
  no_root.roots_pem = "";
  auto other_name = trusted();
  other_name.name = "istiod.istio-system.svc";

  EXPECT_NE(attempt(other_root), 0);
  EXPECT_NE(attempt(no_root), 0);
  EXPECT_NE(attempt(other_name), 0);
  EXPECT_TRUE(calls.empty());
}

TEST_F(World, AcceptsTheOverriddenNameAndAddresses) {
  on_call = [](CallRef call) { call->finish({0, ""}); };
  auto by_address = trusted("127.0.0.1");
  auto by_other_name = trusted("127.0.0.1");
  by_other_name.name = "localhost";
  for (const Server& to : {by_address, by_other_name}) {
    const Channel channel = connected(to);
    Heard heard;
    Stream stream(loop, channel, "/a.B/C", {}, heard.events());
    until([&] { return heard.ended.has_value(); });
    EXPECT_TRUE(heard.ended->ok()) << heard.ended->describe();
  }
}

TEST_F(World, BothEndsSpeakTls13Only) {
  const auto handshake = [&](const std::string& version) {
    const std::string command = "timeout 10 openssl s_client -connect 127.0.0.1:" + std::to_string(server->port()) + " " +
                                version + " -alpn h2 </dev/null >/dev/null 2>&1";
    return std::system(command.c_str()) == 0;
  };

  EXPECT_FALSE(handshake("-tls1_2"));
  EXPECT_TRUE(handshake("-tls1_3"));

  // The client: a server that knows nothing newer than 1.2.
  const int port = 20000 + static_cast<int>(::getpid() % 10000);
  const std::string command = "timeout 10 openssl s_server -accept 127.0.0.1:" + std::to_string(port) +
                              " -tls1_2 -alpn h2 -quiet -cert " + certificates().certificate("ca") + " -key " +
                              certificates().key("ca") + " >/dev/null 2>&1 & echo $!";
  FILE* pipe = ::popen(command.c_str(), "r");
  int pid = 0;
  ASSERT_EQ(std::fscanf(pipe, "%d", &pid), 1);
  Server old = trusted();
  old.address = "127.0.0.1:" + std::to_string(port);
  std::string why = "Connection refused";
  for (int i = 0; i < 50 && why.find("refused") != why.npos; ++i) {
    const Channel channel(old);
    Heard heard;
    Stream stream(loop, channel, "/a.B/C", {}, heard.events());
    until([&] { return heard.ended.has_value(); });
    EXPECT_FALSE(heard.ended->ok());
    why = heard.ended->text;
    if (why.find("refused") != why.npos) std::this_thread::sleep_for(50ms);
  }
  ::kill(pid, SIGTERM);
  ::pclose(pipe);
  EXPECT_THAT(why, HasSubstr("SSL_ERROR_SSL"));
}

TEST_F(World, AUnaryCallIsAnsweredOrTimesOut) {
  on_call = [](CallRef call) {
    if (call->path() == "/a.B/Silent") return;  // held, and never answered
    call->accept({[call = call.get()](std::string message) { call->answer("you said " + message); }, {}, {}});
  };
  const Channel channel = connected();
  std::optional<Ended> ended;
  std::string answer;
  const Unary::Answer keep = [&](Ended how, std::string message) { ended = std::move(how), answer = std::move(message); };
  {
    const Unary call(loop, channel, "/a.B/C", {}, "hello", 5s, keep);
    until([&] { return ended.has_value(); });
    EXPECT_TRUE(ended->ok()) << ended->describe();
    EXPECT_EQ(answer, "you said hello");
  }
  ended.reset();
  {
    const Unary call(loop, channel, "/a.B/Silent", {}, "hello", 100ms, keep);
    until([&] { return ended.has_value(); });
    EXPECT_THAT(ended->describe(), HasSubstr("DEADLINE_EXCEEDED"));
  }
  {
    const Unary abandoned(loop, channel, "/a.B/Silent", {}, "hello", 5s, [](Ended, std::string) { FAIL(); });
  }
}

struct CaWorld : World {
  std::string token = certificates().folder + "/token";
  CaWorld() { spit(token, "secret\n"); }
  CaOptions options() {
    return {.address = "https://localhost:" + std::to_string(server->port()),
            .name = "",
            .credentials = {
                .token = token, .roots = certificates().certificate("ca"), .cluster_id = "c1", .extra = {{"x-extra", "1"}}}};
  }
  // Tries again as its callers do (see connected()).
  Result<SignedChain> sign(CaClient& client, const SigningRequest& request) {
    auto chain = loop.run(client.sign(request));
    for (int i = 0; i < 5 && !chain && chain.error().text.contains("Invalid argument"); ++i)
      chain = loop.run(client.sign(request));
    return chain;
  }
  void answer_with(std::vector<std::string> chain) {
    on_call = [chain](CallRef call) {
      call->accept({[call = call.get(), chain](std::string) {
                      istio::v1::auth::IstioCertificateResponse out;
                      for (const auto& pem : chain) out.add_cert_chain(pem);
                      call->answer(out.SerializeAsString());
                    },
                    {},
                    {}});
    };
  }
};

TEST_F(CaWorld, AsksAsIstioDoes) {
  istio::v1::auth::IstioCertificateRequest asked;
  on_call = [&](CallRef call) {
    EXPECT_EQ(call->path(), "/istio.v1.auth.IstioCertificateService/CreateCertificate");
    EXPECT_EQ(call->metadata("authorization"), "Bearer secret");
    EXPECT_EQ(call->metadata("clusterid"), "c1");
    EXPECT_EQ(call->metadata("x-extra"), "1");
    call->accept({[&asked, call = call.get()](std::string message) {
                    EXPECT_TRUE(asked.ParseFromString(message));
                    istio::v1::auth::IstioCertificateResponse out;
                    for (const char* pem : {"leaf", "intermediate", "roots"}) out.add_cert_chain(pem);
                    call->answer(out.SerializeAsString());
                  },
                  {},
                  {}});
  };
  CaClient client(loop, options());

  const auto chain = sign(client, {.csr_pem = "CSR", .identity = "spiffe://td/ns/a/sa/b", .lifetime = 3600s});

  ASSERT_TRUE(chain) << chain.error().text;
  EXPECT_THAT(chain->certificates, ElementsAre("leaf", "intermediate"));
  EXPECT_EQ(chain->roots, "roots");
  EXPECT_EQ(asked.csr(), "CSR");
  EXPECT_EQ(asked.validity_duration(), 3600);
  EXPECT_EQ(asked.metadata().fields().at("ImpersonatedIdentity").string_value(), "spiffe://td/ns/a/sa/b");
}

TEST_F(CaWorld, SaysWhyThereIsNoCertificate) {
  const auto why = [&](const CaOptions& how) {
    CaClient client(loop, how);
    const auto chain = sign(client, {.csr_pem = "CSR", .identity = ""});
    EXPECT_FALSE(chain);
    EXPECT_EQ(chain.error().reason, Reason::kIdentityError);
    return chain.error().text;
  };
  answer_with({"leaf"});
  EXPECT_THAT(why(options()), HasSubstr("the answer holds no certificate together with its roots"));
  answer_with({});
  EXPECT_THAT(why(options()), HasSubstr("no certificate"));
  on_call = [](CallRef call) { call->finish({16, "no pod of that service account on the node"}); };
  EXPECT_THAT(why(options()), HasSubstr("UNAUTHENTICATED: no pod of that service account on the node"));
  auto missing = options();
  missing.credentials.token = "/nonexistent";
  EXPECT_THAT(why(missing), HasSubstr("reading the token: opening /nonexistent: No such file or directory"));
  auto plain = options();
  plain.address = "http://localhost:1";
  EXPECT_THAT(why(plain), HasSubstr("only https is spoken"));
}

TEST_F(CaWorld, ReadsTokenAndRootsAnewForEveryCall) {
  std::vector<std::string> tokens;
  on_call = [&](CallRef call) {
    tokens.emplace_back(call->metadata("authorization"));
    call->accept({[call = call.get()](std::string) {
                    istio::v1::auth::IstioCertificateResponse out;
                    out.add_cert_chain("leaf"), out.add_cert_chain("roots");
                    call->answer(out.SerializeAsString());
                  },
                  {},
                  {}});
  };
  auto how = options();
  how.credentials.roots = certificates().folder + "/roots.pem";
  spit(how.credentials.roots, slurp(certificates().certificate("other")));
  CaClient client(loop, how);

  EXPECT_FALSE(sign(client, {.csr_pem = "CSR"}));
  spit(how.credentials.roots, slurp(certificates().certificate("ca")));
  EXPECT_TRUE(sign(client, {.csr_pem = "CSR"}));
  spit(token, "fresh");
  EXPECT_TRUE(sign(client, {.csr_pem = "CSR"}));

  EXPECT_THAT(tokens, ElementsAre("Bearer secret", "Bearer fresh"));
}

TEST_F(CaWorld, AServerIsFoundAgainSoonAfterItWasAway) {
  answer_with({"leaf", "roots"});
  const auto how = options();
  const auto address = "127.0.0.1:" + std::to_string(server->port());
  CaClient client(loop, how);
  ASSERT_TRUE(sign(client, {.csr_pem = "CSR"}));

  server.reset();
  const auto try_for = [&](net::Clock::duration time) {
    const auto end = net::Clock::now() + time;
    bool signed_once = false;
    while (!signed_once && net::Clock::now() < end) {
      signed_once = loop.run(client.sign({.csr_pem = "CSR"})).has_value();
      loop.run([](net::Loop* on) -> net::Task<> { co_await net::sleep_for(*on, 20ms); }(&loop));
    }
    return signed_once;
  };
  EXPECT_FALSE(try_for(3s));
  server =
      CallServer::start(
          loop, {.address = address, .certificate_file = certificates().certificate("ca"), .key_file = certificates().key("ca")},
          [this](CallRef call) { calls.push_back(call), on_call(call); })
          .value();

  EXPECT_TRUE(try_for(1800ms));
}

TEST(Credentials, WithoutATokenSayNothingOfThemselves) {
  const Credentials none{.token = "", .roots = "", .cluster_id = "c1", .extra = {{"a", "b"}}};

  EXPECT_THAT(none.metadata().value(), ElementsAre(std::pair<std::string, std::string>("a", "b")));
}

TEST(Credentials, RefuseATokenThatNoHeaderCanCarry) {
  const std::string path = certificates().folder + "/bad-token";
  spit(path, "two words");
  EXPECT_THAT((Credentials{.token = path, .roots = "", .cluster_id = ""}).metadata().error().text,
              HasSubstr("holds a character"));
  spit(path, "\n");
  EXPECT_THAT((Credentials{.token = path, .roots = "", .cluster_id = ""}).metadata().error().text, HasSubstr("is empty"));
}

TEST(Credentials, TheTokenIsAFileOrTheTextItself) {
  EXPECT_THAT((Credentials{.token = "abc.def", .roots = "", .cluster_id = ""}).metadata().value(),
              ElementsAre(std::pair<std::string, std::string>("authorization", "Bearer abc.def")));

  const std::string path = certificates().folder + "/late";
  const Credentials late{.token = path, .roots = "", .cluster_id = "", .extra = {}, .token_may_be_missing = true};
  EXPECT_TRUE(late.metadata().value().empty());
  spit(path, "now\n");
  EXPECT_THAT(late.metadata().value(), ElementsAre(std::pair<std::string, std::string>("authorization", "Bearer now")));
}

TEST(Credentials, RootsAreAFileOrTheTextItself) {
  const std::string pem = slurp(certificates().certificate("ca"));
  EXPECT_EQ((Credentials{.token = "", .roots = pem}).roots_pem().value(), pem);
  EXPECT_EQ((Credentials{.token = "", .roots = certificates().certificate("ca")}).roots_pem().value(), pem);
  EXPECT_FALSE((Credentials{.token = "", .roots = "/nonexistent"}).roots_pem());
  EXPECT_THAT((Credentials{.token = "", .roots = certificates().key("ca")}).roots_pem().error().text,
              HasSubstr("no certificate in"));
  EXPECT_TRUE((Credentials{.token = "", .roots = "SYSTEM"}).roots_pem());
}

TEST(Address, TakesHttpsAndBareOnesOnly) {
  EXPECT_EQ(parse_address("https://istiod.istio-system.svc:15012").value(), "istiod.istio-system.svc:15012");
  EXPECT_EQ(parse_address("https://[fd00::1]:15012/").value(), "[fd00::1]:15012");
  EXPECT_EQ(parse_address("127.0.0.1:15012").value(), "127.0.0.1:15012");
  for (const char* bad : {"", "host", "https://host", "http://host:1", "unix:///x:1", "host:", "host:0", "host:65536", "host:x",
                          ":1", "[fd00::1]", "a/b:1", "fd00::1:80"}) {
    EXPECT_FALSE(parse_address(bad)) << bad;
  }
}

}  // namespace
}  // namespace culvert::rpc
