#pragma once
// The words of `culvert install`, `upgrade`, `uninstall` and `manifest`.

namespace CLI {
class App;
}

namespace culvert::cli {

// Adds all of them; the chosen command's exit code goes to `exit_code`.
void add_install(CLI::App& app, int& exit_code);

}  // namespace culvert::cli
