#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <climits>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <tuple>
#include <utility>

#include "cli/local/commands.h"
#include "cli/local/control.h"
#include "cli/local/world.h"
#include "common/base/format.h"
#include "common/config/folder.h"

namespace culvert::local {
namespace {

namespace fs = std::filesystem;

int complain(const std::string& text) {
  std::fprintf(stderr, "culvert: %s\n", text.c_str());
  return kFailed;
}

// Everything that can be said about the folder before anything is started.
bool check(const UpOptions& options) {
  std::map<std::string, std::string> files;
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator(options.folder, failed)) {
    if (!config::Folder::reads(entry.path().filename().string())) continue;
    std::ifstream stream(entry.path());
    files[entry.path().filename()] = std::string(std::istreambuf_iterator<char>(stream), {});
  }
  if (failed) return complain("reading " + options.folder + ": " + failed.message()), false;
  if (files.empty()) return complain("there is no YAML in " + options.folder), false;
  const auto folder = read_folder(files);
  const auto plan = lay_out(folder, options.nodes, {});
  for (const auto* list : {&folder.problems, &folder.policies, &plan.problems}) {
    for (const auto& problem : *list) complain(problem.text());
  }
  const bool images = std::ranges::any_of(plan.layout.pods, [](const auto& pod) {
    return std::ranges::any_of(pod.second.spec.containers, [](const auto& container) { return !container.image.empty(); });
  });
  if (images) std::fprintf(stderr, "culvert: images are ignored: commands run from this machine's own files\n");
  return folder.problems.empty() && folder.policies.empty() && plan.problems.empty();
}

Status check_machine(const UpOptions& options, const Programs& programs) {
  if (geteuid() != 0) return failure("root is needed: the world is made of namespaces");
  if (!fs::exists("/proc/sys/net/ipv6"))
    return failure("this machine has no IPv6, and pods have it (boot without ipv6.disable=1)");
  if (options.nodes < 1 || options.nodes > kMaxNodes) return failure(culvert::format("a world has 1 to {} nodes", kMaxNodes));
  for (const char* program : {"culvertd", "culvert-node", "ztunnel"}) {
    if (!options.mesh) break;
    if (!fs::exists(programs.folder + "/" + program))
      return failure(
          culvert::format("{}/{} is not there (build it, or run without the mesh: --no-mesh)", programs.folder, program));
  }
  return {};
}

// What the caller had open is his: whoever waits for the end of a pipe, or for a lock, would wait for the world's end.
void close_all_but(int one, int other) {
  const auto [low, high] = std::minmax(one, other);
  const std::pair<int, int> gaps[] = {{3, low - 1}, {low + 1, high - 1}, {high + 1, INT_MAX}};
  for (const auto& [first, last] : gaps) {
    if (first <= last) close_range(static_cast<unsigned>(first), static_cast<unsigned>(last), 0);
  }
}

// The world's first process. Its standard error is the caller's until the world has a log of its own.
[[noreturn]] void become_world(WorldOptions options, Fd control, Fd folder, bool foreground) {
  if (foreground) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
  } else {
    setsid();
  }
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) _exit(1);
  dup2(null, 0);
  dup2(null, 1);
  if (chdir("/") != 0) _exit(1);
  umask(022);
  close_all_but(control.get(), folder.get());
  World world(std::move(options), std::move(control), std::move(folder));
  const auto ran = world.run();
  _exit(ran ? 0 : complain(ran.error().text));
}

Result<pid_t> start_world(const UpOptions& options, const Programs& programs) {
  auto control = listen_for_control(options.world);
  if (!control) return std::unexpected(control.error());
  if (auto removed = remove_cgroups(options.world); !removed) return std::unexpected(removed.error());
  Fd folder(open(options.folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return failure_errno("opening " + options.folder);
  WorldOptions world{.name = options.world,
                     .folder = fs::absolute(options.folder),
                     .nodes = options.nodes,
                     .mesh = options.mesh,
                     .self = fs::read_symlink("/proc/self/exe"),
                     .programs = programs};
  const Fd own(open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC));
  if (unshare(CLONE_NEWPID) != 0) return failure_errno("making a process namespace");
  const pid_t first = fork();
  if (first < 0) return failure_errno("forking");
  if (first == 0) {
    if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC) != 0)
      _exit(complain(failure_errno("making namespaces").error().text));
    become_world(std::move(world), *std::move(control), std::move(folder), options.foreground);
  }
  // What we fork after that is ours again: in the world's namespace nobody can be made once its first process has ended.
  if (setns(own.get(), CLONE_NEWPID) != 0) return failure_errno("returning to the own process namespace");
  return first;
}

pid_t coming_up = 0;

// Whoever interrupts `up` does not want the world any more: it ends, and await() tells.
void end_when_interrupted(pid_t first) {
  coming_up = first;
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) signal(number, [](int) { kill(coming_up, SIGKILL); });
}

void stop_ending() {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) signal(number, SIG_DFL);
}

// Until the world answers, or ends.
Result<std::string> await(const UpOptions& options, pid_t first) {
  for (;;) {
    if (auto client = Client::open(options.world)) {
      auto answer = client->ask(culvert::format(R"({{"do":"settle","patience_ms":{}}})", options.timeout_seconds * 1000));
      if (answer) return std::move(answer->text);
    }
    if (waitpid(first, nullptr, WNOHANG) == first) return failure("the world did not come up");
    usleep(5000);
  }
}

int stay(pid_t first) {
  sigset_t ends;
  sigemptyset(&ends);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) sigaddset(&ends, number);
  sigprocmask(SIG_BLOCK, &ends, nullptr);
  int number = 0;
  sigwait(&ends, &number);
  kill(first, SIGKILL);
  waitpid(first, nullptr, 0);
  return number == SIGCHLD ? complain("the world ended") : 0;
}

}  // namespace

int up(const UpOptions& options) {
  Programs programs{.folder = fs::read_symlink("/proc/self/exe").parent_path(), .extra = {}};
  for (const auto& pair : options.env)
    programs.extra[pair.substr(0, pair.find('='))] = pair.substr(std::min(pair.size(), pair.find('=') + 1));
  if (auto able = check_machine(options, programs); !able) return complain(able.error().text);
  if (!check(options)) return kFailed;
  const auto first = start_world(options, programs);
  if (!first) return complain(first.error().text);
  end_when_interrupted(*first);
  const auto answer = await(options, *first);
  if (!answer) {
    std::ignore = remove_cgroups(options.world);
    return complain(answer.error().text);
  }
  stop_ending();
  std::fputs(status_tables(*answer).c_str(), stdout);
  std::fflush(stdout);
  const bool settled = boost::json::parse(*answer).as_object().at("settled").as_bool();
  if (options.foreground) return stay(*first);
  return settled ? 0 : kNotReady;
}

}  // namespace culvert::local
