#include "cli/precheck_commands.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "cli/flags.h"
#include "cli/precheck/precheck.h"
#include "cli/verify/verify.h"
#include "common/base/settings.h"

namespace culvert::cli {
namespace {

void add_timeout(CLI::App& command, std::chrono::milliseconds& into, const std::string& fallback, const char* about) {
  command
      .add_option_function<std::string>(
          "--timeout",
          [&into](const std::string& text) {
            const auto read = settings::parse_duration(text);
            if (!read) throw CLI::ValidationError("--timeout", read.error().text);
            into = std::chrono::duration_cast<std::chrono::milliseconds>(*read);
          },
          about)
      ->default_str(fallback);
}

}  // namespace

void add_precheck(CLI::App& app, int& exit_code) {
  auto* command =
      app.add_subcommand("precheck", "say whether Culvert can be installed into a cluster, or what to do before that");
  auto options = std::make_shared<precheck::Options>();
  add_cluster_flags(*command, options->cluster);
  command->add_option("-n,--namespace", options->cluster.system_namespace, "the same");
  auto* local = command->add_flag("--local", options->local, "look at this machine, and at no cluster");
  command->add_option("--root", options->root, "where that machine's root is mounted")->needs(local)->group("");
  auto* probe = command->add_flag(
      "--probe-nodes", options->probe,
      "start a pod of culvert-node's image on every node, which tells what the API does not: BTF, cgroups, CNI, ports, MTU");
  probe->excludes(local);
  command
      ->add_option("--probe-namespace", options->probe_namespace,
                   "where those pods are; it has to let in pods that see the node's files")
      ->capture_default_str()
      ->needs(probe);
  command->add_option("--image", options->image, "their image (default: culvert.dev/culvert-node of this version)")->needs(probe);
  command->add_option("--image-pull-policy", options->pull_policy, "Always, IfNotPresent or Never")
      ->capture_default_str()
      ->needs(probe);
  command
      ->add_option("--image-pull-secret", options->pull_secrets,
                   "a Secret of the probe's namespace that their image is pulled with (may be said again)")
      ->needs(probe);
  add_timeout(*command, options->timeout, "2m", "how long those pods may take");
  add_output_flag<bool>(*command, options->json, {{"table", false}, {"json", true}});
  command->callback([options, &exit_code] { exit_code = precheck::precheck(*options); });
}

void add_verify_install(CLI::App& app, int& exit_code) {
  auto* command =
      app.add_subcommand("verify-install", "say whether the Culvert that is installed works, part by part and node by node");
  auto options = std::make_shared<verify::Options>();
  add_cluster_flags(*command, options->cluster);
  command->add_option("-n,--namespace", options->cluster.system_namespace, "the same");
  command->add_flag("--handshake,!--no-handshake", options->handshake,
                    "shake hands with a pod of the mesh on each node, to see that it proves who it is (default)");
  add_timeout(*command, options->patience, "10s", "how long each question may take");
  add_output_flag<bool>(*command, options->json, {{"table", false}, {"json", true}});
  command->callback([options, &exit_code] { exit_code = verify::verify_install(*options); });
}

}  // namespace culvert::cli
