#include "cni/agent/cgroup_path.h"

#include <algorithm>
#include <optional>
#include <ranges>

namespace culvert::agent {
namespace {

constexpr std::string_view kKubepods = "kubepods";
constexpr std::string_view kSlice = ".slice";
constexpr std::string_view kPod = "pod";
constexpr std::string_view kClasses[] = {"burstable", "besteffort"};  // of service; the third has no folder
constexpr std::size_t kUid = 36, kStaticUid = 32;

bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

// Of "pod9d2c7a10_1a2b...", with the dashes that the names of slices cannot have; empty when it is none.
std::string uid_of(std::string_view name) {
  if (!name.starts_with(kPod)) return {};
  std::string uid(name.substr(kPod.size()));
  std::ranges::replace(uid, '_', '-');
  const auto fits = [&](std::size_t i) { return i == 8 || i == 13 || i == 18 || i == 23 ? uid[i] == '-' : is_hex(uid[i]); };
  const bool whole = uid.size() == kUid && std::ranges::all_of(std::views::iota(0U, kUid), fits);
  return whole || (uid.size() == kStaticUid && std::ranges::all_of(uid, is_hex)) ? uid : std::string();
}

// "a-kubepods.slice" -> "a-kubepods": what the names of the slices below it begin with. Nothing when it is none that a kubelet has all its pods below.
std::optional<std::string_view> stem_of(std::string_view segment) {
  if (!segment.ends_with(kSlice)) return std::nullopt;
  segment.remove_suffix(kSlice.size());
  if (segment != kKubepods && !segment.ends_with("-kubepods")) return std::nullopt;
  return segment;
}

// What is left of a name behind `stem` and a dash.
std::optional<std::string_view> behind(std::string_view name, std::string_view stem) {
  if (!name.starts_with(stem) || !name.substr(stem.size()).starts_with('-')) return std::nullopt;
  return name.substr(stem.size() + 1);
}

// The uid in a slice's name without ".slice": STEM-podUID or STEM-CLASS-podUID.
std::string uid_of_slice(std::string_view name, std::string_view stem) {
  auto rest = behind(name, stem);
  if (!rest) return {};
  for (const auto one : kClasses) {
    if (const auto inner = behind(*rest, one)) return uid_of(*inner);
  }
  return uid_of(*rest);
}

// kubepods-besteffort-podUID.slice:cri-containerd:a3f0...
std::string uid_of_flat(std::string_view segment) {
  const auto end = segment.find(".slice:");
  if (end == segment.npos) return {};
  const auto name = segment.substr(0, end);
  const auto at = name.find(kKubepods);
  if (at == name.npos || (at != 0 && name[at - 1] != '-')) return {};
  return uid_of_slice(name, name.substr(0, at + kKubepods.size()));
}

// Of the pod whose folder `segment` is, when `above` are the folders above it; empty when it is no pod's.
std::string uid_of_folder(std::string_view segment, const std::vector<std::string_view>& above) {
  if (auto flat = uid_of_flat(segment); !flat.empty()) return flat;
  const auto parent = [&](std::size_t up) { return above.size() < up ? std::string_view() : above[above.size() - up]; };
  if (parent(1) == kKubepods || (std::ranges::contains(kClasses, parent(1)) && parent(2) == kKubepods)) return uid_of(segment);
  if (!segment.ends_with(kSlice)) return {};
  const auto name = segment.substr(0, segment.size() - kSlice.size());
  if (const auto stem = stem_of(parent(1))) return uid_of_slice(name, *stem);
  const auto stem = stem_of(parent(2));
  if (!stem) return {};
  const auto of_class = parent(1).substr(0, parent(1).size() - kSlice.size());
  const auto known = behind(of_class, *stem);
  const bool fits = known && parent(1).ends_with(kSlice) && std::ranges::contains(kClasses, *known);
  const auto rest = fits ? behind(name, of_class) : std::nullopt;
  return rest ? uid_of(*rest) : std::string();
}

}  // namespace

std::vector<CgroupLine> cgroup_lines(std::string_view text) {
  std::vector<CgroupLine> lines;
  for (const auto part : text | std::views::split('\n')) {
    const std::string_view line(part.begin(), part.end());  // ID:CONTROLLERS:PATH
    const auto first = line.find(':');
    const auto path = line.find(":/", first == line.npos ? 0 : first + 1);
    if (first == line.npos || path == line.npos) continue;
    lines.push_back({.controllers = line.substr(first + 1, path - first - 1), .path = line.substr(path + 1)});
  }
  return lines;
}

PodFolder pod_of_path(std::string_view path) {
  std::vector<std::string_view> above;
  for (const auto part : path | std::views::split('/')) {
    const std::string_view segment(part.begin(), part.end());
    if (auto uid = uid_of_folder(segment, above); !uid.empty()) {
      const auto end = static_cast<std::size_t>(segment.data() + segment.size() - path.data());
      return {.uid = std::move(uid), .path = path.substr(0, end)};
    }
    above.push_back(segment);
  }
  return {};
}

}  // namespace culvert::agent
