#include "cli/status_commands.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

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

}  // namespace culvert::cli
