// Golden test of common/config and common/derive: each <case>.in.yaml must give its <case>.out.yaml; and giving its objects one by one, forwards
// and backwards, and taking half of them away and putting them back, must give the same as giving them at once.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <ranges>
#include <sstream>
#include <string>
#include <vector>

#include "common/config/folder.h"
#include "tests/golden/print.h"

namespace culvert::golden {
namespace {

using config::Change;

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// "# set: trust_domain=td2" lines at the head of a case.
derive::Settings settings_of(const std::string& text) {
  derive::Settings settings;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line) && line.starts_with('#');) {
    if (!line.starts_with("# set: ")) continue;
    const std::size_t equals = line.find('=');
    const std::string name = line.substr(7, equals - 7);
    const std::string value = line.substr(equals + 1);
    if (name == "cluster_id") settings.cluster_id = value;
    if (name == "trust_domain") settings.trust_domain = value;
    if (name == "cluster_domain") settings.cluster_domain = value;
    if (name == "root_namespace") settings.root_namespace = value;
    if (name == "dry_run_policies") settings.dry_run_policies = value == "true";
  }
  return settings;
}

class State {
 public:
  explicit State(derive::Settings settings) : deriver_(std::move(settings)) {}

  void apply(const std::vector<Change>& changes) {
    std::vector<config::Key> keys;
    for (const Change& change : changes) {
      keys.push_back(change.key);
      switch (change.what) {
        case Change::What::kPut: objects_.put(change.key, change.object); break;
        case Change::What::kDelete: objects_.erase(change.key); break;
        case Change::What::kInvalid: objects_.invalidate(change.key); break;
      }
    }
    take(deriver_.update(objects_, keys));
  }

  // As a subscriber that saw only the differences has it.
  std::string text() const {
    std::string out;
    for (const auto* part : {&addresses_, &policies_}) {
      for (const auto& [name, value] : *part) out += value;
    }
    return out;
  }
  std::vector<derive::Warning> warnings() const { return deriver_.warnings(); }

 private:
  void take(derive::Delta delta) {
    for (const auto& name : delta.removed_addresses) addresses_.erase(name);
    for (const auto& name : delta.removed_policies) policies_.erase(name);
    for (const auto& workload : delta.workloads) addresses_[workload->uid] = print(*workload);
    for (const auto& service : delta.services) addresses_[service->key()] = print(*service);
    for (const auto& policy : delta.policies) policies_[policy->key()] = print(*policy);
  }

  derive::Objects objects_;
  derive::Deriver deriver_;
  std::map<std::string, std::string> addresses_, policies_;
};

std::string output_of(const std::string& input) {
  config::Folder folder;
  const config::Diff diff = folder.written("in.yaml", input, {});
  State state(settings_of(input));
  state.apply(diff.changes);
  std::string out = state.text();
  for (const derive::Warning& warning : state.warnings()) out += "warning: " + warning.object.text() + ": " + warning.text + "\n";
  for (const config::Problem& problem : diff.problems) out += "error: " + problem.text() + "\n";
  return out;
}

// The same objects in other orders. Empty when all agree.
std::string disagreement(const std::string& input) {
  config::Folder folder;
  std::vector<Change> changes = folder.written("in.yaml", input, {}).changes;
  State at_once(settings_of(input));
  at_once.apply(changes);
  State forwards(settings_of(input));
  for (const Change& change : changes) forwards.apply({change});
  if (forwards.text() != at_once.text()) return "one by one gives something else:\n" + forwards.text();
  State backwards(settings_of(input));
  for (const Change& change : changes | std::views::reverse) backwards.apply({change});
  if (backwards.text() != at_once.text()) return "one by one, backwards, gives something else:\n" + backwards.text();
  for (std::size_t i = 0; i < changes.size(); ++i) {
    Change gone = changes[i];
    gone.what = Change::What::kDelete;
    at_once.apply({gone});
    at_once.apply({changes[i]});
    if (at_once.text() != forwards.text())
      return "deleting and restoring " + gone.key.text() + " gives something else:\n" + at_once.text();
  }
  return "";
}

int run(const std::filesystem::path& folder, bool rewrite) {
  std::vector<std::filesystem::path> cases;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().string().ends_with(".in.yaml")) cases.push_back(entry.path());
  }
  std::ranges::sort(cases);
  int failed = 0;
  for (const auto& path : cases) {
    const std::string input = read(path);
    std::string out_path = path.string();
    out_path.replace(out_path.size() - 8, 8, ".out.yaml");
    const std::string output = output_of(input);
    const std::string wrong = disagreement(input);
    if (rewrite) std::ofstream(out_path) << output;
    if (output == read(out_path) && wrong.empty()) continue;
    ++failed;
    std::cout << path.filename().string() << ":\n"
              << (wrong.empty() ? "expected:\n" + read(out_path) + "got:\n" + output : wrong) << "\n";
  }
  std::cout << cases.size() << " cases, " << failed << " failed\n";
  return failed == 0 && !cases.empty() ? 0 : 1;
}

}  // namespace
}  // namespace culvert::golden

int main(int argc, char** argv) {
  const bool rewrite = argc == 3 && std::string_view(argv[1]) == "--rewrite";
  if (argc != 2 && !rewrite) {
    std::cerr << "usage: golden_derive [--rewrite] FOLDER\n";
    return 2;
  }
  return culvert::golden::run(argv[argc - 1], rewrite);
}
