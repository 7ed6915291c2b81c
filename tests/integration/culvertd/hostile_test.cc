// What a hostile caller sends to the real culvertd: its memory stays where it is, and a ztunnel beside it gets configuration and certificates.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/resource.h>

#include <charconv>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "common/base/format.h"
#include "common/base/sanitizer.h"
#include "common/tls/authority.h"
#include "common/xds/wire.h"
#include "controlplane/ca/service.h"
#include "proto/ca.pb.h"
#include "tests/integration/culvertd/fixture.h"
#include "tests/integration/culvertd/raw_client.h"

namespace culvert::test {
namespace {

using xds::kAddressType;

// How many times larger what a program allocates is: around each piece AddressSanitizer keeps as much again that nobody may touch.
constexpr std::size_t kLarger = CULVERT_ASAN ? 2 : 1;
constexpr std::size_t kMost = kLarger * (std::size_t{96} << 20);  // that an attack of hundreds may add to what culvertd has
const std::string kAds(xds::kAdsPath);

struct Hostile : CulvertdTest {
  Hostile() {
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
    // What culvertd has given back AddressSanitizer would keep, of 256 MB: here memory is measured.
    const char* const options = std::getenv("ASAN_OPTIONS");
    environment["ASAN_OPTIONS"] = std::string(options != nullptr ? options : "") + ":quarantine_size_mb=8";
  }
  // culvertd and a ztunnel that has its configuration.
  void begin() {
    write("a.yaml", pod("a", "n1", "10.0.0.1"));
    ASSERT_TRUE(start());
    ztunnel = connect();
    ztunnel->subscribe(kAddressType);
    until([&] { return ztunnel->held[std::string(kAddressType)].size() == 1; }, "the first configuration");
    before = metric("process_resident_memory_bytes");
  }
  double metric(const std::string& name) const {
    const std::string page = "\n" + metrics();
    const auto at = page.find("\n" + name + " ");
    double value = -1;
    if (at != page.npos) std::from_chars(page.data() + at + name.size() + 2, page.data() + page.size(), value);
    return value;
  }
  double turned_away(const std::string& reason) const {
    return metric("culvert_connections_turned_away_total{reason=\"" + reason + "\"}");
  }
  RawClient raw(const std::string& from = "127.0.0.1") const { return {port, server().roots_pem, {}, from}; }
  // Of the ztunnel's token.
  RawClient proved() const {
    RawClient client = raw();
    const auto answer = client.call(std::string(controlplane::kCreateCertificatePath), kToken1, "");
    EXPECT_TRUE(answer && answer->status > 0) << "an empty request is refused, its caller is known";
    return client;
  }
  static std::string headers(const std::string& token = "") { return RawClient::block(RawClient::request(kAds, token)); }
  // The most that culvertd has ever had.
  double most_memory() const {
    std::ifstream status("/proc/" + std::to_string(pid) + "/status");
    for (std::string line; std::getline(status, line);)
      if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) * 1024;
    return -1;
  }
  // After an attack.
  void all_is_well() {
    write("b.yaml", pod("b", "n1", "10.0.0.2"));
    until([&] { return ztunnel->held[std::string(kAddressType)].size() == 2; }, "a change");
    EXPECT_FALSE(ztunnel->ended);
    EXPECT_TRUE(sign(kToken1, "spiffe://cluster.local/ns/shop/sa/web").ended.ok());
    const auto newcomer = connect(kToken2);
    newcomer->subscribe(kAddressType);
    until([&] { return newcomer->held[std::string(kAddressType)].size() == 2; }, "the configuration of one who comes now");
    EXPECT_LT(metric("process_resident_memory_bytes") - before, kMost);
    EXPECT_LT(most_memory() - before, kMost) << "at its worst";
  }

