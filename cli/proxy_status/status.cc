#include "cli/proxy_status/status.h"

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <set>
#include <utility>
#include <vector>

#include "cli/print/json.h"
#include "cli/print/table.h"
#include "cli/proxy_status/proxies.h"
#include "cli/wait/heard.h"

namespace culvert::cli {
namespace {

constexpr std::chrono::milliseconds kPatience{10'000};

struct Told {
  std::vector<Proxy> proxies;
  std::set<std::string> absent;     // nodes that should have a data plane, and have none at this culvertd
  std::set<std::string> connected;  // nodes that have
  std::vector<std::string> errors;
};

int complain(const std::string& text) {
  std::fprintf(stderr, "culvert: %s\n", text.c_str());
  return 1;
}

net::Task<Result<std::vector<Proxy>>> ask(net::Loop& loop, const Plane& plane, Told& told) {
  const auto syncz = co_await get_page(loop, plane.target, "/debug/syncz", kPatience);
  if (!syncz) co_return std::unexpected(syncz.error());
  // Which nodes have none is told by ours alone.
  if (const auto epochs = co_await get_page(loop, plane.target, "/debug/epochs", kPatience)) {
    if (const auto heard = Heard::read(plane.name, *epochs)) {
      told.absent.insert(heard->absent.begin(), heard->absent.end());
      for (const Heard::Node& node : heard->nodes) told.connected.insert(node.node);
    }
  }
  co_return read_proxies(plane.name, *syncz);
}

net::Task<Told> ask_all(net::Loop& loop, std::vector<Plane> planes) {
  Told told;
  for (const Plane& plane : planes) {
    auto proxies = co_await ask(loop, plane, told);
    if (proxies) std::ranges::move(*proxies, std::back_inserter(told.proxies));
    else told.errors.push_back(proxies.error().text);
  }
  std::ranges::stable_sort(told.proxies, {}, &Proxy::name);
  co_return told;
}

}  // namespace

int proxy_status(const ProxyStatusOptions& options) {
  net::Loop loop;
  auto planes = planes_of(loop, options.planes);
  if (!planes) return complain(planes.error().text);
  const std::size_t count = planes->size();
  Told told = loop.run(ask_all(loop, std::move(*planes)));
  std::erase_if(told.proxies, [&](const Proxy& proxy) { return !proxy.name.starts_with(options.proxy); });
  if (told.errors.size() < count) {
    using Form = ProxyStatusOptions::Form;
    const std::string out = options.form == Form::kTable
                                ? proxies_table(told.proxies, std::chrono::system_clock::now(), print::colours_wanted())
                            : options.form == Form::kJson ? print::pretty(proxies_json(told.proxies))
                                                          : print::yaml(proxies_json(told.proxies));
    std::fputs(out.c_str(), stdout);
  }
  for (const std::string& node : told.absent)
    if (!told.connected.contains(node) && options.proxy.empty())
      std::fprintf(stderr, "culvert: node %s: no data plane of it is connected to %s\n", node.c_str(),
                   count == 1 ? "that culvertd" : "any of these");
  if (!options.proxy.empty() && told.proxies.empty() && told.errors.empty())
    return complain("no data plane whose name begins with " + options.proxy + " is connected");
  int failed = 0;
  for (const std::string& error : told.errors) failed = complain(error);
  return failed;
}

}  // namespace culvert::cli
