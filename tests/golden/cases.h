#pragma once
// What golden tests share: a folder of cases, each a file that goes in and one that is to come out.

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace culvert::golden {

std::string read(const std::filesystem::path& path);

struct Cases {
  std::string_view program;  // "golden_derive"
  std::string_view in;       // end of a file's name: ".in.yaml"; the rest is the case's
  std::string_view out;      // ".out.yaml"
  std::function<std::string(const std::string& input)> outcome;
  // What is wrong with a case whatever stands in its file; empty: nothing.
  std::function<std::string(const std::string& input)> wrong = {};
};

// The program: `PROGRAM FOLDER` compares every case below the folder, `PROGRAM --rewrite FOLDER` accepts what comes out now. Its exit code.
int main_of(const Cases& cases, int argc, char** argv);

}  // namespace culvert::golden
