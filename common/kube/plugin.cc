// Credential plugins: somebody else's program that prints an ExecCredential.

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <string_view>
#include <tuple>

#include "common/base/fd.h"
#include "common/base/format.h"
#include "common/kube/credentials.h"
#include "common/kube/json.h"
#include "common/net/descriptor.h"
#include "common/net/timer.h"

namespace culvert::kube {
namespace {

namespace json = boost::json;

constexpr std::size_t kMostPrinted = 1024 * 1024;

// Killed and reaped when it goes, unless it has been reaped.
struct Child {
  Child() = default;
  Child(const Child&) = delete;
  ~Child() {
    if (pid <= 0) return;
    ::kill(pid, SIGKILL);
    std::ignore = reap();
  }
  int reap() {
    int status = 0;
    while (::waitpid(std::exchange(pid, 0), &status, 0) < 0 && errno == EINTR) {}
    return status;
  }
  pid_t pid = 0;
};

std::vector<std::string> environment_of(const Plugin& plugin) {
  std::map<std::string, std::string> all;
  for (char** one = environ; *one != nullptr; ++one) {
    const std::string_view text = *one;
    const auto equals = text.find('=');
    if (equals != std::string_view::npos) all[std::string(text.substr(0, equals))] = text.substr(equals + 1);
  }
  for (const auto& [name, value] : plugin.environment) all[name] = value;
  all["KUBERNETES_EXEC_INFO"] = plugin.info;
  std::vector<std::string> lines;
  lines.reserve(all.size());
  for (const auto& [name, value] : all) lines.emplace_back(name).append("=").append(value);
  return lines;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  out.reserve(texts.size() + 1);
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

// 0, or an errno value.
int spawn(const Plugin& plugin, int output, Child& child) {
  std::vector<std::string> words = plugin.arguments;
  words.insert(words.begin(), plugin.command);
  std::vector<std::string> lines = environment_of(plugin);
  posix_spawn_file_actions_t files;
  posix_spawnattr_t how;
  posix_spawn_file_actions_init(&files);
  posix_spawnattr_init(&how);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&how, &none);
  posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK);
  const int failed =
      ::posix_spawnp(&child.pid, plugin.command.c_str(), &files, &how, pointers(words).data(), pointers(lines).data());
  posix_spawnattr_destroy(&how);
  posix_spawn_file_actions_destroy(&files);
  if (failed != 0) child.pid = 0;
  return failed;
}

// Everything that it prints; fails with an errno value when it prints too much.
net::Task<int> read_all(const net::Descriptor& from, std::string& out) {
  char buffer[8192];
  while (out.size() <= kMostPrinted) {
    const ssize_t count = ::read(from.fd(), buffer, sizeof buffer);
    if (count > 0) out.append(buffer, static_cast<std::size_t>(count));
    if (count == 0) co_return 0;
    if (count > 0 || errno == EINTR) continue;
    if (errno != EAGAIN) co_return errno;
    if (!co_await from.readable()) co_return ETIMEDOUT;
  }
  co_return EMSGSIZE;
}

std::optional<std::chrono::system_clock::time_point> time_of(const std::string& text) {
  std::tm parts{};
  if (::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts) == nullptr) return std::nullopt;
  constexpr std::time_t kFarAway = 9'000'000'000;  // the year 2255: the clock counts nanoseconds and ends soon after
  const auto time = std::chrono::system_clock::from_time_t(std::clamp<std::time_t>(::timegm(&parts), 0, kFarAway));
  const auto zone = text.find_first_of("Z+-", 19);
  if (zone == std::string::npos) return std::nullopt;
  if (text[zone] == 'Z') return time;
  int hours = 0, minutes = 0;
  if (std::sscanf(text.c_str() + zone + 1, "%2d:%2d", &hours, &minutes) != 2) return std::nullopt;
  const auto offset = std::chrono::hours(hours) + std::chrono::minutes(minutes);
  return text[zone] == '+' ? time - offset : time + offset;
}

}  // namespace

Result<PluginAnswer> read_plugin_answer(std::string_view text) {
  boost::system::error_code failed;
  const json::value value = json::parse(text, failed);
  const auto* status = failed || !value.is_object() ? nullptr : value.as_object().if_contains("status");
  if (status == nullptr || !status->is_object()) return failure("it printed no ExecCredential with a status");
  const json::object& said = status->as_object();
  PluginAnswer answer{.token = text_at(said, "token"),
                      .certificate = text_at(said, "clientCertificateData"),
                      .key = text_at(said, "clientKeyData")};
  if (answer.token.empty() && answer.certificate.empty()) return failure("status has neither token nor clientCertificateData");
  if (answer.certificate.empty() != answer.key.empty())
    return failure("status has one of clientCertificateData and clientKeyData without the other");
  if (const std::string expires = text_at(said, "expirationTimestamp"); !expires.empty()) {
    answer.expires = time_of(expires);
    if (!answer.expires) return failure("status.expirationTimestamp is no RFC 3339 time");
  }
  return answer;
}

net::Task<Result<PluginAnswer>> run_plugin(net::Loop& loop, Plugin plugin, std::chrono::milliseconds patience) {
  const std::string doing = "the credential plugin " + plugin.command;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) co_return failure_errno(doing);
  Fd output(ends[1]);
  auto input = net::Descriptor::adopt(loop, Fd(ends[0]));
  if (!input) co_return std::unexpected(std::move(input).error().during(doing));
  Child child;
  if (const int failed = spawn(plugin, output.get(), child); failed != 0) {
    const std::string hint = plugin.hint.empty() ? "" : " (" + plugin.hint + ")";
    co_return failure(culvert::format("{}: {}{}", doing, errno_text(failed), hint));
  }
  output.reset();
  net::Timer timer(loop);
  timer.arm(patience, [&input] { input->close(); });
  std::string printed;
  const int failed = co_await read_all(*input, printed);
  if (failed == ETIMEDOUT) co_return failure(culvert::format("{}: no answer within {}ms", doing, patience.count()));
  if (failed == EMSGSIZE) co_return failure(doing + ": prints too much");
  if (failed != 0) co_return failure(doing + ": " + errno_text(failed));
  // Whoever has closed its output is about to end; a program that does not is killed, and has failed.
  auto ended = net::Descriptor::adopt(loop, Fd(static_cast<int>(::syscall(SYS_pidfd_open, child.pid, 0))), true);
  if (!ended) co_return std::unexpected(std::move(ended).error().during(doing));
  timer.arm(patience, [&ended] { ended->close(); });
  if (!co_await ended->readable()) co_return failure(doing + ": does not end");
  const int status = child.reap();
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    co_return failure(culvert::format("{}: {} {} (what it said is on standard error)", doing,
                                      WIFEXITED(status) ? "exit status" : "signal",
                                      WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status)));
  auto answer = read_plugin_answer(printed);
  if (!answer) co_return std::unexpected(std::move(answer).error().during(doing));
  co_return answer;
}

}  // namespace culvert::kube
