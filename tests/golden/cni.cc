// Golden test of cni/install: each <case>.in.txt is a node's folder of CNI configuration, <case>.out.txt what becomes of it. Of every case also:
// installing twice changes nothing the second time, whatever somebody else puts into his file is kept, and taking ours out gives the folder back as it was.
//
//   mode own|chained|standalone [primary FILE]
//   --- 10-flannel.conflist
//   ...
#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "cni/install/conflist.h"
#include "common/base/format.h"
#include "tests/golden/cases.h"

namespace culvert::golden {
namespace {

using install::Change;
using install::File;
using install::Mode;

constexpr std::string_view kSeparator = "--- ";

struct Case {
  install::Wish wish;
  std::vector<File> folder;
};

Case parse(const std::string& text) {
  Case one;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(kSeparator)) {
      one.folder.push_back({.name = line.substr(kSeparator.size()), .text = {}});
    } else if (!one.folder.empty()) {
      one.folder.back().text += line + "\n";
    } else if (line.starts_with("mode ")) {
      std::istringstream words(line.substr(5));
      std::string mode, key;
      words >> mode >> key >> one.wish.primary;
      one.wish.mode = mode == "own" ? Mode::kOwn : mode == "chained" ? Mode::kChained : Mode::kStandalone;
    }
  }
  if (one.wish.mode == Mode::kStandalone) one.wish.own = "culvert-cni.conf";
  std::ranges::sort(one.folder, {}, &File::name);
  one.wish.entry = install::entry_of({.agent_socket = "/var/run/culvert/agent.sock",
                                      .exclude_namespaces = {"kube-system"},
                                      .own_namespace = "istio-system",
                                      .own_pods = {"culvert-node-", "ztunnel-"}},
                                     one.wish.mode);
  return one;
}

std::vector<File> applied(std::vector<File> folder, const std::vector<Change>& changes) {
  for (const auto& change : changes) {
    std::erase_if(folder, [&](const File& file) { return file.name == change.name; });
    if (change.text) folder.push_back({.name = change.name, .text = *change.text});
  }
  std::ranges::sort(folder, {}, &File::name);
  return folder;
}

bool same(const std::vector<File>& a, const std::vector<File>& b) {
  return std::ranges::equal(a, b, [](const File& x, const File& y) { return x.name == y.name && x.text == y.text; });
}

std::string print(const std::vector<Change>& changes) {
  std::string text;
  for (const auto& change : changes) {
    text += change.text ? culvert::format("--- write {}{}\n{}", change.name, change.like.empty() ? "" : " like " + change.like,
                                          *change.text)
                        : culvert::format("--- delete {}\n", change.name);
    if (!text.ends_with('\n')) text += '\n';
  }
  return text;
}

// Nothing but the change of a single plugin's file into a list is left behind.
std::string check_way_back(const Case& one, const std::vector<File>& there) {
  const auto again = install::install(there, one.wish);
  if (!again || !again->empty())
    return "installing again changes something:\n" + (again ? print(*again) : again.error().text + "\n");
  const auto back = applied(there, install::uninstall(there, one.wish));
  const bool was_there =
      std::ranges::any_of(one.folder, [](const File& file) { return file.text.contains(R"("type":"culvert-cni")"); });
  const bool list = std::ranges::any_of(there, [&](const File& file) {
    return std::ranges::none_of(one.folder, [&](const File& old) { return old.name == file.name; }) && file.name != one.wish.own;
  });
  if (std::ranges::any_of(back, [](const File& file) { return file.text.contains(R"("type":"culvert-cni")"); }))
    return "uninstalling leaves something\n";
  return was_there || list || same(back, one.folder) ? "" : "uninstalling does not give the folder back as it was\n";
}

std::string outcome(const std::string& input) {
  const auto one = parse(input);
  const auto changes = install::install(one.folder, one.wish);
  if (!changes)
    return "=== refused\n" + changes.error().text + "\n=== uninstall\n" + print(install::uninstall(one.folder, one.wish));
  const auto there = applied(one.folder, *changes);
  return "=== install\n" + print(*changes) + "=== uninstall\n" + print(install::uninstall(there, one.wish)) +
         check_way_back(one, there);
}

}  // namespace
}  // namespace culvert::golden

int main(int argc, char** argv) {
  return culvert::golden::main_of(
      {.program = "golden_cni", .in = ".in.txt", .out = ".out.txt", .outcome = culvert::golden::outcome}, argc, argv);
}
