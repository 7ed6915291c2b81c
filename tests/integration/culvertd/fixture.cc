#include "tests/integration/culvertd/fixture.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <thread>

#include "common/base/fd.h"
#include "common/base/format.h"
#include "common/net/timer.h"
#include "common/tls/authority.h"
#include "controlplane/ca/service.h"
#include "proto/ca.pb.h"

namespace culvert::test {
namespace {

using namespace std::chrono_literals;

std::string read(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string http_get(int port, const std::string& path, const std::string& headers = "") {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(static_cast<std::uint16_t>(port));
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string text;
  if (fd < 0) {
    ADD_FAILURE() << "a socket: " << std::generic_category().message(errno);
    return text;
  }
  if (::connect(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0) {
    const std::string request = "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + headers + "\r\n";
    EXPECT_EQ(::write(fd, request.data(), request.size()), static_cast<ssize_t>(request.size()));
    char buffer[4096];
    for (ssize_t count; (count = ::read(fd, buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<std::size_t>(count));
  }
  ::close(fd);
  return text;
}

}  // namespace

int free_port() {
  // Programs that were started one after the other begin far from each other.
  static int next = 20'000 + static_cast<int>(static_cast<long>(::getpid()) * 1009 % 10'000);
  const Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  for (int tries = 0; tries < 1000; ++tries) {
    if (++next >= 30'000) next = 20'000;
    at.sin_port = htons(static_cast<std::uint16_t>(next));
    if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&at), sizeof at) == 0) return next;
  }
  ADD_FAILURE() << "no free port from 20000 to 30000";
  return 0;
}

Subscriber::Subscriber(net::Loop& loop, const rpc::Server& server, const std::string& token) : channel_(server) {
  stream_ = std::make_unique<rpc::Stream>(
      loop, channel_, std::string(xds::kAdsPath), rpc::Metadata{{"authorization", "Bearer " + token}},
      rpc::Stream::Events{.on_message = [this](const std::string& message) { received(message); },
                          .on_end = [this](rpc::Ended how) { ended = std::move(how); }});
}

void Subscriber::subscribe(std::string_view type, std::map<std::string, std::string> held_versions) {
  xds::Request request;
  request.node.id = "ztunnel~127.0.0.1~ztunnel-1.istio-system~istio-system.svc.cluster.local";
  request.type_url = type;
  request.initial_versions = xds::Versions(held_versions);
  stream_->send(xds::encode(request));
}

void Subscriber::subscribe_with_sums(std::string_view type, std::map<std::string, std::string> held_versions) {
  held_before_ = xds::Versions(held_versions);
  stream_->send(
      xds::encode(xds::Request{.type_url = std::string(type), .knows_sums = true, .sums = xds::Sums(held_before_).bytes()}));
}

void Subscriber::demand(std::string_view type, std::vector<std::string> names, std::vector<std::string> unwanted) {
  xds::Request request;
  request.node.id = "ztunnel~127.0.0.1~ztunnel-1.istio-system~istio-system.svc.cluster.local";
  request.type_url = type;
  request.subscribe = std::move(names);
  request.unsubscribe = std::move(unwanted);
  stream_->send(xds::encode(request));
}

void Subscriber::acknowledge(std::string_view type, const std::string& nonce, const std::string& error) {
  xds::Request request;
  request.type_url = type;
  request.nonce = nonce;
  request.error = error;
  stream_->send(xds::encode(request));
}

std::map<std::string, std::string> Subscriber::versions(std::string_view type) const {
  std::map<std::string, std::string> out;
  const auto found = held.find(type);
  if (found == held.end()) return out;
  for (const auto& [name, resource] : found->second) out[name] = resource.version;
  return out;
}

void Subscriber::received(const std::string& message) {
  const auto response = xds::decode_response(message);
  ASSERT_TRUE(response) << response.error().text;
  last = std::chrono::steady_clock::now();
  if (response->asked.any()) {
    ++questions;
    if (!acknowledges) return;
    xds::Request answer{.type_url = response->type_url, .nonce = response->nonce};
    for (const auto& [name, version] : held_before_.all())
      if (response->asked[xds::part_of(name)]) answer.initial_versions.emplace(name, version);
    return stream_->send(xds::encode(answer));
  }
  Response heard{.nonce = response->nonce, .put = {}, .removed = response->removed};
  for (const xds::Resource& resource : response->resources) {
    heard.put.push_back(resource.name);
    held[response->type_url][resource.name] = resource;
  }
  for (const std::string& name : response->removed) held[response->type_url].erase(name);
  std::ranges::sort(heard.put);
  std::ranges::sort(heard.removed);
  responses[response->type_url].push_back(std::move(heard));
  if (acknowledges) acknowledge(response->type_url, response->nonce);
}

CulvertdTest::CulvertdTest() {
  char name[] = "/tmp/culvertd-test-XXXXXX";
  folder = ::mkdtemp(name);
  std::filesystem::create_directory(folder + "/config");
  std::ofstream(folder + "/tokens") << kToken1 << " n1\n" << kToken2 << " n2\n";
  std::filesystem::permissions(folder + "/tokens", std::filesystem::perms(0600));
  port = free_port();
  metrics_port = free_port();
  debug_port = free_port();
}

CulvertdTest::~CulvertdTest() {
  stop(SIGKILL);
  if (HasFailure()) std::fputs(log().c_str(), stderr);
  std::filesystem::remove_all(folder);
}

bool CulvertdTest::start() {
  const std::vector<std::string> words = {CULVERTD,
                                          "--config-dir",
                                          folder + "/config",
                                          "--data-dir",
                                          folder + "/" + data,
                                          "--tokens",
                                          folder + "/tokens",
                                          "--address",
                                          "127.0.0.1:" + std::to_string(port),
                                          "--monitoring-port",
                                          std::to_string(metrics_port),
                                          "--debug-port",
                                          std::to_string(debug_port)};
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const std::size_t before = log().size();
  pid = ::fork();
  if (pid == 0) {
    const int out = ::open((folder + "/log").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (out < 0) ::_exit(126);
    ::dup2(out, 1);
    ::dup2(out, 2);
    for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
    ::execv(CULVERTD, argv.data());
    ::_exit(127);
  }
  exit_code = -1;
  for (const auto end = std::chrono::steady_clock::now() + 10s; std::chrono::steady_clock::now() < end;) {
    if (log().find("\tserving\t", before) != std::string::npos) return true;
    int status = 0;
    if (::waitpid(pid, &status, WNOHANG) == pid) {
      exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
      pid = -1;
      return false;
    }
    std::this_thread::sleep_for(2ms);
  }
  ADD_FAILURE() << "culvertd neither serves nor ends";
  return false;
}

void CulvertdTest::stop(int number) {
  if (pid < 0) return;
  ::kill(pid, number);
  int status = 0;
  ::waitpid(pid, &status, 0);
  exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  pid = -1;
}

void CulvertdTest::write(const std::string& name, std::string_view text) const {
  const std::string path = folder + "/config/" + name;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path + "~") << text;
  std::filesystem::rename(path + "~", path);
}

void CulvertdTest::remove(const std::string& name) const { std::filesystem::remove(folder + "/config/" + name); }

std::string CulvertdTest::log() const { return read(folder + "/log"); }

bool CulvertdTest::says(std::string_view text) {
  until([&] { return log().contains(text); }, std::string(text).c_str());
  return log().contains(text);
}

rpc::Server CulvertdTest::server() const {
  return {.address = "127.0.0.1:" + std::to_string(port), .roots_pem = read(folder + "/data/root-cert.pem"), .name = ""};
}

std::string CulvertdTest::metrics() const { return http_get(metrics_port, "/metrics"); }

std::string CulvertdTest::page(const std::string& path) const { return http_get(debug_port, path); }

std::string CulvertdTest::get(int from, const std::string& path, const std::string& token) {
  return http_get(from, path, token.empty() ? "" : "Authorization: Bearer " + token + "\r\n");
}

void CulvertdTest::until(const std::function<bool()>& done, const char* what) {
  loop.run([](net::Loop* on, const std::function<bool()>* enough) -> net::Task<> {
    const auto end = net::Clock::now() + 5s;
    while (!(*enough)() && net::Clock::now() < end) co_await net::sleep_for(*on, 500us);
  }(&loop, &done));
  EXPECT_TRUE(done()) << "waited for: " << what;
}

std::unique_ptr<Subscriber> CulvertdTest::connect(const std::string& token) {
  return std::make_unique<Subscriber>(loop, server(), token);
}

CulvertdTest::Signed CulvertdTest::sign(const std::string& token, const std::string& identity, long seconds) {
  istio::v1::auth::IstioCertificateRequest request;
  request.set_csr(tls::make_csr(*Identity::parse("spiffe://cluster.local/ns/any/sa/thing"))->pem);
  request.set_validity_duration(seconds);
  if (!identity.empty()) (*request.mutable_metadata()->mutable_fields())["ImpersonatedIdentity"].set_string_value(identity);
  std::optional<Signed> out;
  const rpc::Channel channel(server());
  rpc::Unary call(loop, channel, std::string(controlplane::kCreateCertificatePath), {{"authorization", "Bearer " + token}},
                  request.SerializeAsString(), 5s, [&out](rpc::Ended ended, const std::string& message) {
                    istio::v1::auth::IstioCertificateResponse response;
                    EXPECT_TRUE(response.ParseFromString(message));
                    out = {std::move(ended), {response.cert_chain().begin(), response.cert_chain().end()}};
                  });
  until([&] { return out.has_value(); }, "an answer to CreateCertificate");
  return out.value_or(Signed{});
}

std::string pod(std::string_view name, std::string_view node, std::string_view address, std::string_view account) {
  return culvert::format(
      "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {}, namespace: shop, labels: {{app: web}}}}\n"
      "spec: {{nodeName: {}, serviceAccountName: {}}}\n"
      "status: {{phase: Running, podIPs: [{{ip: \"{}\"}}], conditions: [{{type: Ready, status: \"True\"}}]}}\n",
      name, node, account, address);
}

std::string policy(std::string_view name, std::string_view spec) {
  return culvert::format(
      "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: {}, namespace: shop}}\nspec: {}\n",
      name, spec);
}

}  // namespace culvert::test
