// sign SECONDS: what a core gives of leaf certificates, from the text of a request to the text of a certificate, as culvertd makes them. One thread, whose
// own CPU clock counts. Prints one JSON object.

#include <time.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "common/tls/authority.h"

namespace {

double cpu_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace culvert;
  if (argc != 2) return std::fputs("usage: sign SECONDS\n", stderr), 2;
  const auto root = tls::Authority::make_root("cluster.local");
  const auto between = root->make_intermediate("bench", std::chrono::hours(1000));
  std::vector<std::pair<Identity, std::string>> requests;
  for (int i = 0; i < 256; ++i) {
    const Identity identity{"cluster.local", "namespace-" + std::to_string(i % 16), "account-" + std::to_string(i)};
    requests.emplace_back(identity, tls::make_csr(identity)->pem);
  }
  unsigned long count = 0, bytes = 0;
  const double began = cpu_seconds(), end = began + std::atof(argv[1]);
  while (cpu_seconds() < end) {
    const auto& [identity, pem] = requests[count++ % requests.size()];
    const auto csr = tls::CsrRequest::parse(pem);
    const auto leaf = csr ? between->sign_text(*csr, identity, std::chrono::hours(24))
                          : Result<tls::Authority::LeafText>(std::unexpected(csr.error()));
    if (!leaf) return std::fprintf(stderr, "sign: %s\n", leaf.error().text.c_str()), 1;
    bytes += leaf->pem.size();
  }
  const double used = cpu_seconds() - began;
  std::printf("{\"count\":%lu,\"bytes\":%lu,\"cpu_seconds\":%.6f}\n", count, bytes, used);
  return 0;
}
