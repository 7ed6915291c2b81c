// Golden test of common/config and common/derive: each <case>.in.yaml, in whatever folder, must give its <case>.out.yaml; and giving its objects one by one, forwards
// and backwards, and taking half of them away and putting them back, must give the same as giving them at once.
#include <algorithm>
#include <map>
#include <memory>
#include <ranges>
#include <sstream>
#include <string>
#include <vector>

#include "common/config/folder.h"
#include "common/derive/deriver.h"
#include "common/derive/discovery.h"
#include "tests/golden/cases.h"
#include "tests/golden/print.h"

namespace culvert::golden {
namespace {

using config::Change;

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
    if (name == "root_trust_domain") settings.root_trust_domain = value;
    if (name == "cluster_domain") settings.cluster_domain = value;
    if (name == "root_namespace") settings.root_namespace = value;
    if (name == "system_namespace") settings.system_namespace = value;
    if (name == "dry_run_policies") settings.dry_run_policies = value == "true";
    if (name == "allocate_addresses") settings.allocate_addresses = value == "true";
  }
  return settings;
}

class State {
 public:
  explicit State(const derive::Settings& settings) : discovery_(settings), deriver_(settings) {}

  void apply(const std::vector<Change>& changes) {
    const std::vector<config::Key> keys = discovery_.apply(changes);
    take(deriver_.update(discovery_.objects(), keys));
  }

  // As a subscriber that saw only the differences has it.
  std::string text() const {
    std::string out;
    for (const auto* part : {&addresses_, &policies_}) {
      for (const auto& [name, value] : *part) out += value;
    }
    return out;
  }
  std::string warnings() const {
    std::string out;
    for (const derive::Warning& warning : deriver_.warnings())
      out += "warning: " + warning.object.text() + ": " + warning.text + "\n";
    return out;
  }
  std::string all() const { return text() + warnings(); }

 private:
  void take(derive::Delta delta) {
    for (const auto& name : delta.removed_addresses) addresses_.erase(name);
    for (const auto& name : delta.removed_policies) policies_.erase(name);
    for (const auto& workload : delta.workloads) addresses_[workload->uid] = print(*workload);
    for (const auto& service : delta.services) addresses_[service->key()] = print(*service);
    for (const auto& policy : delta.policies) policies_[policy->key()] = print(*policy);
  }

  derive::Discovery discovery_;
  derive::Deriver deriver_;
  std::map<std::string, std::string> addresses_, policies_;
};

// The service accounts that the case's pods name are there, so that not every case has to say so; but in a case that has "# no accounts".
std::vector<Change> with_accounts(std::vector<Change> changes, const std::string& input) {
  if (input.starts_with("# no accounts\n")) return changes;
  std::map<config::Key, Change> accounts;
  for (const Change& change : changes) {
    const auto* pod = change.object ? std::get_if<config::Pod>(change.object.get()) : nullptr;
    if (!pod) continue;
    config::ServiceAccount account;
    account.metadata.name = pod->spec.service_account;
    account.metadata.name_space = pod->metadata.name_space;
    auto object = std::make_shared<const config::Object>(std::move(account));
    const config::Key key = config::key_of(*object);
    accounts[key] = {.what = Change::What::kPut, .key = key, .object = std::move(object), .place = {}};
  }
  for (auto& [key, change] : accounts) changes.push_back(std::move(change));
  return changes;
}

std::string output_of(const std::string& input) {
  config::Folder folder;
  const config::Diff diff = folder.written("in.yaml", input, {});
  State state(settings_of(input));
  state.apply(with_accounts(diff.changes, input));
  std::string out = state.all();
  for (const config::Problem& problem : diff.problems) out += "error: " + problem.text() + "\n";
  return out;
}

// The same objects in other orders. Empty when all agree.
std::string disagreement(const std::string& input) {
  config::Folder folder;
  const std::vector<Change> changes = with_accounts(folder.written("in.yaml", input, {}).changes, input);
  State at_once(settings_of(input));
  at_once.apply(changes);
  State forwards(settings_of(input));
  for (const Change& change : changes) forwards.apply({change});
  if (forwards.all() != at_once.all()) return "one by one gives something else:\n" + forwards.all();
  State backwards(settings_of(input));
  for (const Change& change : changes | std::views::reverse) backwards.apply({change});
  if (backwards.all() != at_once.all()) return "one by one, backwards, gives something else:\n" + backwards.all();
  for (std::size_t i = 0; i < changes.size(); ++i) {
    Change gone = changes[i];
    gone.what = Change::What::kDelete;
    at_once.apply({gone});
    at_once.apply({changes[i]});
    if (at_once.all() != forwards.all())
      return "deleting and restoring " + gone.key.text() + " gives something else:\n" + at_once.all();
  }
  return "";
}

}  // namespace
}  // namespace culvert::golden

int main(int argc, char** argv) {
  return culvert::golden::main_of({.program = "golden_derive",
                                   .in = ".in.yaml",
                                   .out = ".out.yaml",
                                   .outcome = culvert::golden::output_of,
                                   .wrong = culvert::golden::disagreement},
                                  argc, argv);
}
