// Golden test of common/config over objects as users write them: each document of <case>.yaml is accepted, or refused for exactly the reason that
// <case>.out says. To accept what comes out now: golden_seeds --rewrite tests/golden/seeds
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "common/config/parse.h"
#include "tests/golden/cases.h"

namespace culvert::golden {
namespace {

// In the order of the file.
std::string verdicts(const std::string& name, const std::string& text) {
  const config::ParsedFile file = config::parse_yaml(name, text);
  std::multimap<int, std::string> lines;
  for (const config::Parsed& parsed : file.objects) {
    const config::Key key = config::key_of(*parsed.object);
    std::string line = "accepted: " + key.text() + (config::is_custom(key.kind) ? ", not enforced yet" : "");
    for (const config::Problem& unread : parsed.unread) line += "\n  not read: " + unread.field;
    lines.emplace(parsed.place.line, std::move(line));
  }
  for (const config::Broken& broken : file.broken) {
    for (const config::Problem& problem : broken.problems) lines.emplace(problem.place.line, "refused: " + problem.text());
  }
  for (const config::Ignored& ignored : file.ignored) {
    lines.emplace(ignored.place.line, "ignored: " + ignored.text());
  }
  std::string out;
  for (const auto& [number, line] : lines) out += line + "\n";
  return out;
}

int run(const std::filesystem::path& folder, bool rewrite) {
  std::vector<std::filesystem::path> cases;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".yaml") cases.push_back(entry.path());
  }
  std::ranges::sort(cases);
  int failed = 0;
  for (const std::filesystem::path& path : cases) {
    const std::string got = verdicts(path.filename().string(), read(path));
    std::filesystem::path golden = path;
    golden.replace_extension(".out");
    if (rewrite) {
      std::ofstream(golden) << got;
    } else if (const std::string wanted = read(golden); got != wanted) {
      std::cout << path.filename().string() << ": wanted\n" << wanted << "got\n" << got;
      ++failed;
    }
  }
  std::cout << cases.size() - static_cast<std::size_t>(failed) << " of " << cases.size() << " as wanted\n";
  return failed == 0 && !cases.empty() ? 0 : 1;
}

}  // namespace
}  // namespace culvert::golden

int main(int argc, char** argv) {
  if (argc == 3 && std::string(argv[1]) == "--say") {  // of one file; for tests that compare with somebody else
    std::cout << culvert::golden::verdicts("f.yaml", culvert::golden::read(argv[2]));
    return 0;
  }
  const bool rewrite = argc > 1 && std::string(argv[1]) == "--rewrite";
  if (argc != (rewrite ? 3 : 2)) {
    std::cerr << "usage: golden_seeds [--rewrite] FOLDER | --say FILE\n";
    return 2;
  }
  return culvert::golden::run(argv[argc - 1], rewrite);
}
