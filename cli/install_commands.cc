#include "cli/install_commands.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "cli/flags.h"
#include "cli/install/install.h"
#include "cli/install/values.h"
#include "common/base/settings.h"

namespace culvert::cli {
namespace {

using install::DryRun;
using install::Options;
using Shared = std::shared_ptr<Options>;

void add_place(CLI::App& command, const Shared& options) {
  auto& release = options->change.release;
  add_cluster_flags(command, release.cluster);
  command.add_option("-n,--namespace", release.cluster.system_namespace, "the same");
  command.add_option("--release", release.name, "name of helm's release")->capture_default_str();
}

void add_list(CLI::App& command, const char* flags, std::vector<std::string>& into, const char* about) {
  command.add_option(flags, into, about)->allow_extra_args(false);
}

void add_values(CLI::App& command, const Shared& options) {
  auto& values = options->change.values;
  command.add_option(
      "-d,--charts,--manifests", options->charts,
      "the chart `culvert` (a folder or an archive), or the folder that it is in (default: charts/ beside this program, or "
      "/usr/share/culvert/charts)");
  command.add_option("--profile", options->profile,
                     "a profile of the chart: demo, minimal, production, remote, external, openshift");
  add_list(command, "-f,--values,--filename", values.files, "a file of values, after the profile; as often as you like");
  add_list(command, "-s,--set", values.set, "a value: ztunnel.logLevel=debug; as often as you like");
  add_list(command, "--set-string", values.set_string, "a value that is text");
  add_list(command, "--set-file", values.set_file, "a value that is what a file holds");
  add_list(command, "--set-json", values.set_json, "a value as JSON");
  command.parse_complete_callback([options] {
    if (const auto wrong = install::istio_word(options->change.values); !wrong.empty()) throw CLI::ValidationError(wrong);
  });
}

void add_patience(CLI::App& command, const Shared& options) {
  command.add_flag("--wait,!--no-wait", options->change.wait, "return when everything is ready (default), or at once");
  command.add_option("--timeout,--readiness-timeout", options->change.timeout, "how long that may take")
      ->capture_default_str()
      ->check([](const std::string& text) {
        const auto read = settings::parse_duration(text);
        return read ? std::string() : read.error().text;
      });
  command.add_flag("-y,--yes,--skip-confirmation", options->yes, "do not ask");
}

void add_dry_run(CLI::App& command, const Shared& options) {
  command.add_flag_callback(
      "--dry-run", [options] { options->change.dry_run = DryRun::kServer; }, "only print what would be sent to the cluster");
}

void add_uninstall(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand("uninstall", "take every pod out of the mesh, in order, and Culvert out of the cluster");
  auto options = std::make_shared<Options>();
  add_place(*command, options);
  add_patience(*command, options);
  add_dry_run(*command, options);
  command->add_flag("--purge", options->purge,
                    "and delete what helm leaves: CRDs of ours, and every object of theirs; roots, keys and registrations that "
                    "Culvert has written");
  command->callback([options, &exit_code] { exit_code = install::uninstall(*options); });
}

void add_manifest(CLI::App& app, int& exit_code) {
  auto* manifest = app.add_subcommand("manifest", "what an installation consists of");
  manifest->require_subcommand(1);
  auto* generate = manifest->add_subcommand("generate", "print the objects that an installation would have; asks no cluster");
  auto options = std::make_shared<Options>();
  add_place(*generate, options);
  add_values(*generate, options);
  generate->add_option("-o,--output", options->output_folder, "a folder to write files into, instead");
  generate->callback([options, &exit_code] { exit_code = install::generate(*options); });

  auto* diff = manifest->add_subcommand(
      "diff",
      "what `culvert install` with the same flags would change in the cluster, object by object (exit code 1: something)");
  auto compared = std::make_shared<Options>();
  add_place(*diff, compared);
  add_values(*diff, compared);
  diff->callback([compared, &exit_code] { exit_code = install::diff(*compared); });
}

}  // namespace

void add_install(CLI::App& app, int& exit_code) {
  auto* command =
      app.add_subcommand("install", "install Culvert into a cluster, by the helm in PATH; or make it what these flags say");
  auto options = std::make_shared<Options>();
  add_place(*command, options);
  add_values(*command, options);
  add_patience(*command, options);
  add_dry_run(*command, options);
  command->callback([options, &exit_code] { exit_code = install::install(*options); });

  auto* upgrade = app.add_subcommand("upgrade", "upgrade Culvert in a cluster; values of before stay, these come on top");
  auto changed = std::make_shared<Options>();
  add_place(*upgrade, changed);
  add_values(*upgrade, changed);
  add_patience(*upgrade, changed);
  add_dry_run(*upgrade, changed);
  upgrade->add_flag("--reset-values", changed->change.reset_values, "forget the values of before");
  upgrade->add_flag("--diff", changed->diff, "only say what would change, object by object (exit code 1: something)");
  upgrade->callback([changed, &exit_code] { exit_code = install::upgrade(*changed); });

  add_uninstall(app, exit_code);
  add_manifest(app, exit_code);
}

}  // namespace culvert::cli
