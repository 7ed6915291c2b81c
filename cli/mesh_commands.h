#pragma once
// The words of the commands that ask a running mesh: `culvert wait …`, `culvert explain …`.

namespace CLI {
class App;
}

namespace culvert::cli {

// The chosen command's exit code goes to `exit_code`.
void add_wait(CLI::App& app, int& exit_code);
void add_explain(CLI::App& app, int& exit_code);

}  // namespace culvert::cli
