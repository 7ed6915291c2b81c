// culvert: the operator's program.

#include <CLI/CLI.hpp>

#include "cli/analyze_commands.h"
#include "cli/local_commands.h"
#include "cli/mesh_commands.h"
#include "common/base/version.h"

int main(int argc, char** argv) {
  CLI::App app("Culvert, a service mesh without sidecars", "culvert");
  app.require_subcommand(1);
  app.set_version_flag("--version", "culvert " + culvert::version_text());
  int exit_code = 0;
  culvert::cli::add_explain(app, exit_code);
  culvert::cli::add_wait(app, exit_code);
  culvert::cli::add_local(app, exit_code);
  culvert::cli::add_analyze(app, exit_code);
  CLI11_PARSE(app, argc, argv);
  return exit_code;
}
