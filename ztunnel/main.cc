// ztunnel: carries the traffic of this node's pods. See docs/architecture.md.

#include <cstdio>
#include <cstdlib>
#include <string>

#include "common/base/log.h"
#include "common/base/secrets.h"
#include "common/base/slice.h"
#include "common/base/version.h"
#include "common/net/signals.h"
#include "common/sandbox/sandbox.h"
#include "ztunnel/app.h"
#include "ztunnel/settings.h"

int main(int argc, char** argv) {
  using namespace culvert;
  ztunnel::Settings settings;
  settings::Table table("ztunnel", "carries the traffic of this node's pods as mutually authenticated TLS");
  ztunnel::describe(settings, table);
  if (const auto code = table.read(argc, argv)) return *code;

  const auto fail = [](const std::string& text) {
    std::fprintf(stderr, "ztunnel: %s\n", text.c_str());
    return 1;
  };
  const auto ignored = ztunnel::unsupported(settings, settings::of_process);
  if (!ignored) return fail(ignored.error().text);
  ask_for_short_slices();
  if (auto started = log::start(settings.log_directive, settings.log_format == "json"); !started)
    return fail("RUST_LOG: " + started.error().text);

  net::ignore_sigpipe();
  if (!forbid_dumps()) log::warn("app", "a core dump of this process, and the keys in it, cannot be forbidden");
  if (auto confined = sandbox::confine(sandbox::kZtunnel); !confined) log::warn("app", confined.error().text);
  log::info("app", "ztunnel " + version_text(), {log::field("node", settings.node_name)});
  for (const auto& line : *ignored) log::warn("app", line);
  auto* app = new ztunnel::App(settings, table);
  const auto ended = app->run();
  log::info("app", "ended");
  log::stop();
  // Threads of workers and of gRPC still run; there is nothing left that they could do for anybody. The process takes it all with it.
  std::fflush(stdout);
  if (!ended) fail(ended.error().text);
  std::_Exit(ended ? 0 : 1);
}
