#include "common/kube/access.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <ranges>
#include <utility>

#include "common/base/address.h"
#include "common/base/file.h"
#include "common/base/format.h"
#include "common/base/log.h"
#include "common/kube/credentials.h"
#include "common/net/event.h"
#include "common/net/loop.h"

namespace culvert::kube {
namespace {

constexpr auto kReadAgain = std::chrono::minutes(1);
constexpr auto kBeforeExpiry = std::chrono::seconds(20);
constexpr auto kPluginPatience = std::chrono::minutes(1);

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string trimmed(std::string text) {
  constexpr std::string_view kSpace = " \t\r\n";
  text.erase(text.find_last_not_of(kSpace) + 1);
  text.erase(0, text.find_first_not_of(kSpace));
  return text;
}

// It goes into a header: nothing in it may end that.
Status check_token(std::string_view token, const std::string& from) {
  if (std::ranges::all_of(token, [](unsigned char c) { return c > ' ' && c < 0x7f; })) return {};
  return failure("the token of " + from + " has characters in it that no token has");
}

}  // namespace

Result<bool> Text::refresh(bool anew) {
  if (file.empty()) return false;
  struct stat about{};
  const bool there = ::stat(file.c_str(), &about) == 0;
  const auto now = std::chrono::steady_clock::now();
  const bool same = there && about.st_ino == number && about.st_mtim.tv_sec == changed.tv_sec &&
                    about.st_mtim.tv_nsec == changed.tv_nsec && now - read < kReadAgain;
  if (same && !anew) return false;
  auto text = read_file(file, kLargestSecret);
  if (text && trimmed(*text).empty()) text = failure(file + " is empty");
  if (!text && value.empty()) return std::unexpected(std::move(text).error());
  if (!text) {
    if (std::exchange(complaint, text.error().text) != complaint)
      log::warn("kube", complaint + ": what it said before stays in force");
    return false;
  }
  complaint.clear();
  number = about.st_ino;
  changed = about.st_mtim;
  read = now;
  std::string fresh = trimmed(std::move(*text));
  return std::exchange(value, fresh) != fresh;
}

std::string Server::authority() const {
  const std::string bracketed = host.contains(':') ? "[" + host + "]" : host;
  return culvert::format("{}:{}", bracketed, port);
}

struct Access::State {
  Credentials credentials;
  std::optional<PluginAnswer> answer;  // of the plugin
  std::optional<tls::Context> tls;
  std::uint64_t generation = 0;
  bool anew = true;
  bool asking = false;  // the plugin runs, for one of the tasks that want a proof; the others wait
  std::unique_ptr<net::Event> asked;

