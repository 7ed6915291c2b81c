// nodes SERVER ROOTS TOKENS: data planes by the thousand, as far as a control plane sees them: each has its own connection over TLS, its own token and one
// stream of delta discovery, holds what it was sent and acknowledges it. For ./dev bench scale.
//
//   SERVER   host:port of culvertd;  ROOTS  what its certificate chains to, a PEM file
//   TOKENS   a file, a line "TOKEN NODE" for each data plane
//
// Everybody holds the same once it has everything, so that it is kept once: by the first, which begins with nothing. The others say that they hold it as
// well, as nodes do that come again: of much of it only the sums, to a server that knows them (common/xds/subscription.h). Does what it reads, a line each, and prints one JSON object a line:
//
//   cold COUNT     so many of them begin with nothing, at once     {"did": "cold", "seconds", "resources", "removed", "responses", "bytes", "ended", "lost"}
//   connect COUNT  so many of them come, and hold what the first one does         the same
//   again          all of them are cut off, and come again                        the same
//   versions       likewise, but as Istio's ztunnel does: with the version of each resource       the same
//   held           what it is that they hold                       {"did": "held", "names", "digest"}
//   sign           each that is connected asks for a certificate, at once    {"did": "sign", "seconds", "signed", "why": of one that failed}
//   where PORT     they come to another port from now on           {"did": "where"}
//
// A resource that says "change-N" was changed for us: once all that are connected have it, {"change": N, "at": [ns, ...], "last": ns} is printed, of
// CLOCK_MONOTONIC: when it came to nodes of which each stands for as many others, and when to the last of all. Whoever loses its stream comes again by itself after 10 ms to a second; when all have, {"did": "back", ...} as above is printed.
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/format.h"
#include "common/net/event.h"
#include "common/net/loop.h"
#include "common/net/timer.h"
#include "common/rpc/ca_client.h"
#include "common/tls/authority.h"
#include "common/xds/wire.h"
#include "tests/bench/plane.h"

namespace {

using namespace culvert;
using namespace std::chrono_literals;

constexpr std::string_view kTypes[] = {xds::kAuthorizationType, xds::kAddressType};

std::int64_t now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// What a response is, without a copy of what it brings: of a thousand of the same, each costs us as little as can be.
struct Glance {
  std::string_view type_url, nonce, parts_asked;
  std::size_t resources = 0, removed = 0;
};

std::uint64_t take_varint(std::string_view& bytes) {
  std::uint64_t value = 0;
  for (int shift = 0; !bytes.empty() && shift < 64; shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    value |= std::uint64_t{byte & 0x7fU} << shift;
    if (byte < 0x80) break;
  }
  return value;
}

// DeltaDiscoveryResponse, all of whose fields are of one wire type.
constexpr std::uint64_t kPartsAsked = 50002;
Glance glance(std::string_view bytes) {
  Glance out;
  while (!bytes.empty()) {
    const std::uint64_t field = take_varint(bytes) >> 3;
    const std::uint64_t size = take_varint(bytes);
    const std::string_view value = bytes.substr(0, size);
    bytes.remove_prefix(value.size());
    if (field == 2) ++out.resources;
    else if (field == 4) out.type_url = value;
    else if (field == 5) out.nonce = value;
    else if (field == 6) ++out.removed;
    else if (field == kPartsAsked) out.parts_asked = value;
  }
  return out;
}

// To stand between quotes in a line.
std::string plain(std::string text) {
  std::ranges::replace_if(text, [](unsigned char c) { return c < ' ' || c == '"' || c == '\\'; }, ' ');
  return text;
}

class Fleet;

// One data plane.
struct Node {
  Fleet* fleet = nullptr;
  std::size_t index = 0;
  std::string token, name;
  std::unique_ptr<bench::Plane> plane = nullptr;
  std::unique_ptr<net::Timer> retry = nullptr;
  std::uint64_t life = 0;    // of the stream
  std::size_t answered = 0;  // of the types
  bool wanted = false;       // is connected, or wants to be
};

class Fleet {
 public:
  Fleet(net::Loop& loop, std::string server, std::string roots)
      : loop_(loop),
        server_(std::move(server)),
        roots_(std::move(roots)),
        tls_(*tls::Context::client(*tls::Roots::parse(roots_), {}, {"h2"})) {}

  void add(std::string token, std::string name) {
    Node& node = *nodes_.emplace_back(std::make_unique<Node>());
    node.fleet = this;
    node.index = nodes_.size() - 1;
    node.token = std::move(token);
    node.name = std::move(name);
    node.retry = std::make_unique<net::Timer>(loop_);
  }

  void command(const std::string& line) {
    const auto space = line.find(' ');
    const std::string what = line.substr(0, space);
    const std::size_t number = space == line.npos ? 0 : std::strtoul(line.c_str() + space, nullptr, 10);
    if (what == "cold" || what == "connect") return begin(what, std::min(number, nodes_.size()));
    if (what == "again" || what == "versions") return begin(what, connected());
    if (what == "held") return say_held();
    if (what == "sign") return loop_.spawn(sign());
    if (what != "where") return say(culvert::format(R"({{"error": "no such command: {}"}})", what));
    server_ = server_.substr(0, server_.rfind(':') + 1) + std::to_string(number);
    say(R"({"did": "where"})");
  }

