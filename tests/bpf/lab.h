#pragma once
// A node and three pods as network namespaces on one bridge, cgroups, and toy processes in them: what the BPF tests measure with.
//
//   node 10.77.0.1 fd77::1      a .2 (client)      b .3 (server; second address .33)      c .4 (outside the mesh)
//
// Whoever accepts a connection answers with one line, "ROLE LOCAL from PEER", so that a dial tells who got it and what he saw.
// Everything ends with the Lab: processes, namespaces (they have no names), cgroups, pins.

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bpf/loader/datapath.h"
#include "common/base/address.h"
#include "common/base/fd.h"

namespace culvert::bpf_test {

// Aborts the test run with the error: the set-up of a lab has no business failing.
template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().text);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

struct Place {
  int netns = -1;
  std::filesystem::path cgroup;
};

// A forked child in a place. Killed and reaped when this goes.
class Process {
 public:
  // `work` gets a pipe to report on; the constructor waits for its first byte when `ready` is set.
  Process(const Place& place, const std::function<void(int report)>& work, bool ready);
  ~Process() { end(); }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void end();            // SIGKILL, and wait
  std::string finish();  // waits for its own end: everything that it reported
  void ask_to_stop();    // makes stop_fd() of the child readable
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  Fd report_, stop_;
};

// In the child: readable once the parent wants it to stop.
int stop_fd();

struct DialOptions {
  std::string to;         // "10.77.0.3:80", "[fd77::3]:80", "[::ffff:10.77.0.3]:80", "[fe80::1%eth0]:80"
  std::string bind = {};  // local address and port, IP_TRANSPARENT
  std::string device = {};
  std::uint32_t mark = 0;
  bool mptcp = false;
  bool fast_open = false;
};
// One connection from the calling process: the line that it was answered, or "refused", "timeout", "error TEXT".
std::string dial_here(const DialOptions& options);
// The same, but the connection is closed only when stop_fd() says so, after one byte of report. Then reports the line.
void dial_and_stay(const DialOptions& options, int report);
std::string query_here(const std::string& to);  // the same for one UDP datagram
// Dials, up to 500 times a second, until stop_fd() says so, after one byte of report. Then reports nothing, or how often and how an answer was none of `roles`.
void keep_dialling(const std::string& to, const std::vector<std::string>& roles, int report);
// The same with query_here().
void keep_asking(const std::string& to, const std::vector<std::string>& roles, int report);
// Connects to itself over loopback with this mark on the dialling socket, reports a byte and stays.
void hold_connection(std::uint32_t mark, int report);

inline constexpr std::uint16_t kProbed[] = {80, 81};

struct Pod {
  std::string name;
  Fd netns;
  std::uint64_t cookie = 0;
  std::string v4, v6, link_local;
};

class Lab {
 public:
  Lab();
  ~Lab();

  Pod& pod(const std::string& name) { return *pods_.at(name); }
  const std::filesystem::path& pins() const { return pins_; }
  // Made on first use, below a cgroup of this lab. "ztunnel" is the exempt one, "kubelet" the kubelet's.
  std::filesystem::path cgroup(const std::string& name);
  Place place(const std::string& pod_name, const std::string& cgroup_name = "app") {
    return {pod(pod_name).netns.get(), cgroup(cgroup_name)};
  }

  // A process that listens at this port on both families and answers "app LOCAL from PEER".
  std::unique_ptr<Process> serve(const std::string& pod_name, std::uint16_t port);
  // ztunnel's listeners of one pod, each `workers` times: answers "outbound|inbound|hbone|dns LOCAL from PEER".
  std::unique_ptr<Process> ztunnel(const std::string& pod_name, int workers = 1);

  std::string dial(const Place& from, const DialOptions& options);
  std::string dial(const std::string& pod_name, const std::string& to) { return dial(place(pod_name), {.to = to}); }
  std::string query(const Place& from, const std::string& to);

  // A Datapath on this lab's pins, with its cgroups set.
  bpf::Datapath load();
  // Everything that enrols a pod, in order. Its probes name ports 80 and 81.
  void enrol(bpf::Datapath& datapath, const std::string& pod_name, bool dns = false);
  std::uint64_t count(const bpf::Datapath& datapath, std::string_view program, std::string_view exit) const;

 private:
  void add_pod(const std::string& name, int number);

  std::filesystem::path cgroups_, pins_;
  std::map<std::string, std::unique_ptr<Pod>> pods_;
};

}  // namespace culvert::bpf_test
