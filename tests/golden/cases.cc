#include "tests/golden/cases.h"

#include <algorithm>
#include <fstream>
#include <iostream>
#include <sstream>
#include <vector>

namespace culvert::golden {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> found(const fs::path& folder, std::string_view end) {
  std::vector<fs::path> all;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.path().string().ends_with(end)) all.push_back(entry.path());
  std::ranges::sort(all);
  return all;
}

bool is_as_it_was(const Cases& cases, const fs::path& path, bool rewrite) {
  const std::string input = read(path), name = path.string();
  const fs::path expected = name.substr(0, name.size() - cases.in.size()).append(cases.out);
  const std::string got = cases.outcome(input), wrong = cases.wrong ? cases.wrong(input) : "";
  if (rewrite) std::ofstream(expected) << got;
  const std::string wanted = read(expected);
  if (got == wanted && wrong.empty()) return true;
  std::cout << "FAILED " << name << (wrong.empty() ? ", expected:\n" + wanted + "got:\n" + got : ": " + wrong) << "\n";
  return false;
}

}  // namespace

std::string read(const fs::path& path) {
  const std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

int main_of(const Cases& cases, int argc, char** argv) {
  const bool rewrite = argc == 3 && std::string_view(argv[1]) == "--rewrite";
  if (argc != 2 && !rewrite) {
    std::cerr << "usage: " << cases.program << " [--rewrite] FOLDER\n";
    return 2;
  }
  const auto all = found(argv[argc - 1], cases.in);
  const auto failed = std::ranges::count_if(all, [&](const fs::path& path) { return !is_as_it_was(cases, path, rewrite); });
  std::cout << all.size() << " cases, " << failed << " failed\n";
  return failed == 0 && !all.empty() ? 0 : 1;
}

}  // namespace culvert::golden
