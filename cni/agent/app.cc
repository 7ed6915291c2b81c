#include "cni/agent/app.h"

#include <sys/resource.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <format>
#include <memory>
#include <string>

#include "cni/agent/node.h"
#include "cni/agent/pages.h"
#include "cni/agent/unload.h"
#include "common/base/log.h"
#include "common/base/version.h"
#include "common/config/source/folder_source.h"
#include "common/net/signals.h"

namespace culvert::agent {
namespace {

constexpr std::string_view kScope = "app";

int cannot(const Error& error) {
  log::stop();
  std::fputs(std::format("culvert-node: {}\n", error.text).c_str(), stderr);
  return 1;
}

Status check(const Settings& settings) {
  if (settings.node_name.empty()) return failure("NODE_NAME is not set (set NODE_NAME or --node-name: the node that we run on)");
  if (settings.config_dir.empty())
    return failure("CULVERT_CONFIG_DIR is not set (set CULVERT_CONFIG_DIR or --config-dir: folder of YAML with Pods)");
  return {};
}

// Each enrolled pod costs a few descriptors.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

net::Task<> end_on_signal(net::Loop& loop, net::Signals& signals) {
  const int number = co_await signals.next();
  log::info(kScope, "ending; what is captured stays captured", {log::field("signal", number)});
  loop.stop();
}

// The lives of pods are not unwound one by one: what they put in force is to stay, and their descriptors close with the process.
[[noreturn]] void end(int exit_code) {
  log::stop();
  std::_Exit(exit_code);
}

[[noreturn]] void serve(const Settings& settings, const settings::Table& table) {
  net::Loop loop;
  auto node = Node::open(loop, settings);
  if (!node) end(cannot(node.error()));
  auto source = config::FolderSource::open(loop, settings.config_dir.string(), {.status = false, .whole = false},
                                           [&node](const config::Diff& diff) { (*node)->apply(diff); });
  if (!source) end(cannot(source.error()));
  (*node)->begin();
  const auto pages = Pages::open(loop, **node, settings, table);
  if (!pages) end(cannot(pages.error()));
  net::Signals signals(loop, {SIGTERM, SIGINT});
  loop.spawn(end_on_signal(loop, signals));
  log::info(kScope, "running", {log::field("version", version_text()), log::field("node", settings.node_name)});
  loop.run();
  end(0);
}

}  // namespace

int run(const Settings& settings, const settings::Table& table) {
  net::ignore_sigpipe();
  raise_descriptor_limit();
  if (auto started = log::start(settings.log_level, settings.log_format == "json"); !started) return cannot(started.error());
  if (settings.unload) {
    if (auto unloaded = unload(settings); !unloaded) return cannot(unloaded.error());
    log::stop();
    return 0;
  }
  if (auto checked = check(settings); !checked) return cannot(checked.error());
  serve(settings, table);
}

}  // namespace culvert::agent