  Result<bool> refresh();
  net::Task<Result<bool>> ask_plugin(net::Loop& loop);
  Status build();
  const std::string& token() const { return answer && !answer->token.empty() ? answer->token : credentials.token.value; }
};

// Also when the asking task is destroyed in the middle, somebody else may ask.
struct Asking {
  explicit Asking(Access::State& its_state) : state(its_state) { state.asking = true; }
  Asking(const Asking&) = delete;
  ~Asking() {
    state.asking = false;
    state.asked->notify_all();
  }
  Access::State& state;
};

// True when the TLS context has to be made anew.
Result<bool> Access::State::refresh() {
  bool changed = !tls;
  for (Text* text : {&credentials.roots, &credentials.certificate, &credentials.key}) {
    auto refreshed = text->refresh(anew);
    if (!refreshed) return refreshed;
    changed |= *refreshed;
  }
  if (auto refreshed = credentials.token.refresh(anew); !refreshed) return refreshed;
  if (auto good = check_token(credentials.token.value, credentials.token.file); !good)
    return std::unexpected(std::move(good).error());
  return changed;
}

// True when it brought another certificate.
net::Task<Result<bool>> Access::State::ask_plugin(net::Loop& loop) {
  if (!credentials.plugin) co_return false;
  if (!asked) asked = std::make_unique<net::Event>(loop);
  while (asking) co_await asked->wait();
  const auto now = std::chrono::system_clock::now();
  if (answer && !anew && (!answer->expires || *answer->expires - kBeforeExpiry > now)) co_return false;
  const Asking guard(*this);
  auto fresh = co_await run_plugin(loop, *credentials.plugin, kPluginPatience);
  if (!fresh) co_return std::unexpected(std::move(fresh).error());
  if (auto good = check_token(fresh->token, credentials.plugin->command); !good)
    co_return std::unexpected(std::move(good).error());
  const bool other = !answer || answer->certificate != fresh->certificate || answer->key != fresh->key;
  answer = std::move(*fresh);
  co_return other;
}

Status Access::State::build() {
  auto roots = tls::Roots::parse(credentials.roots.value);
  if (!roots) return std::unexpected(std::move(roots).error().during("the API server's CA " + credentials.roots.file));
  const bool plugged = answer && !answer->certificate.empty();
  const std::string& certificate = plugged ? answer->certificate : credentials.certificate.value;
  std::optional<tls::KeyPair> own;
  if (!certificate.empty()) {
    auto pair = tls::KeyPair::parse(certificate, plugged ? answer->key : credentials.key.value);
    if (!pair) return std::unexpected(std::move(pair).error().during("our client certificate " + credentials.certificate.file));
    own = std::move(*pair);
  }
  auto context = tls::Context::client(*roots, std::move(own), {"http/1.1"});
  if (!context) return std::unexpected(std::move(context).error());
  tls = std::move(*context);
  ++generation;
  return {};
}

Access::Access(std::unique_ptr<State> state) : state_(std::move(state)) {}
Access::Access(Access&&) noexcept = default;
Access& Access::operator=(Access&&) noexcept = default;
Access::~Access() = default;

Result<Access> Access::in_cluster(const InCluster& where) {
  const std::string host = where.host.empty() ? environment("KUBERNETES_SERVICE_HOST") : where.host;
  const std::string port = where.port.empty() ? environment("KUBERNETES_SERVICE_PORT") : where.port;
  if (host.empty() || port.empty())
    return failure("not in a pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set (name a kubeconfig instead)");
  auto state = std::make_unique<State>();
  Credentials& all = state->credentials;
  all.server = {.host = host, .tls_name = host};
  const auto [end, failed] = std::from_chars(port.data(), port.data() + port.size(), all.server.port);
  if (failed != std::errc() || end != port.data() + port.size() || all.server.port == 0)
    return failure("KUBERNETES_SERVICE_PORT is no port: " + port);
  all.roots.file = where.folder + "/ca.crt";
  all.token.file = where.folder + "/token";
  if (auto ns = read_file(where.folder + "/namespace", kLargestSecret)) all.default_namespace = trimmed(std::move(*ns));
  auto refreshed = state->refresh();
  if (!refreshed)
    return std::unexpected(Error{refreshed.error().text + " (does the pod have automountServiceAccountToken: false?)"});
  if (auto built = state->build(); !built) return std::unexpected(std::move(built).error());
  return Access(std::move(state));
}

Result<Access> Access::configured(const std::string& kubeconfig, const std::string& context) {
  if (!kubeconfig.empty()) return from_kubeconfig(kubeconfig, context);
  auto access = in_cluster();
  if (!access) access.error().text += " (set --kubeconfig, or --config-dir for a folder of YAML)";
  return access;
}

Result<Access> Access::from_kubeconfig(const std::string& path, const std::string& context) {
  std::vector<std::string> files;
  if (!path.empty()) {
    files.push_back(path);
  } else if (const std::string listed = environment("KUBECONFIG"); !listed.empty()) {
    for (const auto part : std::views::split(listed, ':')) {
      std::string file(part.begin(), part.end());
      if (std::error_code error; !file.empty() && std::filesystem::exists(file, error)) files.push_back(std::move(file));
    }
    if (files.empty()) return failure("none of the files of $KUBECONFIG is there: " + listed);
  } else {
    files.push_back(environment("HOME") + "/.kube/config");
  }
  auto read = read_kubeconfig(files, context);
  if (!read) return std::unexpected(std::move(read).error());
  auto state = std::make_unique<State>();
  state->credentials = std::move(*read);
  if (auto refreshed = state->refresh(); !refreshed) return std::unexpected(std::move(refreshed).error().during(files.front()));
  if (auto built = state->build(); !built) return std::unexpected(std::move(built).error().during(files.front()));
  return Access(std::move(state));
}

const Server& Access::server() const { return state_->credentials.server; }
const std::string& Access::default_namespace() const { return state_->credentials.default_namespace; }
void Access::refused() { state_->anew = true; }

net::Task<Result<Proof>> Access::proof(net::Loop& loop) {
  State& state = *state_;
  auto changed = state.refresh();
  if (!changed) co_return std::unexpected(std::move(changed).error());
  auto plugged = co_await state.ask_plugin(loop);
  if (!plugged) co_return std::unexpected(std::move(plugged).error());
  if (*changed || *plugged) {
    auto built = state.build();
    if (!built && !state.tls) co_return std::unexpected(std::move(built).error());
    // A certificate and its key are two files: between the two writes they do not fit. The next look finds them whole.
    if (!built) log::warn("kube", built.error().text + ": the certificate of before stays in force");
  }
  state.anew = false;
  co_return Proof{.tls = *state.tls, .token = state.token(), .generation = state.generation};
}

}  // namespace culvert::kube
