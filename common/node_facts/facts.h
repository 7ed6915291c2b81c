#pragma once
// What a machine is like, as far as that decides whether it can be a node of the mesh. Read on the machine itself (`culvert precheck --local`), or
// in a pod that has the machine's root mounted (`culvert-node precheck`), and carried as JSON. Says nothing about what is good.

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace culvert::node_facts {

// A CNI configuration; a runtime takes the first that it can read, by name.
struct CniFile {
  std::string path = {};  // on the machine
  std::string network = {};
  std::string version = {};
  std::vector<std::string> plugins = {};  // their types, in order
  std::string error = {};                 // why it cannot be read

  friend bool operator==(const CniFile&, const CniFile&) = default;
};

struct Interface {
  std::string name = {};
  int mtu = 0;
  bool is_default = false;  // a default route leads there

  friend bool operator==(const Interface&, const Interface&) = default;
};

struct Facts {
  std::string kernel = {};    // "6.12.57+deb13-amd64"
  std::string machine = {};   // "x86_64"
  bool btf = false;           // /sys/kernel/btf/vmlinux
  std::string cgroup2 = {};   // where that hierarchy is mounted; empty: nowhere
  bool bpffs = false;         // at /sys/fs/bpf
  std::string lockdown = {};  // "none", "integrity", "confidentiality"; empty: the kernel has none
  bool selinux = false;       // enforcing
  std::vector<CniFile> cni = {};
  std::vector<std::uint16_t> listening = {};  // TCP ports in the machine's own network namespace, sorted
  std::vector<Interface> interfaces = {};     // but for lo, and what leads to pods

  friend bool operator==(const Facts&, const Facts&) = default;
};

// `root`: where the machine's root is mounted, "/" on the machine itself. What cannot be read counts as not being there. Network facts are those
// of our own network namespace.
Facts read_facts(const std::filesystem::path& root);

std::string to_json(const Facts& facts);
Result<Facts> from_json(std::string_view text);

// --- the kernel's texts; pure ---

struct Mount {
  std::string point;
  std::string type;
};
std::vector<Mount> mounts_in(std::string_view mountinfo);       // /proc/PID/mountinfo
std::vector<std::uint16_t> listening_in(std::string_view tcp);  // /proc/net/tcp, /proc/net/tcp6
std::string default_interface_in(std::string_view route);       // /proc/net/route; empty: none
CniFile cni_file(std::string path, std::string_view text);

}  // namespace culvert::node_facts
