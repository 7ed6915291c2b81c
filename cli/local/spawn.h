#pragma once
// Processes and the places they run in. A place is a set of namespaces and a cgroup, held by descriptors: nothing has to run in it for it to
// exist, and it is gone when the last descriptor and the last process are.
//
// Single-threaded callers only: everything here forks. Children are waited for by the caller (run() waits itself).

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/fd.h"
#include "common/base/result.h"

namespace culvert::local {

// Empty descriptors mean "where the caller is". `cgroup` is a folder of a cgroup2 mount.
struct Place {
  Fd net, mount, uts, ipc, cgroup_ns, cgroup;
};

enum class Privilege { kFull, kContainer };  // kContainer: the capabilities that container runtimes give by default

struct Command {
  std::vector<std::string> argv;           // argv[0] is looked up in PATH, inside the place
  std::map<std::string, std::string> env;  // the whole environment
  std::string directory = "/";
  int input = -1, output = -1, error = -1;  // -1: /dev/null; borrowed
  Privilege privilege = Privilege::kFull;
  bool new_session = true;
  bool dies_with_us = false;  // killed when the calling process ends
};

inline constexpr std::string_view kPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// Starts a program. Fails naming it when it cannot be executed; the error's text tells "not found" from the rest by errno_out.
Result<pid_t> spawn(const Place& place, const Command& command, int* errno_out = nullptr);

// Runs a program to its end with `input` on its standard input. Fails, with what it wrote to standard error, when it exits with anything but 0.
Result<std::string> run(const Place& place, std::vector<std::string> argv, std::string_view input = {});

// Enters the place for good: what a freshly forked child does before it execs.
Status enter(const Place& place);
// Gives up what containers do not get, for good.
Status limit_capabilities();

// New namespaces (CLONE_NEW* of `kinds`), prepared by `inside`, which runs in a child within them; `first` runs before they are made.
// All of the child is gone when this returns.
Result<Place> make_place(int kinds, const std::function<Status()>& first, const std::function<Status()>& inside);

// Moves the calling process into the cgroup.
Status join_cgroup(int folder);

std::string shell_words(const std::vector<std::string>& words);  // for messages

}  // namespace culvert::local
