#pragma once
// The words of `culvert precheck` and `culvert verify-install`.

namespace CLI {
class App;
}

namespace culvert::cli {

// Each adds its command; the chosen one's exit code goes to `exit_code`.
void add_precheck(CLI::App& app, int& exit_code);
void add_verify_install(CLI::App& app, int& exit_code);

}  // namespace culvert::cli
