#include "cli/ztunnel_commands.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "cli/flags.h"
#include "cli/ztunnel_config/config.h"

namespace culvert::cli {
namespace {

void add_source(CLI::App& command, ZtunnelSource& source) {
  command.add_option("POD", source.pod,
                     "a ztunnel's pod, or any other for the ztunnel of its node: NAME, NAME.NAMESPACE, TYPE/NAME[.NAMESPACE]");
  command.add_option("-n,--namespace", source.name_space, "of POD (default: where the mesh is installed)");
  command.add_option("--node", source.node, "the ztunnel of this node");
  command.add_option("--url", source.url, "the ztunnel at http://HOST:15000, instead of one of a cluster");
  command.add_option("--world", source.world, "a ztunnel of this world of culvert local: of --node, or of node1");
  command.add_option("--proxy-admin-port", source.admin_port, "where ztunnel listens for this in its pod")->capture_default_str();
  add_cluster_flags(command, source.cluster);
}

struct Part {
  const char* name;
  std::vector<const char*> aliases;
  const char* about;
  DumpPart part;
};

CLI::App* add_part(CLI::App& config, const Part& part, const std::shared_ptr<ZtunnelConfigOptions>& options, int& exit_code) {
  auto* command = config.add_subcommand(part.name, part.about);
  for (const char* alias : part.aliases) command->alias(alias);
  add_source(*command, options->source);
  command->add_option("-f,--file", options->source.file, "a config_dump that was saved; - is standard input");
  add_output_flag<Form>(*command, options->form,
                        {{"table", Form::kTable}, {"short", Form::kTable}, {"json", Form::kJson}, {"yaml", Form::kYaml}});
  options->view.part = part.part;
  command->callback([options, &exit_code] {
    options->view.coloured = print::colours_wanted();
    exit_code = ztunnel_config(*options);
  });
  return command;
}

void add_parts(CLI::App& config, int& exit_code) {
  const Part parts[] = {
      {"workload", {"w", "workloads"}, "the workloads that it knows", DumpPart::kWorkloads},
      {"service", {"services", "s", "svc"}, "the services that it knows", DumpPart::kServices},
      {"policy", {"policies", "p", "pol"}, "the policies that it enforces", DumpPart::kPolicies},
      {"certificate", {"certificates", "certs", "cert"}, "its certificates, without their keys", DumpPart::kCertificates},
      {"connections", {"cons"}, "the connections that it carries", DumpPart::kConnections},
      {"all", {}, "all of these", DumpPart::kAll},
  };
  for (const Part& part : parts) {
    auto options = std::make_shared<ZtunnelConfigOptions>();
    auto* command = add_part(config, part, options, exit_code);
    DumpFilter& filter = options->view.filter;
    switch (part.part) {
      case DumpPart::kWorkloads:
        command->add_option("--workload-namespace", filter.name_space, "only those of this namespace");
        command->add_option("--workload-node", filter.node, "only those on this node");
        command->add_option("--address", filter.address, "only the one with this address");
        break;
      case DumpPart::kServices:
        command->add_option("--service-namespace", filter.name_space, "only those of this namespace");
        break;
      case DumpPart::kPolicies:
        command->add_option("--policy-namespace", filter.name_space, "only those of this namespace");
        break;
      case DumpPart::kConnections:
        command->add_option("--workload-namespace", filter.name_space, "only those of workloads of this namespace");
        command->add_option("--direction", filter.direction, "only those one way")->check(CLI::IsMember({"inbound", "outbound"}));
        command->add_flag("--raw", filter.raw, "addresses instead of names");
        break;
      case DumpPart::kAll: command->add_flag("--with-headers", options->view.headers, "a line above each table"); break;
      case DumpPart::kCertificates: break;
    }
  }
}

void add_log(CLI::App& config, int& exit_code) {
  auto* command = config.add_subcommand("log", "the log levels of one ztunnel, or of all: shown, or changed");
  command->alias("o");
  auto options = std::make_shared<ZtunnelLogOptions>();
  add_source(*command, options->source);
  auto* level = command->add_option("--level", options->level,
                                    "[SCOPE:]LEVEL,...: trace, debug, info, warning, error, critical, off; as access:debug,info");
  command->add_flag("-r,--reset", options->reset, "back to the default, info")->excludes(level);
  command->callback([options, &exit_code] { exit_code = ztunnel_log(*options); });
}

}  // namespace

void add_ztunnel_config(CLI::App& app, int& exit_code) {
  auto* config = app.add_subcommand("ztunnel-config", "what a ztunnel has in force, as istioctl shows it; its log levels");
  config->alias("zc");
  config->require_subcommand(1);
  add_parts(*config, exit_code);
  add_log(*config, exit_code);
}

}  // namespace culvert::cli
