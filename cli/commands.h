#pragma once
// How a command gets onto the command line. main.cc lists all of them, one a line; --help, mistakes and completion are made from what they add.

namespace CLI {
class App;
}

namespace culvert::cli {

// Adds a command, or a family of them, to the program; the chosen one's exit code goes to `exit_code`, which outlives the parsing.
using AddCommand = void (*)(CLI::App& app, int& exit_code);

}  // namespace culvert::cli
