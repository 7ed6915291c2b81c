#include "cli/analyze_commands.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "cli/analyze/analyze.h"

namespace culvert::cli {
namespace {

using culvert::analyze::Level;

std::shared_ptr<analyze::Options> add_options(CLI::App& command) {
  auto options = std::make_shared<analyze::Options>();
  command.add_option("-i,--istioNamespace", options->root_namespace, "the root namespace, whose policies are for the whole mesh")
      ->capture_default_str();
  command
      .add_option_function<std::string>(
          "-o,--output", [options](const std::string& form) { options->json = form == "json"; }, "log or json")
      ->check(CLI::IsMember({"log", "json"}));
  return options;
}

}  // namespace

void add_analyze(CLI::App& app, int& exit_code) {
  auto* validate =
      app.add_subcommand("validate", "say of each object in files what the webhook would: refused, and why, or accepted");
  validate->alias("v");
  auto checked = add_options(*validate);
  validate->add_option("-f,--filename", checked->paths, "a file, a folder, or - for standard input; as often as you like")
      ->required();
  validate->callback([checked, &exit_code] { exit_code = analyze::validate(*checked); });

  auto* look = app.add_subcommand("analyze", "say what is wrong and what is probably not meant in files, all of them together");
  auto options = add_options(*look);
  look->add_option("FILE", options->paths, "files, folders, or - for standard input")->required();
  look->add_option_function<std::string>(
          "--failure-threshold",
          [options](const std::string& level) {
            options->threshold = level == "Info" ? Level::kInfo : level == "Warning" ? Level::kWarning : Level::kError;
          },
          "the least level at which the exit code is 79: Info, Warning or Error")
      ->check(CLI::IsMember({"Info", "Warning", "Error"}));
  look->callback([options, &exit_code] { exit_code = analyze::analyze(*options); });
}

}  // namespace culvert::cli
