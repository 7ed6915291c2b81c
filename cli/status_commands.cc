#include "cli/status_commands.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "cli/bug_report/report.h"
#include "cli/flags.h"
#include "cli/proxy_status/status.h"
#include "cli/version/version.h"

namespace culvert::cli {

void add_proxy_status(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand("proxy-status", "the data planes that are connected, and what each has in force");
  command->alias("ps");
  auto options = std::make_shared<ProxyStatusOptions>();
  command->add_option("PROXY", options->proxy, "only those whose name begins so");
  add_plane_flags(*command, options->planes);
  using Form = ProxyStatusOptions::Form;
  add_output_flag<Form>(*command, options->form, {{"table", Form::kTable}, {"json", Form::kJson}, {"yaml", Form::kYaml}});
  command->callback([options, &exit_code] { exit_code = proxy_status(*options); });
}

void add_version(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand("version", "the versions of this program, the control plane and the data planes");
  auto options = std::make_shared<VersionOptions>();
  command->add_flag("-s,--short", options->brief, "numbers alone");
  command->add_flag_function(
      "--remote", [options](std::int64_t asked) { options->remote = asked > 0; },
      "ask the mesh, and fail when it cannot be asked; --remote=false does not ask");
  add_plane_flags(*command, options->planes);
  using Form = VersionOptions::Form;
  add_output_flag<Form>(*command, options->form, {{"text", Form::kText}, {"json", Form::kJson}, {"yaml", Form::kYaml}});
  command->callback([options, &exit_code] { exit_code = version(*options); });
}

void add_bug_report(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand(
      "bug-report",
      "objects, dumps, logs, metrics and versions of a mesh in one archive, without passwords, tokens and private keys");
  auto options = std::make_shared<BugReportOptions>();
  command->add_option("-o,--output", options->output,
                      "the archive; it must not be there yet (default: culvert-bug-report-TIME.tar.gz)");
  command->add_option("--node", options->node, "of the data plane, only what runs on this node");
  command->add_option("--tail", options->logs.lines, "lines of each log, the last ones")->capture_default_str();
  command->add_option("--max-size", options->most_mib, "MiB of all files together, before they are packed")
      ->capture_default_str()
      ->check(CLI::Range(1, 65536));
  auto seconds = std::make_shared<int>(600);
  command->add_option("--timeout", *seconds, "seconds to gather")->capture_default_str()->check(CLI::PositiveNumber);
  command->add_flag("--dry-run", options->dry_run, "say what would be gathered, and write nothing");
  add_cluster_flags(*command, options->cluster);
  command->callback([options, seconds, &exit_code] {
    options->timeout = std::chrono::seconds(*seconds);
    exit_code = bug_report(*options);
  });
}

}  // namespace culvert::cli
