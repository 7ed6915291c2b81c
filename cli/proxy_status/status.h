#pragma once
// `culvert proxy-status`: the data planes that are connected to the control plane, and what each has in force. Exit code: 0 everybody could be asked,
// 1 not (said on standard error; what the others say is printed all the same).

#include <cstdint>
#include <string>

#include "cli/ask/plane.h"

namespace culvert::cli {

struct ProxyStatusOptions {
  PlaneOptions planes = {};
  std::string proxy = {};  // only those whose name begins so; empty: all
  enum class Form : std::uint8_t { kTable, kJson, kYaml };
  Form form = Form::kTable;
};
int proxy_status(const ProxyStatusOptions& options);

}  // namespace culvert::cli
