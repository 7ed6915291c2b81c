// culvert: the operator's program.

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string_view>

#include "cli/analyze_commands.h"
#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/install_commands.h"
#include "cli/local_commands.h"
#include "cli/mesh_commands.h"
#include "cli/precheck_commands.h"
#include "cli/status_commands.h"
#include "cli/usage.h"
#include "cli/ztunnel_commands.h"
#include "common/base/version.h"

namespace {

using namespace culvert::cli;

// In the order of --help.
constexpr AddCommand kCommands[] = {
    add_precheck,        // precheck
    add_install,         // install, upgrade, uninstall, manifest ...
    add_verify_install,  // verify-install
    add_explain,         // explain
    add_wait,            // wait
    add_local,           // local ...
    add_analyze,         // validate, analyze
    add_ztunnel_config,  // ztunnel-config ...
    add_proxy_status,    // proxy-status
    add_version,         // version
    add_bug_report,      // bug-report
    add_completion,      // completion ...
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Culvert, a service mesh without sidecars", "culvert");
  app.require_subcommand(1);
  app.set_version_flag("--version", "culvert " + culvert::version_text());
  int exit_code = 0;
  for (const AddCommand add : kCommands) add(app, exit_code);
  if (argc > 1 && std::string_view(argv[1]) == "__complete") {  // a shell's Tab: the words behind it are not for us
    std::fputs(lines_of(candidates(app, {argv + 2, argv + argc})).c_str(), stdout);
    return 0;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    std::fputs(usage_text(app, error).c_str(), stderr);
    return kUsage;
  }
  return exit_code;
}
