#include "cli/mesh_commands.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "cli/explain/explain.h"
#include "cli/flags.h"
#include "cli/wait/wait.h"
#include "common/base/settings.h"

namespace culvert::cli {
namespace {

// "60s", "5m"; a bare number counts seconds, as kubectl's does not allow and everybody writes.
std::string read_timeout(const std::string& text, std::chrono::milliseconds& into) {
  const bool bare = !text.empty() && text.find_first_not_of("0123456789") == text.npos;
  const auto parsed = settings::parse_duration(bare ? text + "s" : text);
  if (!parsed) return parsed.error().text;
  into = std::chrono::duration_cast<std::chrono::milliseconds>(*parsed);
  return "";
}

}  // namespace

void add_wait(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand(
      "wait", "return when a change is in force on every connected data plane, or say who has not got it and why");
  auto options = std::make_shared<WaitOptions>();
  auto all = std::make_shared<bool>(false);
  auto cluster = std::make_shared<bool>(false);
  auto output = std::make_shared<std::string>("text");
  auto* object = command->add_option("--for-applied", options->object,
                                     "the object, as kubectl spells it: authorizationpolicy/deny-all, ap/shop/deny-all");
  auto* everything = command->add_flag("--all", *all, "everything that culvertd has now");
  object->excludes(everything);
  command->add_option("-n,--namespace", options->name_space, "namespace of the object (default: default)");
  command
      ->add_option_function<std::string>(
          "--timeout",
          [options](const std::string& text) {
            if (const auto wrong = read_timeout(text, options->timeout); !wrong.empty())
              throw CLI::ValidationError("--timeout", wrong);
          },
          "how long to wait")
      ->default_str("60s");
  auto* url = command->add_option("--url", options->planes.urls,
                                  "culvertd's monitoring port, once for each replica (default: http://localhost:15014)");
  command->add_option("--world", options->planes.world, "ask the control plane of this world of culvert local")->excludes(url);
  command->add_option("--token-file", options->planes.token_file,
                      "file with a service account's token, when not asked from culvertd's own host");
  command->add_flag("--cluster", *cluster, "ask every replica of the cluster")->excludes(url);
  add_cluster_flags(*command, options->planes.cluster);
  command->add_option("-o,--output", *output, "text or json")->check(CLI::IsMember({"text", "json"}));
  command->callback([=, &exit_code] {
    if (options->object.empty() && !*all) throw CLI::RequiredError("--for-applied OBJECT or --all");
    options->json = *output == "json";
    PlaneOptions& planes = options->planes;
    if (planes.urls.empty() && planes.world.empty() && !*cluster) planes.urls = {"http://localhost:15014"};
    exit_code = wait(*options);
  });
}

void add_explain(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand(
      "explain", "may a pod connect to that host and port, by which way, as whom, and which policy and rule decides");
  auto options = std::make_shared<ExplainOptions>();
  auto output = std::make_shared<std::string>("text");
  MeshOptions& mesh = options->mesh;
  command->add_option("--from", options->from, "the pod that connects: web-0, shop/web-0, or its address")->required();
  command->add_option("--to", options->to, "HOST:PORT: a service's host name, an address, or pod/NAME")->required();
  command->add_option("-n,--namespace", options->name_space, "namespace of --from (default: default)");
  auto* sources = command->add_option_group("source", "what the mesh is taken from");
  sources->add_option("--config-dir", mesh.config_dir, "a folder of YAML, as culvertd --config-dir reads it");
  sources->add_option("--url", mesh.url, "culvertd's monitoring port (default: http://localhost:15014)");
  sources->add_option("--world", mesh.world, "the control plane of this world of culvert local");
  sources->add_flag("--cluster", mesh.in_cluster, "the control plane of the cluster that kubectl would ask");
  sources->add_option("--dump", mesh.dump, "a ztunnel's config_dump: a file, or http://HOST:15000");
  sources->require_option(0, 1);
  add_cluster_flags(*command, mesh.cluster);
  command->add_option("--token-file", mesh.token_file,
                      "file with a service account's token, when not asked from culvertd's own host");
  command->add_option("--trust-domain", mesh.trust_domain, "of a folder")->capture_default_str();
  command->add_option("--cluster-domain", mesh.cluster_domain, "of a folder")->capture_default_str();
  command->add_option("--root-namespace", mesh.root_namespace, "of a folder")->capture_default_str();
  command->add_option("-o,--output", *output, "text or json")->check(CLI::IsMember({"text", "json"}));
  command->callback([=, &exit_code] {
    options->json = *output == "json";
    exit_code = explain(*options);
  });
}

}  // namespace culvert::cli
