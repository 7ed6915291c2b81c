#include "cni/agent/status.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

#include "cni/agent/enrol.h"
#include "common/base/fd.h"
#include "common/base/format.h"

namespace culvert::agent {
namespace {

namespace fs = std::filesystem;

// No name of Kubernetes contains "_", so the parts stay apart.
std::string file_name(std::string_view node, std::string_view name_space, std::string_view pod) {
  return culvert::format("{}_{}_{}.yaml", node, name_space, pod);
}

std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out += '"';
}

std::string yaml(const config::Metadata& pod, Redirection redirection) {
  std::string text = culvert::format("apiVersion: v1\nkind: Pod\nmetadata:\n  name: {}\n  namespace: {}\n", in_quotes(pod.name),
                                     in_quotes(pod.name_space));
  if (!pod.uid.empty()) text += culvert::format("  uid: {}\n", in_quotes(pod.uid));
  return text + culvert::format("  annotations:\n    {}: {}\n", kRedirection, in_quotes(name(redirection)));
}

Status replace(const fs::path& file, std::string_view text) {
  const auto beside = file.parent_path() / ("." + file.filename().string() + ".new");
  const Fd out(::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!out) return failure_errno("writing " + beside.string());
  if (::write(out.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    return failure_errno("writing " + beside.string());
  if (std::rename(beside.c_str(), file.c_str()) != 0) return failure_errno("renaming to " + file.string());
  return {};
}

Status delete_file(const fs::path& file) {
  if (::unlink(file.c_str()) == 0 || errno == ENOENT) return {};
  return failure_errno("deleting " + file.string());
}

}  // namespace

Result<StatusFolder> StatusFolder::open(const fs::path& config_dir, std::string node) {
  auto folder = config_dir / "status" / "pods";
  std::error_code problem;
  if (!fs::is_directory(config_dir, problem))
    return failure(culvert::format("the configuration folder {} is not there", config_dir.string()));
  fs::create_directories(folder, problem);
  if (problem) return failure(culvert::format("making {}: {}", folder.string(), problem.message()));
  return StatusFolder(std::move(folder), std::move(node));
}

Status StatusFolder::write(const config::Metadata& pod, Redirection redirection) {
  const auto file = file_name(node_, pod.name_space, pod.name);
  if (redirection == Redirection::kNone) {
    if (auto removed = delete_file(folder_ / file); !removed) return removed;
    written_.erase(file);
    return {};
  }
  auto text = yaml(pod, redirection);
  const auto known = written_.find(file);
  if (known != written_.end() && known->second == text) return {};
  if (auto replaced = replace(folder_ / file, text); !replaced) return replaced;
  written_[file] = std::move(text);
  return {};
}

Status StatusFolder::prune(const std::set<std::string>& pods) {
  std::set<std::string> keep;
  for (const auto& pod : pods) {
    const auto slash = pod.find('/');
    keep.insert(file_name(node_, pod.substr(0, slash), pod.substr(slash + 1)));
  }
  std::error_code problem;
  for (const auto& entry : fs::directory_iterator(folder_, problem)) {
    const auto file = entry.path().filename().string();
    const bool ours = file.starts_with(node_ + "_") || file.starts_with("." + node_ + "_");
    if (!ours || keep.contains(file)) continue;
    if (auto removed = delete_file(entry.path()); !removed) return removed;
  }
  if (problem) return failure(culvert::format("reading {}: {}", folder_.string(), problem.message()));
  return {};
}

}  // namespace culvert::agent
