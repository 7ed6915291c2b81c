#include "cli/local/commands.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/json.hpp>
#include <cstdio>
#include <filesystem>
#include <thread>

#include "cli/local/control.h"
#include "cli/local/dns.h"
#include "cli/local/ground.h"
#include "common/base/format.h"

namespace culvert::local {
namespace {

namespace json = boost::json;

int complain(const Error& error) {
  std::fprintf(stderr, "culvert: %s\n", error.text.c_str());
  return kFailed;
}

Result<Message> ask(const std::string& world, const json::object& request) {
  auto client = Client::open(world);
  if (!client) return std::unexpected(client.error());
  auto answer = client->ask(json::serialize(request));
  if (!answer) return answer;
  boost::system::error_code failed;
  const auto value = json::parse(answer->text, failed);
  if (failed || !value.is_object()) return failure("the world's answer is not understood (is it of another version?)");
  if (const auto* error = value.as_object().if_contains("error")) return failure(std::string(error->as_string()));
  return answer;
}

bool is_up(const std::string& world) { return Client::open(world).has_value(); }

int print_status(const std::string& answer, bool as_json) {
  std::fputs((as_json ? answer + "\n" : status_tables(answer)).c_str(), stdout);
  return json::parse(answer).as_object().at("settled").as_bool() ? 0 : kNotReady;
}

// Asked of a world that may not be there: tells the two kinds of "no" apart.
int ask_and_print(const std::string& world, const json::object& request, bool as_json) {
  if (!is_up(world)) {
    std::fprintf(stderr, "culvert: no world called %s is up (culvert local up DIR)\n", world.c_str());
    return kNoWorld;
  }
  const auto answer = ask(world, request);
  return answer ? print_status(answer->text, as_json) : complain(answer.error());
}

constexpr std::array kForwarded = {SIGINT, SIGQUIT, SIGTERM, SIGHUP};

// Keeps those signals for later: one that comes while the command is being started is handed on to it like any other.
void hold_signals(int how) {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : kForwarded) sigaddset(&set, number);
  sigprocmask(how, &set, nullptr);
}

pid_t running = 0;

// Signals that are meant for the command go to it. What a terminal sends, it sends to the command itself.
void forward_signals(pid_t child) {
  running = child;
  struct sigaction action{};
  action.sa_sigaction = [](int number, siginfo_t* sent, void*) {
    if (sent->si_code != SI_KERNEL) kill(running, number);
  };
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  for (const int number : kForwarded) sigaction(number, &action, nullptr);
  hold_signals(SIG_UNBLOCK);
}

}  // namespace

int status(const std::string& world, bool as_json) { return ask_and_print(world, {{"do", "status"}}, as_json); }

int settle(const std::string& world, int timeout_seconds, bool as_json) {
  return ask_and_print(world, {{"do", "settle"}, {"patience_ms", timeout_seconds * 1000}}, as_json);
}

int exec(const ExecOptions& options) {
  constexpr int kCannotRun = 125;
  const auto answer = ask(options.world, {{"do", "enter"}, {"target", options.target}, {"container", options.container}});
  if (!answer) return complain(answer.error()), kCannotRun;
  const auto told = json::parse(answer->text).as_object();
  Place place;
  const std::map<std::string, Fd*> wanted = {{"net", &place.net}, {"mount", &place.mount},         {"uts", &place.uts},
                                             {"ipc", &place.ipc}, {"cgroup_ns", &place.cgroup_ns}, {"cgroup", &place.cgroup}};
  std::size_t next = 0;
  for (const auto& name : told.at("spaces").as_array()) {
    const int fd = answer->fds.at(next++).get();
    if (name.as_string() == "pid" && setns(fd, CLONE_NEWPID) != 0)
      return complain(failure_errno("entering the world").error()), kCannotRun;
    if (const auto found = wanted.find(std::string(name.as_string())); found != wanted.end())
      found->second->reset(fcntl(fd, F_DUPFD_CLOEXEC, 10));
  }
  Command command{.argv = options.command, .env = {}, .directory = std::string(told.at("directory").as_string())};
  for (const auto& [name, value] : told.at("env").as_object()) command.env[std::string(name)] = value.as_string();
  if (const char* terminal = getenv("TERM")) command.env["TERM"] = terminal;
  command.input = 0, command.output = 1, command.error = 2;
  command.privilege = told.at("pod").as_bool() && !options.privileged ? Privilege::kContainer : Privilege::kFull;
  command.new_session = false;
  command.dies_with_us = true;
  hold_signals(SIG_BLOCK);
  int number = 0;
  const auto child = spawn(place, command, &number);
  if (!child) return complain(child.error()), number == ENOENT ? 127 : number == EACCES ? 126 : kCannotRun;
  forward_signals(*child);
  int status = 0;
  while (waitpid(*child, &status, 0) < 0 && errno == EINTR) {}
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int logs(const std::string& world, const std::string& target, const std::string& container, bool follow) {
  const auto answer = ask(world, {{"do", "logs"}, {"target", target}, {"container", container}});
  if (!answer) return complain(answer.error());
  const int fd = answer->fds.at(0).get();
  const Fd watch(inotify_init1(IN_CLOEXEC));
  inotify_add_watch(watch.get(), culvert::format("/proc/self/fd/{}", fd).c_str(), IN_MODIFY);
  std::array<char, 65536> buffer;
  for (;;) {
    const auto count = read(fd, buffer.data(), buffer.size());
    if (count > 0) {
      if (fwrite(buffer.data(), 1, static_cast<std::size_t>(count), stdout) == 0) return kFailed;
      continue;
    }
    std::fflush(stdout);
    if (!follow || read(watch.get(), buffer.data(), buffer.size()) <= 0) return 0;
  }
}

int stop_program(const std::string& world, const std::string& target, int signal) {
  const auto answer = ask(world, {{"do", "stop"}, {"target", target}, {"signal", signal}});
  return answer ? 0 : complain(answer.error());
}

int start_program(const std::string& world, const std::string& target) {
  const auto answer = ask(world, {{"do", "start"}, {"target", target}});
  return answer ? 0 : complain(answer.error());
}

int down(const std::string& world) {
  if (const auto client = Client::open(world)) {
    const auto pid = client->first_process();
    if (!pid) return complain(pid.error());
    const Fd process(static_cast<int>(syscall(SYS_pidfd_open, *pid, 0)));
    if (!process || syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0) != 0) {
      if (errno != ESRCH) return complain(failure_errno("ending the world").error());
    }
    pollfd waiting{.fd = process.get(), .events = POLLIN, .revents = 0};
    if (process && poll(&waiting, 1, 30'000) != 1) return complain(Error{"the world does not end"});
    std::fprintf(stderr, "culvert: the world %s is down\n", world.c_str());
  } else {
    std::fprintf(stderr, "culvert: no world called %s is up\n", world.c_str());
  }
  if (auto removed = remove_cgroups(world); !removed) return complain(removed.error());
  return 0;
}

int serve_dns_command(const std::string& file, const std::vector<std::string>& addresses) {
  std::vector<IpAddress> parsed;
  for (const auto& text : addresses) {
    const auto address = IpAddress::parse(text);
    if (!address) return complain(address.error());
    parsed.push_back(*address);
  }
  const auto served = serve_dns(file, parsed);
  return served ? 0 : complain(served.error());
}

}  // namespace culvert::local
