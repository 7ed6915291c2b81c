#pragma once
// What culvertd's /debug/syncz says of the data planes that are connected to it; istiod's as well, as far as it says the same. Pure.

#include <boost/json/value.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace culvert::cli {

struct Proxy {
  std::string name = {};   // "ztunnel-x.istio-system"
  std::string plane = {};  // the culvertd that serves it
  std::string cluster = {};
  std::string version = {};  // empty: it does not say
  std::string node = {};
  std::vector<std::string> types = {};    // that it has subscribed to: "WDS", "WADS"
  std::vector<std::string> pending = {};  // of these, what was sent and is not answered
  std::uint64_t epoch = 0;                // of its culvertd
  std::uint64_t acked = 0;                // everything up to here is in force
  bool current = false;                   // nothing is under way and nothing is pending
  std::string refused = {};               // what it refuses of what it was sent, and why
  std::string nack = {};                  // what it said when it refused something last, mended since or not
  std::optional<std::chrono::system_clock::time_point> nacked_at = {};
};

// Fails when it is no such page.
Result<std::vector<Proxy>> read_proxies(std::string_view plane, std::string_view syncz);

// "42s", "5m", "3h", "2d"; as kubectl shows ages.
std::string age_text(std::chrono::seconds age);

// NAME, CLUSTER, CULVERTD, VERSION, SUBSCRIBED TYPES as istioctl has them; EPOCH, ACKED, PENDING, LAST NACK.
std::string proxies_table(const std::vector<Proxy>& proxies, std::chrono::system_clock::time_point now, bool coloured);
boost::json::value proxies_json(const std::vector<Proxy>& proxies);

}  // namespace culvert::cli