  void stop() {
    for (const auto& node : nodes_) leave(*node);
    loop_.stop();
  }

 private:
  struct Counts {
    std::size_t resources = 0, removed = 0, responses = 0, bytes = 0, ended = 0, lost = 0;  // ended: also of tries
  };
  struct Change {
    std::size_t have = 0;
    std::string at;        // when it came to some of those, a list
    std::size_t told = 0;  // of its length
  };
  static constexpr std::size_t kPoints = 20;  // of a change that are told

  static void say(const std::string& line) {
    std::puts(line.c_str());
    std::fflush(stdout);
  }

  std::size_t connected() const {
    return static_cast<std::size_t>(std::ranges::count_if(nodes_, [](const auto& node) { return node->wanted; }));
  }

  void begin(const std::string& what, std::size_t count) {
    doing_ = what;
    counts_ = {};
    for (const auto& node : nodes_) leave(*node);
    if (what == "cold") held_ = {}, server_knows_sums_ = false;
    requests_.clear();
    waiting_ = count;
    began_ = now_ns();
    for (std::size_t i = 0; i < count; ++i) {
      nodes_[i]->wanted = true;
      come(*nodes_[i]);
    }
    if (count == 0) done();
  }

  void leave(Node& node) {
    node.retry->cancel();
    node.wanted = false;
    node.plane.reset();
  }

  void come(Node& node) {
    node.answered = 0;
    const std::uint64_t life = ++node.life;
    node.plane.reset();
    node.plane = std::make_unique<bench::Plane>(
        loop_, tls_, *Endpoint::parse(server_), std::string(xds::kAdsPath),
        http::HeaderList{{.name = "authorization", .value = "Bearer " + node.token},
                         {.name = "clusterid", .value = "Kubernetes"}},
        bench::Plane::Events{.on_message = [this, &node](const std::string& message) { hear(node, message); },
                             .on_end = [this, &node, life](const std::string& how) { ended(node, life, how); }});
    for (const std::string_view type : kTypes) node.plane->send(request(node, type));
  }

  // The part that is everybody's is put together once. Two messages one after the other are one that has the fields of both.
  http::Http2::Pieces request(const Node& node, std::string_view type) {
    std::shared_ptr<const std::string>& shared = requests_[std::string(type)];
    if (!shared) {
      xds::Request request{.type_url = std::string(type), .knows_sums = doing_ != "versions"};
      if (doing_ != "cold") request.initial_versions = xds::Versions(held_[std::string(type)]);
      if (request.knows_sums && server_knows_sums_ && request.initial_versions.size() >= xds::kParts) {
        request.sums = xds::Sums(request.initial_versions).bytes();
        request.initial_versions = {};
      }
      shared = piece(xds::encode(request));
    }
    return {piece(xds::encode(
                xds::Request{.node = {.id = "ztunnel~10.0.0.1~" + node.name + ".istio-system~istio-system.svc.cluster.local"}})),
            shared};
  }
  // What is held of some parts, for whoever is asked. Put together once as well.
  http::Http2::Pieces answer(const Glance& question) {
    const std::string type(question.type_url);
    std::shared_ptr<const std::string>& shared = requests_[type + " " + std::string(question.parts_asked)];
    if (!shared) {
      xds::Request request{.type_url = type};
      const auto parts = xds::parts_of(question.parts_asked);
      for (const auto& [name, version] : held_[type])
        if (parts && (*parts)[xds::part_of(name)]) request.initial_versions.emplace(name, version);
      shared = piece(xds::encode(request));
    }
    return {piece(xds::encode(xds::Request{.nonce = std::string(question.nonce)})), shared};
  }
  static std::shared_ptr<const std::string> piece(std::string text) {
    return std::make_shared<const std::string>(std::move(text));
  }

  void ended(Node& node, std::uint64_t life, const std::string& how) {
    if (life != node.life || !node.wanted) return;
    if (node.answered == std::size(kTypes) && waiting_++ == 0) {
      if (std::exchange(doing_, "back") == "cold") requests_.clear();
      counts_ = {};
      began_ = now_ns();
    }
    if (node.answered == std::size(kTypes)) ++counts_.lost;
    ++counts_.ended;
    last_end_ = plain(how);
    node.answered = 0;
    node.retry->arm(std::chrono::milliseconds(std::uniform_int_distribution(10, 1000)(random_)), [this, &node] { come(node); });
  }

  void hear(Node& node, const std::string& message) {
    const Glance response = glance(message);
    ++counts_.responses;
    counts_.resources += response.resources;
    counts_.removed += response.removed;
    counts_.bytes += message.size();
    if (!response.parts_asked.empty()) return node.plane->send(answer(response));
    if (node.index == 0) hold(message);
    if (node.answered == std::size(kTypes)) look_for_changes(message);
    node.plane->send(
        {piece(xds::encode(xds::Request{.type_url = std::string(response.type_url), .nonce = std::string(response.nonce)}))});
    if (node.answered == std::size(kTypes)) return;
    if (++node.answered < std::size(kTypes)) return;
    if (--waiting_ == 0) done();
  }

