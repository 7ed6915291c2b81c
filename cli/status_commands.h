#pragma once
// The words of the commands that show a mesh as it is: `culvert proxy-status`, `culvert version`, `culvert bug-report`.

namespace CLI {
class App;
}

namespace culvert::cli {

void add_proxy_status(CLI::App& app, int& exit_code);
void add_version(CLI::App& app, int& exit_code);
void add_bug_report(CLI::App& app, int& exit_code);

}  // namespace culvert::cli
