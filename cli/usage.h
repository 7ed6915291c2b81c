#pragma once
// What a command line that cannot be understood is answered. Pure.

#include <CLI/App.hpp>
#include <string>

namespace culvert::cli {

// A command line that cannot be understood; istioctl's code for it (sysexits' EX_USAGE). Not 2: of `culvert explain` that is an answer.
inline constexpr int kUsage = 64;

// `app` has refused its arguments with `error`: what to say, and what was probably meant.
//   culvert explain: there is no flag --form (did you mean --from?)
//   Run "culvert explain --help" for what there is.
std::string usage_text(const CLI::App& app, const CLI::ParseError& error);

}  // namespace culvert::cli
