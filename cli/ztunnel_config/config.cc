#include "cli/ztunnel_config/config.h"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <utility>
#include <vector>

#include "cli/print/json.h"
#include "cli/ztunnel_config/levels.h"
#include "common/base/format.h"

namespace culvert::cli {
namespace {

constexpr std::chrono::milliseconds kPatience{30'000};

int complain(const std::string& text) {
  std::fprintf(stderr, "culvert: %s\n", text.c_str());
  return 1;
}

// A ztunnel that is asked, and what it is called.
struct Asked {
  Target target;
  std::string name;
};

// Whoever is asked must not differ from who was meant.
Status check(const ZtunnelSource& source) {
  const bool node = !source.node.empty() && source.world.empty();
  const int named = !source.pod.empty() + node + !source.file.empty() + !source.url.empty() + !source.world.empty();
  if (named > 1) return failure("at most one of a pod, --node, --file, --url and --world says which ztunnel");
  return {};
}

Asked asked(const Cluster& cluster, const ZtunnelSource& source, const Pod& pod) {
  return {cluster.target(pod, source.admin_port), pod.key.name + "." + pod.key.ns};
}

std::string names_of(const std::vector<Pod>& pods) {
  std::string out;
  for (const Pod& pod : pods) out += culvert::format("{}{} on {}", out.empty() ? "" : ", ", pod.key.name, pod.node);
  return out;
}

net::Task<Result<std::vector<Pod>>> ztunnels(Cluster& cluster, std::string node) {
  auto pods = co_await cluster.pods(cluster.system_namespace(), "app=ztunnel", node);
  if (pods && pods->empty())
    co_return failure(
        culvert::format("namespace {} has no pod of ztunnel{} (label app=ztunnel; is it installed in another namespace? -i)",
                        cluster.system_namespace(), node.empty() ? "" : " on node " + node));
  co_return pods;
}

// Those that the source names in a cluster: one, or all where nothing is named.
net::Task<Result<std::vector<Pod>>> named(Cluster& cluster, const ZtunnelSource& source) {
  if (source.pod.empty()) {
    auto all = co_await ztunnels(cluster, source.node);
    if (all && !source.node.empty()) all->resize(1);
    co_return all;
  }
  auto pods =
      co_await cluster.pods_called(source.pod, source.name_space.empty() ? cluster.system_namespace() : source.name_space);
  if (!pods) co_return pods;
  pods->resize(1);
  if (pods->front().app == "ztunnel") co_return pods;
  if (pods->front().node.empty()) co_return failure("pod " + pods->front().key.text() + " is on no node yet");
  auto beside = co_await ztunnels(cluster, pods->front().node);
  if (beside) beside->resize(1);
  co_return beside;
}

// Outside of a cluster: one. None when the source is in a cluster.
Result<std::optional<Asked>> outside(const ZtunnelSource& source) {
  auto target = !source.url.empty()     ? Target::parse(source.url)
                : !source.world.empty() ? ztunnel_of_world(source.world, source.node.empty() ? "node1" : source.node)
                                        : Result<Target>(Target());
  if (!target) return std::unexpected(std::move(target).error());
  if (source.url.empty() && source.world.empty()) return std::nullopt;
  std::string name = source.url.empty() ? "ztunnel of " + (source.node.empty() ? "node1" : source.node) : target->text();
  return Asked{std::move(*target), std::move(name)};
}

// `only`: what is asked for is another thing at each, so that one has to be named where there are several.
net::Task<Result<std::vector<Asked>>> all_asked(Cluster& cluster, const ZtunnelSource& source, bool only) {
  auto pods = co_await named(cluster, source);
  if (!pods) co_return std::unexpected(std::move(pods).error());
  if (only && pods->size() > 1)
    co_return failure("each ztunnel has its own: name a pod or --node (there are " + names_of(*pods) + ")");
  std::vector<Asked> out;
  for (const Pod& pod : *pods) out.push_back(asked(cluster, source, pod));
  co_return out;
}

Result<std::string> dump_text(const ZtunnelSource& source, bool only) {
  if (!source.file.empty()) return read_input(source.file);
  net::Loop loop;
  auto one = outside(source);
  if (!one) return std::unexpected(std::move(one).error());
  if (*one) {
    const bool whole = !(*one)->target.base.empty();  // the URL of the page itself is understood, too
    const std::string path = whole ? std::exchange((*one)->target.base, "") : "/config_dump";
    return loop.run(get_page(loop, std::move((*one)->target), path, kPatience));
  }
  auto cluster = Cluster::open(loop, source.cluster);
  if (!cluster) return std::unexpected(std::move(cluster).error());
  auto all = loop.run(all_asked(*cluster, source, only));
  if (!all) return std::unexpected(std::move(all).error());
  return loop.run(get_page(loop, std::move(all->front().target), "/config_dump", kPatience));
}

Result<std::string> level_query(const ZtunnelLogOptions& options) {
  std::string query = options.reset ? "?reset" : "";
  if (options.level.empty()) return query;
  const auto directive = log_directive(options.level);
  if (!directive) return std::unexpected(directive.error().during("--level"));
  return query + (query.empty() ? "?" : "&") + "level=" + percent_encoded(*directive);
}

// One line of levels from each; what cannot be asked does not keep the others from it.
int set_levels(net::Loop& loop, std::vector<Asked> all, const std::string& query) {
  int failed = 0;
  for (Asked& one : all) {
    const auto answer = loop.run(ask_page(loop, std::move(one.target), "POST", "/logging" + query, kPatience));
    if (answer) std::printf("%s:\n%s\n", one.name.c_str(), answer->c_str());
    else failed = complain(answer.error().text);
  }
  return failed;
}

}  // namespace

int ztunnel_config(const ZtunnelConfigOptions& options) {
  if (auto good = check(options.source); !good) return complain(good.error().text);
  const bool only = options.view.part == DumpPart::kCertificates || options.view.part == DumpPart::kConnections;
  const auto text = dump_text(options.source, only);
  if (!text) return complain(text.error().text);
  const auto dump = ZtunnelDump::read(*text);
  if (!dump) return complain(dump.error().text);
  const std::string out = options.form == Form::kTable  ? tables_of(*dump, options.view)
                          : options.form == Form::kJson ? print::pretty(objects_of(*dump, options.view))
                                                        : print::yaml(objects_of(*dump, options.view));
  std::fputs(out.c_str(), stdout);
  return 0;
}

int ztunnel_log(const ZtunnelLogOptions& options) {
  if (auto good = check(options.source); !good) return complain(good.error().text);
  const auto query = level_query(options);
  if (!query) return complain(query.error().text);
  net::Loop loop;
  auto one = outside(options.source);
  if (!one) return complain(one.error().text);
  if (*one) {
    std::vector<Asked> all;
    all.push_back(std::move(**one));
    return set_levels(loop, std::move(all), *query);
  }
  auto cluster = Cluster::open(loop, options.source.cluster);
  if (!cluster) return complain(cluster.error().text);
  auto all = loop.run(all_asked(*cluster, options.source, false));
  if (!all) return complain(all.error().text);
  return set_levels(loop, std::move(*all), *query);
}

}  // namespace culvert::cli
