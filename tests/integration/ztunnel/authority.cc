// A certificate authority for tests: signs whatever identity is asked for, while FOLDER/refuse does not exist.
//   test-authority FOLDER PORT LIFETIME_SECONDS      writes FOLDER/root.pem and root.key unless they are there, then says "listening"

#include "common/tls/authority.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "common/net/loop.h"
#include "common/rpc/server.h"
#include "proto/ca.pb.h"

namespace {

using namespace culvert;
using namespace std::chrono_literals;

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}
void write(const std::filesystem::path& path, const std::string& text) { std::ofstream(path) << text; }

void sign(const tls::Authority& authority, std::chrono::seconds lifetime, const std::filesystem::path& refuse, rpc::CallRef call,
          const std::string& message) {
  istio::v1::auth::IstioCertificateRequest request;
  if (std::filesystem::exists(refuse) || !request.ParseFromString(message)) return call->finish({16, "refused by the test"});
  const auto csr = tls::CsrRequest::parse(request.csr());
  const auto identity = Identity::parse(request.metadata().fields().at("ImpersonatedIdentity").string_value());
  if (!csr || !identity) return call->finish({3, "bad request"});
  const auto leaf = authority.sign(*csr, *identity, lifetime);
  if (!leaf) return call->finish({13, leaf.error().text});
  istio::v1::auth::IstioCertificateResponse response;
  response.add_cert_chain(leaf->pem());
  response.add_cert_chain(authority.certificate().pem());
  call->answer(response.SerializeAsString());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 1;
  const std::filesystem::path folder = argv[1];
  const std::string port = argv[2];
  const std::chrono::seconds lifetime(std::atoi(argv[3]));
  const auto authority = std::filesystem::exists(folder / "root.key")
                             ? tls::Authority::load(read(folder / "root.pem"), read(folder / "root.key"))
                             : tls::Authority::make_root("cluster.local");
  if (!authority) return 1;
  const std::string name = "localhost";
  const auto address = IpAddress::v4(0x7f000001);
  const auto server = authority->make_server({&name, 1}, {&address, 1}, 24h);
  if (!server) return 1;
  write(folder / "root.pem", authority->certificate().pem());
  write(folder / "root.key", authority->key_pair().key().private_pem());
  write(folder / "server.pem", server->leaf().pem());
  write(folder / "server.key", server->key().private_pem());

  net::Loop loop;
  const auto refuse = folder / "refuse";
  const auto handler = [&](rpc::CallRef call) {
    call->proved("ztunnel");
    if (call->path() != "/istio.v1.auth.IstioCertificateService/CreateCertificate") return call->finish({12, "unknown method"});
    call->accept({.on_message = [&, call](std::string message) { sign(*authority, lifetime, refuse, call, message); },
                  .on_sent = {},
                  .on_end = {}});
  };
  const auto listening = rpc::CallServer::start(
      loop, {.address = "127.0.0.1:" + port, .certificate_file = folder / "server.pem", .key_file = folder / "server.key"},
      handler);
  if (!listening) {
    std::fprintf(stderr, "%s\n", listening.error().text.c_str());
    return 1;
  }
  std::printf("listening\n");
  std::fflush(stdout);
  loop.run();
}
