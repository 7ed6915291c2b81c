#pragma once
// A ztunnel's config_dump, ours or Istio's (protocols.md §6.6), in the tables of istioctl ztunnel-config. Pure.

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "cli/print/table.h"
#include "common/base/result.h"

namespace culvert::cli {

struct ZtunnelDump {
  boost::json::value all = {};
  boost::json::array workloads = {}, services = {}, policies = {}, certificates = {};
  boost::json::object pods = {};  // "workloadState", by uid

  // Fails when it is no dump. Older ztunnels have objects where newer ones have lists.
  static Result<ZtunnelDump> read(std::string_view json);
};

enum class DumpPart : std::uint8_t { kWorkloads, kServices, kPolicies, kCertificates, kConnections, kAll };

// What is shown of a part; empty: everything.
struct DumpFilter {
  std::string name_space = {};
  std::string address = {}, node = {};  // of workloads
  std::string direction = {};           // of connections: "inbound", "outbound"
  bool raw = false;                     // of connections: addresses instead of names
};

struct DumpView {
  DumpPart part = DumpPart::kAll;
  DumpFilter filter = {};
  bool headers = false;                                                          // kAll: a line above each table
  bool coloured = false;                                                         // in tables
  std::chrono::system_clock::time_point now = std::chrono::system_clock::now();  // certificates are valid or not
};

std::string tables_of(const ZtunnelDump& dump, const DumpView& view);
// The objects as they are in the dump, those that the filter leaves.
boost::json::value objects_of(const ZtunnelDump& dump, const DumpView& view);

// "342391" in hexadecimal digits; empty when it is no number.
std::string hexadecimal(std::string_view decimal);

}  // namespace culvert::cli
