// Golden test of culvert ztunnel-config: <case>.in.json is a ztunnel's config_dump, <case>.out.txt what every subcommand prints of it. To accept what comes
// out now: golden_ztunnel_config --rewrite tests/golden/ztunnel_config
#include <chrono>
#include <string>
#include <vector>

#include "cli/print/json.h"
#include "cli/ztunnel_config/dump.h"
#include "tests/golden/cases.h"

namespace culvert::golden {
namespace {

using cli::DumpPart;
using cli::DumpView;
using namespace std::chrono_literals;

struct Command {
  std::string words;
  DumpView view;
  bool yaml = false;
};

std::vector<Command> commands() {
  return {{"workload", {.part = DumpPart::kWorkloads}},
          {"workload --workload-namespace SHOP --workload-node node1",
           {.part = DumpPart::kWorkloads, .filter = {.name_space = "SHOP", .node = "node1"}}},
          {"workload --address fd00:10:244:1::4", {.part = DumpPart::kWorkloads, .filter = {.address = "fd00:10:244:1::4"}}},
          {"service", {.part = DumpPart::kServices}},
          {"service --service-namespace bank", {.part = DumpPart::kServices, .filter = {.name_space = "bank"}}},
          {"service --service-namespace bank -o yaml", {.part = DumpPart::kServices, .filter = {.name_space = "bank"}}, true},
          {"policy", {.part = DumpPart::kPolicies}},
          {"policy --policy-namespace shop", {.part = DumpPart::kPolicies, .filter = {.name_space = "shop"}}},
          {"certificate", {.part = DumpPart::kCertificates}},
          {"connections", {.part = DumpPart::kConnections}},
          {"connections --raw --direction outbound",
           {.part = DumpPart::kConnections, .filter = {.direction = "outbound", .raw = true}}},
          {"connections --direction inbound --workload-namespace shop",
           {.part = DumpPart::kConnections, .filter = {.name_space = "shop", .direction = "inbound"}}},
          {"all --with-headers", {.part = DumpPart::kAll, .headers = true}}};
}

std::string outcome(const std::string& input) {
  const auto dump = cli::ZtunnelDump::read(input);
  if (!dump) return "refused: " + dump.error().text + "\n";
  std::string out;
  for (Command& command : commands()) {
    command.view.now = std::chrono::sys_days(2026y / 11 / 20) + 12h;
    out += "$ culvert ztunnel-config " + command.words + "\n";
    out += command.yaml ? cli::print::yaml(cli::objects_of(*dump, command.view)) : cli::tables_of(*dump, command.view);
  }
  return out;
}

}  // namespace
}  // namespace culvert::golden

int main(int argc, char** argv) {
  return culvert::golden::main_of(
      {.program = "golden_ztunnel_config", .in = ".in.json", .out = ".out.txt", .outcome = culvert::golden::outcome}, argc, argv);
}
