#include "cni/agent/cgroup_path.h"

#include <algorithm>
#include <ranges>

namespace culvert::agent {
namespace {

constexpr std::string_view kKubepods = "kubepods";
constexpr std::string_view kPod = "pod";
constexpr std::size_t kUid = 36, kStaticUid = 32;

bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

bool ends(std::string_view segment, std::size_t at) { return at == segment.size() || segment[at] == '.' || segment[at] == ':'; }

// Behind "pod", with the dashes that systemd's names cannot have.
std::string uid_at(std::string_view segment, std::size_t at) {
  std::string uid(segment.substr(at, kUid));
  std::ranges::replace(uid, '_', '-');
  const bool whole =
      uid.size() == kUid && ends(segment, at + kUid) && std::ranges::all_of(std::views::iota(0U, kUid), [&](std::size_t i) {
        return i == 8 || i == 13 || i == 18 || i == 23 ? uid[i] == '-' : is_hex(uid[i]);
      });
  if (whole) return uid;
  uid.resize(std::min(uid.size(), kStaticUid));
  return uid.size() == kStaticUid && ends(segment, at + kStaticUid) && std::ranges::all_of(uid, is_hex) ? uid : "";
}

std::string uid_of(std::string_view segment) {
  if (segment.starts_with(kPod)) return uid_at(segment, kPod.size());
  const auto slice = segment.find("-pod");
  return slice == segment.npos || !segment.contains(kKubepods) ? "" : uid_at(segment, slice + 1 + kPod.size());
}

std::string pod_of_path(std::string_view path) {
  bool kubelet = false;
  for (const auto part : path | std::views::split('/')) {
    const std::string_view segment(part.begin(), part.end());
    kubelet = kubelet || segment.contains(kKubepods);
    if (!kubelet) continue;
    if (auto uid = uid_of(segment); !uid.empty()) return uid;
  }
  return {};
}

}  // namespace

std::string pod_of_cgroup(std::string_view cgroup) {
  for (const auto line : cgroup | std::views::split('\n')) {
    const std::string_view text(line.begin(), line.end());
    const auto path = text.find('/');
    if (path == text.npos) continue;
    if (auto uid = pod_of_path(text.substr(path)); !uid.empty()) return uid;
  }
  return {};
}

}  // namespace culvert::agent
