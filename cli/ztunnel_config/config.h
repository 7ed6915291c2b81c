#pragma once
// `culvert ztunnel-config`: what a ztunnel has in force, in the words and columns of istioctl ztunnel-config; and its log levels. Exit code: 0 done, 1 could
// not (said on standard error).

#include <cstdint>
#include <string>

#include "cli/ask/cluster.h"
#include "cli/ztunnel_config/dump.h"

namespace culvert::cli {

// Which ztunnel; at most one of `pod`, `node` (with or without `world`), `file` and `url`.
struct ZtunnelSource {
  std::string pod = {};         // a ztunnel's pod or any other, "web-0", "web-0.shop", "deployment/web": the ztunnel of its node
  std::string name_space = {};  // of `pod`; empty: the system namespace
  std::string node = {};        // the ztunnel of this node
  std::string file = {};        // a config_dump; "-" is standard input
  std::string url = {};         // http://HOST:15000
  std::string world = {};       // of culvert local: the ztunnel of its `node`, or of node1
  std::uint16_t admin_port = 15000;
  ClusterFlags cluster = {};
};

enum class Form : std::uint8_t { kTable, kJson, kYaml };

struct ZtunnelConfigOptions {
  ZtunnelSource source = {};
  DumpView view = {};
  Form form = Form::kTable;
};
int ztunnel_config(const ZtunnelConfigOptions& options);

struct ZtunnelLogOptions {
  ZtunnelSource source = {};  // nothing named: every ztunnel of the cluster
  std::string level = {};     // "access:debug,info"; empty: only shown
  bool reset = false;         // begin with the default
};
int ztunnel_log(const ZtunnelLogOptions& options);

}  // namespace culvert::cli
