#include "controlplane/app.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "common/base/format.h"
#include "common/base/log.h"
#include "common/base/secrets.h"
#include "common/config/source/folder_source.h"
#include "common/kube/access.h"
#include "common/net/signals.h"
#include "common/net/timer.h"
#include "common/sandbox/sandbox.h"
#include "controlplane/bundle.h"
#include "controlplane/ca/ca_folder.h"
#include "controlplane/ca/file_callers.h"
#include "controlplane/ca/files.h"
#include "controlplane/ca/trust_domain.h"
#include "controlplane/kubernetes.h"
#include "controlplane/memory.h"
#include "controlplane/serving.h"
#include "controlplane/uninstall.h"

namespace culvert::controlplane {
namespace {

// Each connected node is a descriptor.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

void confine(const Settings& settings) {
  auto needs = sandbox::kCulvertd;
  needs.other_programs = !settings.kubeconfig.empty();
  if (auto confined = sandbox::confine(needs); !confined) log::warn("app", confined.error().text);
}

using Farewell = std::function<net::Task<>()>;

// `farewell` has a moment; a second signal ends it at once.
net::Task<> stop_on_signal(net::Loop& loop, net::Signals& signals, const Farewell& farewell) {
  constexpr auto kPatience = std::chrono::seconds(3);
  const int number = co_await signals.next();
  log::info("app", "ending", {log::field("signal", number)});
  if (farewell) {
    net::Timer patience(loop);
    patience.arm(kPatience, [&loop] { loop.stop(); });
    loop.spawn([](net::Loop* its_loop, net::Signals* its_signals) -> net::Task<> {
      std::ignore = co_await its_signals->next();
      its_loop->stop();
    }(&loop, &signals));
    co_await farewell();
  }
  loop.stop();
}

net::Task<Status> catch_up(config::FolderSource& folder) {
  co_await folder.catch_up();
  co_return Status{};
}

// Null when nobody asked for it.
Result<std::unique_ptr<WebhookServer>> open_bundle(net::Loop& loop, Serving& serving, std::uint16_t port) {
  if (port == 0) return nullptr;
  auto opened = open_tls_port(loop, serving, port, std::nullopt);
  if (!opened) return std::unexpected(std::move(opened).error().during("opening the port of the SPIFFE bundle"));
  return opened;
}

// In the order of need: configuration, which says the trust domain, certificates, callers, and only then the door.
Status serve_folder(net::Loop& loop, const Settings& settings, const settings::Table& table) {
  const std::string data_dir = settings.data_dir.string();
  Serving serving(loop, settings, table);
  if (auto done = serving.begin(); !done) return done;
  const auto source = config::FolderSource::open(loop, settings.config_dir.string(), {.status = true, .whole = true},
                                                 [&serving](const config::Diff& diff) { serving.apply(diff); });
  if (!source) return std::unexpected(source.error());
  serving.catch_up_by([&folder = **source](const std::optional<config::Key>&) { return catch_up(folder); });
  const AskTrustDomain trust_domain = [&serving] { return trust_domain_wanted(serving.objects(), serving.mesh_settings()); };
  const TrustDomainWanted wanted = trust_domain();
  auto ca = load_or_make_ca(data_dir, wanted.trust_domain, settings.rotation(), wanted.of);
  if (!ca) return std::unexpected(std::move(ca).error());
  serving.remember(load_past_roots(data_dir), [data_dir](const std::string& text) { write_past_roots(data_dir, text); });
  if (auto done = serving.take(std::move(*ca)); !done) return done;
  const auto followed = CaFolder::open(loop, {.folder = data_dir, .trust_domain = trust_domain, .rotation = settings.rotation()},
                                       [&serving](Ca changed) { std::ignore = serving.take(std::move(changed)); });
  if (!followed) return std::unexpected(followed.error());
  FileCallers* known = nullptr;
  auto callers = FileCallers::open(loop, settings.tokens.string(), [&serving, &known] {
    serving.check_streams([&](const rpc::ServerCall& call, const std::string& node) { return known->node_of(call) == node; });
  });
  if (!callers) return std::unexpected(std::move(callers).error());
  known = callers->get();
  if (auto done = serving.open(std::move(*callers)); !done) return done;
  const auto bundle = open_bundle(loop, serving, settings.bundle_port);
  if (!bundle) return std::unexpected(bundle.error());
  loop.run();
  return {};
}

Status serve_kubernetes(net::Loop& loop, const Settings& settings, const settings::Table& table, Farewell& farewell) {
  auto access = kube::Access::configured(settings.kubeconfig.string(), settings.context);
  if (!access) return std::unexpected(std::move(access).error());
  Status ended;
  Kubernetes kubernetes(loop, settings, table, std::move(*access), [&](Error error) {
    ended = std::unexpected(std::move(error));
    loop.stop();
  });
  farewell = [&kubernetes] { return kubernetes.end(); };
  loop.run();
  farewell = {};
  return ended;
}

Status serve(const Settings& settings, const settings::Table& table) {
  if (auto fit = settings.check(); !fit) return fit;
  const std::string data_dir = settings.data_dir.string();
  if (auto there = make_private_folder(data_dir); !there) return there;
  const auto lock = lock_folder(data_dir);
  if (!lock) return std::unexpected(lock.error());
  net::Loop loop;
  net::Signals signals(loop, {SIGTERM, SIGINT});
  const Trim trim(loop);
  Farewell farewell;
  loop.spawn(stop_on_signal(loop, signals, farewell));
  return settings.config_dir.empty() ? serve_kubernetes(loop, settings, table, farewell) : serve_folder(loop, settings, table);
}

}  // namespace

int run(const Settings& settings, const settings::Table& table) {
  set_heaps();
  ::umask(077);
  net::ignore_sigpipe();
  raise_descriptor_limit();
  const bool forbidden = forbid_dumps();
  Status ended = log::start(settings.log_level, settings.log_format == "json");
  if (!forbidden) log::warn("app", "a core dump of this process, and the keys in it, cannot be forbidden");
  confine(settings);
  if (ended) ended = settings.uninstall == Uninstall::kNone ? serve(settings, table) : uninstall(settings);
  log::stop();
  if (ended) return 0;
  std::fputs(culvert::format("culvertd: {}\n", ended.error().text).c_str(), stderr);
  return 1;
}

}  // namespace culvert::controlplane