  void hold(const std::string& message) {
    auto response = xds::decode_response(message);
    if (!response) return say(R"({"error": "a response cannot be read"})");
    server_knows_sums_ |= response->knows_sums;
    if (!response->resources.empty() || !response->removed.empty()) requests_.clear();
    auto& held = held_[response->type_url];
    for (xds::Resource& resource : response->resources) held[resource.name] = std::move(resource.version);
    for (const std::string& name : response->removed) held.erase(name);
  }

  void look_for_changes(std::string_view message) {
    constexpr std::string_view kMark = "change-";
    for (auto at = message.find(kMark); at != message.npos; at = message.find(kMark, at + kMark.size())) {
      const std::size_t number = std::strtoul(message.data() + at + kMark.size(), nullptr, 10);
      Change& change = changes_[number];
      const std::int64_t now = now_ns();
      if (change.have == next_told(change.told)) change.at += culvert::format("{}{}", change.told++ == 0 ? "" : ", ", now);
      if (++change.have < connected_) continue;
      say(culvert::format(R"({{"change": {}, "at": [{}], "last": {}}})", number, change.at, now));
      changes_.erase(number);
    }
  }

  // Of those that a change comes to, one after the other, the middle ones of as many equal parts.
  std::size_t next_told(std::size_t told) const {
    const std::size_t points = std::min(kPoints, connected_);
    return (2 * told + 1) * connected_ / (2 * points);
  }

  void done() {
    connected_ = connected();
    changes_.clear();
    say(culvert::format(
        R"({{"did": "{}", "seconds": {:.6f}, "resources": {}, "removed": {}, "responses": {}, "bytes": {}, "ended": {}, "lost": {}, "last_end": "{}"}})",
        doing_, static_cast<double>(now_ns() - began_) / 1e9, counts_.resources, counts_.removed, counts_.responses,
        counts_.bytes, counts_.ended, counts_.lost, last_end_));
  }

  net::Task<> sign() {
    const std::int64_t began = now_ns();
    const std::size_t count = connected();
    std::size_t left = count, good = 0;
    std::string why;
    net::Event done(loop_);
    for (std::size_t i = 0; i < count; ++i) {
      loop_.spawn([](Fleet* fleet, const Node* node, std::size_t* its_left, std::size_t* its_good, std::string* its_why,
                     net::Event* its_done) -> net::Task<> {
        rpc::CaClient client(fleet->loop_,
                             {.address = fleet->server_,
                              .name = "localhost",
                              .credentials = {.token = node->token, .roots = fleet->roots_, .cluster_id = "Kubernetes"},
                              .deadline = 30s});
        const auto csr = tls::make_csr({"cluster.local", "istio-system", "ztunnel"});
        const auto chain = co_await client.sign({.csr_pem = csr->pem, .identity = ""});
        if (chain) ++*its_good;
        else *its_why = chain.error().text;
        if (--*its_left == 0) its_done->notify_all();
      }(this, nodes_[i].get(), &left, &good, &why, &done));
    }
    while (left > 0) co_await done.wait();
    say(culvert::format(R"({{"did": "sign", "seconds": {:.6f}, "signed": {}, "why": "{}"}})",
                        static_cast<double>(now_ns() - began) / 1e9, good, plain(why)));
  }

  void say_held() {
    std::size_t names = 0, digest = 0;
    for (const auto& [type, held] : held_) {
      names += held.size();
      for (const auto& [name, version] : held) digest ^= std::hash<std::string>{}(name + " " + version);
    }
    say(culvert::format(R"({{"did": "held", "names": {}, "digest": "{:016x}"}})", names, digest));
  }

  net::Loop& loop_;
  std::string server_;
  const std::string roots_;
  const tls::Context tls_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::map<std::string, std::map<std::string, std::string>> held_;      // by type: name, version
  std::map<std::string, std::shared_ptr<const std::string>> requests_;  // by type, and answers by type and parts
  bool server_knows_sums_ = false;
  std::string doing_;
  std::size_t waiting_ = 0;  // for the first answers of so many
  std::size_t connected_ = 0;
  std::int64_t began_ = 0;
  Counts counts_;
  std::string last_end_;
  std::map<std::size_t, Change> changes_;
  std::minstd_rand random_{1};
};

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return std::fputs("usage: nodes SERVER ROOTS TOKENS\n", stderr), 2;
  net::Loop loop;
  Fleet fleet(loop, argv[1], read(argv[2]));
  std::ifstream tokens(argv[3]);
  for (std::string token, name; tokens >> token >> name;) fleet.add(token, name);
  std::thread input([&] {
    for (std::string line; std::getline(std::cin, line);) loop.post([&fleet, line] { fleet.command(line); });
    loop.post([&fleet] { fleet.stop(); });
  });
  loop.run();
  input.join();
  return 0;
}
