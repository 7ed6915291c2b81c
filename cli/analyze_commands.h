#pragma once
// The words of `culvert validate` and `culvert analyze` on the command line.

namespace CLI {
class App;
}

namespace culvert::cli {

// Adds both; the chosen command's exit code goes to `exit_code`.
void add_analyze(CLI::App& app, int& exit_code);

}  // namespace culvert::cli