  std::unique_ptr<Subscriber> ztunnel;
  double before = 0;
};

void reset_rapidly(RawClient& client, const std::string& block, int streams) {
  const std::string cancel("\0\0\0\x08", 4);
  for (int i = 0; i < streams && client.alive(); ++i) {
    const std::uint32_t stream = client.next();
    client.frame(RawClient::kHeaders, RawClient::kEndHeaders, stream, block);
    client.frame(RawClient::kReset, 0, stream, cancel);
    if (i % 100 == 99) client.flush();
  }
  client.flush();
}

TEST_F(Hostile, RapidResetWithoutAToken) {
  begin();
  constexpr int kConnections = 5;

  for (int i = 0; i < kConnections; ++i) {
    RawClient client = raw();
    reset_rapidly(client, headers(), 4000);
    EXPECT_TRUE(client.ends());
  }

  EXPECT_EQ(turned_away("tries") + turned_away("bytes"), kConnections) << "whichever is noticed first";
  EXPECT_LE(metric("culvert_unproved_calls_total"), kConnections * 64);
  all_is_well();
}

// Calls in fifteen bytes each: the first one says what the others refer to.
void short_calls(RawClient& client, bool reset, int calls) {
  std::string first;
  for (const auto& field : RawClient::request(kAds, "")) first += "\x40" + RawClient::block({field}).substr(1);  // to be indexed
  client.frame(RawClient::kHeaders, RawClient::kEndHeaders, client.next(), first);
  const std::string again = "\xc3\xc2\xc1\xc0\xbf\xbe";  // the oldest first
  for (int i = 0; i < calls; ++i) {
    const std::uint32_t stream = client.next();
    client.frame(RawClient::kHeaders, RawClient::kEndHeaders, stream, again);
    if (reset) client.frame(RawClient::kReset, 0, stream, std::string("\0\0\0\x08", 4));
  }
}

TEST_F(Hostile, KilledAmidAFloodItServesAtOnceAgain) {
  begin();
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([this](const std::stop_token& enough) {
      while (!enough.stop_requested()) {
        RawClient client = raw();
        if (!client.alive()) continue;
        short_calls(client, true, 4000);
        client.flush();
        client.ends();
      }
    });
  }
  until([&] { return turned_away("tries") + turned_away("bytes") >= 1; }, "the flood");

  stop(SIGKILL);
  ASSERT_TRUE(start());

  ztunnel = connect();
  ztunnel->subscribe(kAddressType);
  until([&] { return ztunnel->held[std::string(kAddressType)].size() == 1; }, "the configuration after the restart");
  const Signed got = sign(kToken1, "spiffe://cluster.local/ns/shop/sa/web");
  EXPECT_TRUE(got.ended.ok()) << got.ended.describe();
  threads.clear();
}

// An Istio ztunnel asks for a certificate for each of its pods, on one connection.
TEST_F(Hostile, AHundredCallsAtOnceOnANewConnectionAreServed) {
  begin();
  istio::v1::auth::IstioCertificateRequest request;
  request.set_csr(tls::make_csr(*Identity::parse("spiffe://cluster.local/ns/any/sa/thing"))->pem);
  (*request.mutable_metadata()->mutable_fields())["ImpersonatedIdentity"].set_string_value(
      "spiffe://cluster.local/ns/shop/sa/web");
  const rpc::Channel channel(server());
  std::vector<std::unique_ptr<rpc::Unary>> asked;
  std::vector<rpc::Ended> answers;

  for (int i = 0; i < 100; ++i) {
    asked.push_back(std::make_unique<rpc::Unary>(
        loop, channel, std::string(controlplane::kCreateCertificatePath),
        rpc::Metadata{{"authorization", std::string("Bearer ") + kToken1}}, request.SerializeAsString(), std::chrono::seconds(5),
        [&](rpc::Ended ended, const std::string&) { answers.push_back(std::move(ended)); }));
  }
  until([&] { return answers.size() == 100; }, "all answers");

  for (const rpc::Ended& answer : answers) EXPECT_TRUE(answer.ok()) << answer.describe();
  EXPECT_EQ(metric("culvert_calls_turned_away_total"), 0);
}

