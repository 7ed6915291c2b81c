#pragma once
// The words of `culvert local …` on the command line.

namespace CLI {
class App;
}

namespace culvert::cli {

// Adds `local` and what is below it; the chosen command's exit code goes to `exit_code`.
void add_local(CLI::App& app, int& exit_code);

}  // namespace culvert::cli
