#pragma once
// What is mounted where. Pure.

#include <string>
#include <string_view>
#include <vector>

namespace culvert {

struct Mount {
  std::string root;  // which part of its file system it shows
  std::string point;
  std::string type;     // "ext4", "cgroup2"
  std::string options;  // of the file system: "rw,cpu,cpuacct"
};

// From the text of /proc/PID/mountinfo, in its order: a later one may cover an earlier one. Lines of another shape are passed over.
std::vector<Mount> parse_mountinfo(std::string_view text);

}  // namespace culvert