TEST_F(Hostile, RapidResetOfOneWhoIsProved) {
  begin();
  RawClient client = proved();

  reset_rapidly(client, headers(kToken1), 20'000);

  all_is_well();
}

// Sends the same again and again, so many bytes at most.
void repeat(RawClient& client, RawClient::Type type, std::uint8_t flags, std::uint32_t stream, const std::string& payload,
            std::size_t most) {
  for (std::size_t sent = 0; sent < most && client.alive(); client.flush())
    for (std::size_t batch = 0; batch < (256U << 10) && sent < most; batch += payload.size() + 9, sent += payload.size() + 9)
      client.frame(type, flags, stream, payload);
}

// A header block that never ends.
void continue_for_ever(RawClient& client) {
  const std::uint32_t stream = client.next();
  client.frame(RawClient::kHeaders, 0, stream, RawClient::block({{":method", "POST"}}));
  repeat(client, RawClient::kContinuation, 0, stream, RawClient::block({{"a", std::string(8000, 'x')}}), 256 << 20);
}

// Blocks of one field of 4 KB, said once and then again and again with a byte each.
void expand(RawClient& client) {
  std::string first = RawClient::block(RawClient::request(kAds, ""));
  std::string field = RawClient::block({{"b", std::string(4000, 'x')}});
  field[0] = 0x40;  // to be indexed
  const std::string bomb = first + field + std::string(12'000, '\xbe');
  const std::string again = first + std::string(16'000, '\xbe');
  client.frame(RawClient::kHeaders, RawClient::kEndHeaders | RawClient::kEndStream, client.next(), bomb);
  for (int i = 0; i < 2000 && client.alive(); ++i) {
    client.frame(RawClient::kHeaders, RawClient::kEndHeaders | RawClient::kEndStream, client.next(), again);
    client.flush();
  }
}

void change_settings(RawClient& client) {
  repeat(client, RawClient::kSettings, 0, 0, std::string("\0\x04\0\0\xff\xff", 6), 32 << 20);
}

void ping(RawClient& client) { repeat(client, RawClient::kPing, 0, 0, std::string(8, 'p'), 32 << 20); }

void call_shortly(RawClient& client) {
  short_calls(client, false, 20'000);
  client.flush();
}

void call_and_reset_shortly(RawClient& client) {
  short_calls(client, true, 20'000);
  client.flush();
}

// Calls that say nothing.
void call_emptily(RawClient& client) { reset_rapidly(client, "", 20'000); }

struct Flood {
  const char* name;
  void (*send)(RawClient&);
};
void PrintTo(const Flood& flood, std::ostream* to) { *to << flood.name; }

struct HostileFlood : Hostile, testing::WithParamInterface<Flood> {};

TEST_P(HostileFlood, OfAStrangerEndsHisConnection) {
  begin();
  RawClient client = raw();

  GetParam().send(client);

  EXPECT_TRUE(client.ends());
  all_is_well();
}

TEST_P(HostileFlood, OfOneWhoIsProvedCostsHimAlone) {
  begin();
  RawClient client = proved();

  GetParam().send(client);

  all_is_well();
}

INSTANTIATE_TEST_SUITE_P(Of, HostileFlood,
                         testing::Values(Flood{"Continuations", continue_for_ever}, Flood{"ExpandingHeaders", expand},
                                         Flood{"Settings", change_settings}, Flood{"Pings", ping},
                                         Flood{"ShortCalls", call_shortly}, Flood{"ShortResets", call_and_reset_shortly},
                                         Flood{"EmptyCalls", call_emptily}),
                         [](const auto& its) { return its.param.name; });

TEST_F(Hostile, ManyIdleConnections) {
  environment["CULVERT_MAX_UNPROVED_CONNECTIONS"] = "300";
  environment["CULVERT_MAX_UNPROVED_PER_ADDRESS"] = "200";
  begin();
  const double files = metric("process_open_fds");
  std::vector<Fd> idle;

  for (int i = 0; i < 3000; ++i) idle.push_back(dial(port, culvert::format("127.0.0.{}", 2 + i % 3)));
  until([&] { return turned_away("crowded") == 2700; }, "all but 300 are turned away");

  EXPECT_EQ(metric("culvert_connections{proved=\"false\"}"), 300);
  EXPECT_LT(metric("process_open_fds") - files, 2 * 300 + 50);
  EXPECT_TRUE(says("turned callers away"));
  all_is_well();
}

}  // namespace
}  // namespace culvert::test
