#include "controlplane/app.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <cstdio>
#include <format>
#include <memory>
#include <optional>
#include <utility>

#include "common/base/log.h"
#include "common/config/source/folder_source.h"
#include "common/net/signals.h"
#include "controlplane/ca/file_callers.h"
#include "controlplane/ca/files.h"
#include "controlplane/kubernetes.h"
#include "controlplane/serving.h"

namespace culvert::controlplane {
namespace {

// Each connected node is a descriptor.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

net::Task<> stop_on_signal(net::Loop& loop, net::Signals& signals) {
  const int number = co_await signals.next();
  log::info("app", "ending", {log::field("signal", number)});
  loop.stop();
}

// In the order of need: certificates, callers, configuration, and only then the door.
Status serve_folder(net::Loop& loop, const Settings& settings, const settings::Table& table) {
  auto authority = load_or_make_authority(settings.data_dir.string(), settings.trust_domain);
  if (!authority) return std::unexpected(std::move(authority).error());
  std::string roots = authority->certificate().pem();
  Serving serving(loop, settings, table,
                  {.authority = std::move(*authority), .roots_pem = std::move(roots), .from = "--data-dir"});
  if (auto done = serving.begin(); !done) return done;
  FileCallers* known = nullptr;
  auto callers = FileCallers::open(loop, settings.tokens.string(), [&serving, &known] {
    serving.xds().check([&](const rpc::ServerCall& call, const std::string& node) { return known->node_of(call) == node; });
  });
  if (!callers) return std::unexpected(std::move(callers).error());
  known = callers->get();
  const auto source = config::FolderSource::open(loop, settings.config_dir.string(), {.status = true, .whole = true},
                                                 [&serving](config::Diff diff) { serving.apply(std::move(diff)); });
  if (!source) return std::unexpected(source.error());
  if (auto done = serving.open(std::move(*callers)); !done) return done;
  loop.run();
  return {};
}

Status serve_kubernetes(net::Loop& loop, const Settings& settings, const settings::Table& table) {
  auto access = access_of(settings);
  if (!access) return std::unexpected(std::move(access).error());
  Status ended;
  const Kubernetes kubernetes(loop, settings, table, std::move(*access), [&](Error error) {
    ended = std::unexpected(std::move(error));
    loop.stop();
  });
  loop.run();
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
  loop.spawn(stop_on_signal(loop, signals));
  return settings.config_dir.empty() ? serve_kubernetes(loop, settings, table) : serve_folder(loop, settings, table);
}

}  // namespace

int run(const Settings& settings, const settings::Table& table) {
  ::umask(077);
  net::ignore_sigpipe();
  raise_descriptor_limit();
  Status ended = log::start(settings.log_level, settings.log_format == "json");
  if (ended) ended = serve(settings, table);
  log::stop();
  if (ended) return 0;
  std::fputs(std::format("culvertd: {}\n", ended.error().text).c_str(), stderr);
  return 1;
}

}  // namespace culvert::controlplane
