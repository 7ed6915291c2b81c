#include "cli/install/helm.h"

#include <utility>

namespace culvert::cli::install {
namespace {

void add(Words& words, std::string flag, const std::string& value) {
  if (value.empty()) return;
  words.push_back(std::move(flag));
  words.push_back(value);
}

void add(Words& words, const char* flag, const std::vector<std::string>& values) {
  for (const std::string& value : values) add(words, flag, value);
}

Words begin(const char* verb, const Change& change) { return {"helm", verb, change.release.name, change.chart}; }

void add_place(Words& words, const Release& release) {
  add(words, "--namespace", release.cluster.system_namespace);
  add(words, "--kubeconfig", release.cluster.kubeconfig);
  add(words, "--kube-context", release.cluster.context);
}

void add_values(Words& words, const Values& values) {
  add(words, "--values", values.files);
  add(words, "--set", values.set);
  add(words, "--set-string", values.set_string);
  add(words, "--set-file", values.set_file);
  add(words, "--set-json", values.set_json);
}

void add_patience(Words& words, const Change& change) {
  if (change.dry_run == DryRun::kClient) words.emplace_back("--dry-run=client");
  if (change.dry_run == DryRun::kServer) words.emplace_back("--dry-run=server");
  if (change.wait && change.dry_run == DryRun::kNo) words.emplace_back("--wait");
  add(words, "--timeout", change.timeout);
}

void add_install(Words& words) { words.insert(words.end(), {"--install", "--create-namespace", "--reset-values"}); }

void add_upgrade(Words& words, const Change& change) {
  words.emplace_back(change.reset_values ? "--reset-values" : "--reset-then-reuse-values");
}

Words of_release(Words words, const Release& release) {
  words.push_back(release.name);
  add_place(words, release);
  return words;
}

}  // namespace

Words install_words(const Change& change) {
  Words words = begin("upgrade", change);
  add_install(words);
  add_place(words, change.release);
  add_values(words, change.values);
  add_patience(words, change);
  return words;
}

Words upgrade_words(const Change& change) {
  Words words = begin("upgrade", change);
  add_upgrade(words, change);
  add_place(words, change.release);
  add_values(words, change.values);
  add_patience(words, change);
  return words;
}

Words uninstall_words(const Change& change) {
  Words words = of_release({"helm", "uninstall"}, change.release);
  if (change.dry_run != DryRun::kNo) words.emplace_back("--dry-run");
  else if (change.wait) words.emplace_back("--wait");
  add(words, "--timeout", change.timeout);
  return words;
}

Words template_words(const Change& change, const std::string& output_folder) {
  Words words = begin("template", change);
  add(words, "--namespace", change.release.cluster.system_namespace);
  add_values(words, change.values);
  add(words, "--output-dir", output_folder);
  return words;
}

Words rendered_words(Change change, bool install) {
  change.dry_run = DryRun::kServer;
  Words words = install ? install_words(change) : upgrade_words(change);
  words.insert(words.end(), {"--output", "json"});
  return words;
}

Words manifest_words(const Release& release) { return of_release({"helm", "get", "manifest"}, release); }

Words status_words(const Release& release) {
  Words words = of_release({"helm", "status"}, release);
  words.insert(words.end(), {"--output", "json"});
  return words;
}

}  // namespace culvert::cli::install
