// load server PORT | relay PORT HOST PORT
// load up HOST PORT SECONDS | down HOST PORT BYTES | rr HOST PORT CONNECTIONS SECONDS | churn HOST PORT CONCURRENCY SECONDS [each] | hold HOST PORT CONNECTIONS [watch]
// Prints one JSON object a run; before it, with `each`, a line for each connection: when it began, in seconds, and what it took, in microseconds.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "tests/bench/load.h"

namespace {

using culvert::bench::Seen;

double percentile(Seen& seen, double share) {
  if (seen.latencies.empty()) return 0;
  const auto at = seen.latencies.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(seen.latencies.size() - 1));
  std::nth_element(seen.latencies.begin(), at, seen.latencies.end());
  return *at / 1000.0;
}

void print(Seen seen) {
  const double p50 = percentile(seen, 0.5), p99 = percentile(seen, 0.99);
  std::string kinds;
  for (const auto& [kind, count] : seen.kinds) kinds += (kinds.empty() ? "\"" : ",\"") + kind + "\":" + std::to_string(count);
  std::printf("{\"count\":%lu,\"errors\":%lu,\"kinds\":{%s},\"seconds\":%.6f,\"p50_us\":%.1f,\"p99_us\":%.1f}\n", seen.count,
              seen.errors, kinds.c_str(), seen.seconds, p50, p99);
}

void print_each(const Seen& seen) {
  for (std::size_t i = 0; i < seen.latencies.size(); ++i) std::printf("%.6f %.1f\n", seen.asked[i], seen.latencies[i] / 1000.0);
}

}  // namespace

int main(int argc, char** argv) {
  using namespace culvert::bench;
  const std::string_view mode = argc > 1 ? argv[1] : "";
  const auto number = [&](int index) { return std::atof(argv[index]); };
  if (mode == "server" && argc == 3) serve(static_cast<std::uint16_t>(number(2)));
  if (mode == "relay" && argc == 5)
    relay(static_cast<std::uint16_t>(number(2)), {argv[3], static_cast<std::uint16_t>(number(4))});
  if (argc < 5) {
    std::fprintf(stderr, "usage: load server PORT | relay PORT HOST PORT | up|down|rr|churn|hold HOST PORT NUMBER…\n");
    return 2;
  }
  const Target target{argv[2], static_cast<std::uint16_t>(number(3))};
  if (mode == "up") print(upload(target, number(4)));
  else if (mode == "down") print(download(target, static_cast<std::uint64_t>(number(4))));
  else if (mode == "rr" && argc == 6) print(round_trips(target, static_cast<int>(number(4)), number(5)));
  else if (mode == "churn" && (argc == 6 || argc == 7)) {
    Seen seen = churn(target, static_cast<int>(number(4)), number(5));
    if (argc == 7) print_each(seen);
    print(std::move(seen));
  } else if (mode == "hold") print(hold(target, static_cast<int>(number(4)), argc == 6));
  else return 2;
  return 0;
}
