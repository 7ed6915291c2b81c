#include "cli/local_commands.h"

#include <CLI/CLI.hpp>
#include <csignal>
#include <memory>
#include <string>
#include <vector>

#include "cli/local/commands.h"
#include "cli/local/layout.h"

namespace culvert::cli {
namespace {

std::string check_name(const std::string& name) {
  return local::is_label(name) ? "" : "a world's name is at most 63 letters a to z, digits and inner dashes";
}

std::shared_ptr<std::string> add_world(CLI::App& command) {
  auto world = std::make_shared<std::string>("default");
  command.add_option("--name", *world, "the world's name")->capture_default_str()->check(check_name);
  return world;
}

void add_up(CLI::App& local, int& exit_code) {
  auto* command = local.add_subcommand("up", "bring up the world that the YAML in DIR describes, and wait until it is ready");
  auto options = std::make_shared<local::UpOptions>();
  command->add_option("DIR", options->folder, "a folder of Kubernetes YAML; edits are applied as they are saved")->required();
  command->add_option("--name", options->world, "the world's name")->capture_default_str()->check(check_name);
  command->add_option("--nodes", options->nodes, "how many nodes")->capture_default_str()->check(CLI::Range(1, 9));
  command->add_option("--timeout", options->timeout_seconds, "seconds to wait until everything is ready")->capture_default_str();
  command->add_option("--env", options->env, "NAME=VALUE for the mesh's programs");
  command->add_flag("--no-mesh{false}", options->mesh, "only pods, services and DNS");
  command->add_flag("--foreground", options->foreground, "stay, and take the world down when ended");
  command->callback([options, &exit_code] { exit_code = local::up(*options); });
}

void add_questions(CLI::App& local, int& exit_code) {
  auto* status = local.add_subcommand("status", "nodes, pods, identities; who is in the mesh, or why not");
  auto* settle = local.add_subcommand("wait", "wait until everything is ready and enrolled");
  auto timeout = std::make_shared<int>(60);
  settle->add_option("--timeout", *timeout, "seconds")->capture_default_str();
  for (auto* command : {status, settle}) {
    auto world = add_world(*command);
    auto output = std::make_shared<std::string>("table");
    command->add_option("-o,--output", *output, "table or json")->check(CLI::IsMember({"table", "json"}));
    command->callback([=, &exit_code] {
      exit_code =
          command == status ? local::status(*world, *output == "json") : local::settle(*world, *timeout, *output == "json");
    });
  }
}

void add_exec(CLI::App& local, int& exit_code) {
  auto* command =
      local.add_subcommand("exec", "run a command in a pod: exec POD -- CMD; POD may be a node or \"control\" as well");
  auto options = std::make_shared<local::ExecOptions>();
  command->add_option("--name", options->world, "the world's name")->capture_default_str()->check(check_name);
  command->add_option("-c,--container", options->container, "whose environment to take, when there are several");
  command->add_flag("--privileged", options->privileged, "with every capability");
  command->add_option("POD", options->target, "name, namespace/name, or the beginning of either")->required();
  command->add_option("CMD", options->command, "the command and its arguments, after --")->required();
  command->callback([options, &exit_code] { exit_code = local::exec(*options); });
}

void add_programs(CLI::App& local, int& exit_code) {
  struct Words {
    std::string target, container;
    bool follow = false;
    int signal = SIGTERM;
  };
  const auto add = [&](const char* name, const char* about) {
    auto* command = local.add_subcommand(name, about);
    auto words = std::make_shared<Words>();
    command
        ->add_option("TARGET", words->target,
                     "culvertd, node1/ztunnel, node1/culvert-node, node1/dns; logs: a pod or \"world\", too")
        ->required();
    return std::tuple(command, words, add_world(*command));
  };
  auto [logs, logged, logs_world] = add("logs", "print what a container or a program of the mesh wrote");
  logs->add_option("-c,--container", logged->container, "which container, when there are several");
  logs->add_flag("-f,--follow", logged->follow, "go on as more is written");
  logs->callback([logged, logs_world, &exit_code] {
    exit_code = local::logs(*logs_world, logged->target, logged->container, logged->follow);
  });
  auto [stop, stopped, stop_world] = add("stop", "end a program of the mesh and keep it down");
  stop->add_option("--signal", stopped->signal, "its number")->capture_default_str();
  stop->callback(
      [stopped, stop_world, &exit_code] { exit_code = local::stop_program(*stop_world, stopped->target, stopped->signal); });
  auto [start, started, start_world] = add("start", "start a stopped program again");
  start->callback([started, start_world, &exit_code] { exit_code = local::start_program(*start_world, started->target); });
}

void add_rest(CLI::App& local, int& exit_code) {
  auto* down = local.add_subcommand("down", "end a world and remove what is left of it");
  auto world = add_world(*down);
  down->callback([world, &exit_code] { exit_code = local::down(*world); });

  auto* dns = local.add_subcommand("serve-dns", "the cluster's DNS (run by the world itself)")->group("");
  auto file = std::make_shared<std::string>();
  auto addresses = std::make_shared<std::vector<std::string>>();
  dns->add_option("FILE", *file)->required();
  dns->add_option("ADDRESS", *addresses)->required();
  dns->callback([file, addresses, &exit_code] { exit_code = local::serve_dns_command(*file, *addresses); });
}

}  // namespace

void add_local(CLI::App& app, int& exit_code) {
  auto* local = app.add_subcommand("local", "a mesh on this machine, without a cluster");
  local->require_subcommand(1);
  add_up(*local, exit_code);
  add_questions(*local, exit_code);
  add_exec(*local, exit_code);
  add_programs(*local, exit_code);
  add_rest(*local, exit_code);
}

}  // namespace culvert::cli
