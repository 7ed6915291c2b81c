#pragma once
// Completion in shells: `culvert completion bash|zsh|fish` prints a few lines for the shell, which ask `culvert __complete WORD...` on every Tab. What that answers
// is read off the same table that parses and that --help prints. Pure.

#include <CLI/App.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace culvert::cli {

struct Candidate {
  std::string text;
  std::string about = {};  // one line; empty: nothing to say

  friend bool operator==(const Candidate&, const Candidate&) = default;
};

// What may stand where the last of `words` is being written; `words` are those behind the program's name. Nothing: the shell offers files.
std::vector<Candidate> candidates(const CLI::App& app, const std::vector<std::string>& words);

// One a line, TEXT or TEXT<tab>ABOUT: what `culvert __complete` prints.
std::string lines_of(const std::vector<Candidate>& candidates);

// What a shell is to read; empty for a shell that is not known.
std::string completion_script(std::string_view shell);

void add_completion(CLI::App& app, int& exit_code);

}  // namespace culvert::cli
