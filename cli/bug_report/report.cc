#include "cli/bug_report/report.h"

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <cstdio>
#include <iterator>
#include <optional>
#include <utility>

#include "cli/bug_report/archive.h"
#include "cli/bug_report/redact.h"
#include "cli/objects/objects.h"
#include "cli/print/json.h"
#include "cli/version/version.h"
#include "common/base/format.h"
#include "common/base/version.h"

namespace culvert::cli {
namespace {

namespace json = boost::json;

constexpr std::chrono::milliseconds kPatience{30'000};  // for one file
constexpr const char* kFolder = "culvert-bug-report/";

constexpr const char* kReadMe =
    "Gathered by culvert bug-report. could-not.txt says what is missing.\n\n"
    "cluster/  objects that the mesh reads, and what it is installed as; no Secrets\n"
    "pods/     what each pod of the mesh says of itself, and its logs\n\n"
    "Removed: passwords, tokens and private keys wherever they were recognised; variables, commands and volumes of pods that are "
    "not the\n"
    "mesh's own. Names, addresses, labels, policies and certificates are in it: look through it before you show it to others.\n";

std::string error_page(const std::string& file, const Error& error) { return file + ": " + error.text + "\n"; }

net::Task<Result<std::vector<Pod>>> mesh_pods(Cluster& cluster, const std::string& node) {
  std::vector<Pod> out;
  for (const std::string app : {"culvertd", "ztunnel", "culvert-node"}) {
    auto pods = co_await cluster.pods(cluster.system_namespace(), "app=" + app, app == "culvertd" ? "" : node);
    if (!pods) co_return pods;
    std::ranges::move(*pods, std::back_inserter(out));
  }
  co_return out;
}

// Fills an archive, and counts.
class Gathering {
 public:
  Gathering(net::Loop& loop, Cluster& cluster, Archive& archive, const BugReportOptions& options)
      : loop_(loop), cluster_(cluster), archive_(archive), options_(options), left_(options.most_mib << 20) {}

  // Everything of `pieces`, as long as there is room and time. Fails when the archive cannot be written.
  net::Task<Status> add_all(std::vector<Piece> pieces) {
    const auto end = net::Clock::now() + options_.timeout;
    for (const Piece& piece : pieces) {
      if (net::Clock::now() >= end || left_ == 0) {
        could_not_ += culvert::format("{}: not asked for any more ({})\n", piece.file, left_ == 0 ? "--max-size" : "--timeout");
        continue;
      }
      auto text = co_await fetch(piece);
      if (!text && piece.optional) continue;
      if (!text) could_not_ += error_page(piece.file, text.error());
      else if (auto done = add(piece.file, std::move(*text)); !done) co_return done;
    }
    co_return Status();
  }

  Status add(const std::string& file, std::string text) {
    text = without_secrets(text);
    const std::size_t most = std::min(left_, (options_.most_mib << 20) / 8);
    if (text.size() > most) {
      could_not_ += culvert::format("{}: cut off after {} of {} bytes (--max-size)\n", file, most, text.size());
      text.resize(most);
    }
    left_ -= text.size();
    ++files_;
    return archive_.add(kFolder + file, text, std::chrono::system_clock::now());
  }

  const std::string& could_not() const { return could_not_; }
  std::size_t files() const { return files_; }

 private:
  net::Task<Result<std::string>> fetch(const Piece& piece) {
    if (piece.what == Piece::What::kPage)
      co_return co_await get_page(loop_, cluster_.target(piece.pod, piece.port), piece.path, kPatience);
    if (piece.what == Piece::What::kText) {
      auto answer = co_await cluster_.client().call(piece.request);
      if (!answer) co_return std::unexpected(std::move(answer).error());
      co_return std::move(answer->body);
    }
    auto items = co_await find_all_in(cluster_.client(), piece.request.at, piece.versions, piece.request.query);
    if (!items) could_not_ += error_page(piece.file, items.error());
    if (!items) co_return std::unexpected(std::move(items).error());
    for (json::value& item : *items)
      if (item.is_object()) strip_object(item.as_object(), piece.request.at.of.plural, cluster_.system_namespace());
    co_return print::pretty(*items);
  }

  net::Loop& loop_;
  Cluster& cluster_;
  Archive& archive_;
  const BugReportOptions& options_;
  std::size_t left_;  // bytes
  std::size_t files_ = 0;
  std::string could_not_;
};

net::Task<std::string> versions_text(net::Loop& loop, Cluster& cluster, std::vector<Pod> pods) {
  Versions versions{.client = std::string(kVersion), .commit = std::string(commit())};
  std::vector<Plane> planes;
  for (const Pod& pod : pods)
    if (pod.app == "culvertd") planes.push_back({cluster.target(pod, kControlPlaneDebugPort), pod.key.name + "." + pod.key.ns});
  const auto asked = co_await ask_versions(loop, std::move(planes), versions);
  versions.asked = true;  // as far as they answered
  co_return json_of(versions, VersionOptions::Form::kJson) + (asked ? "" : asked.error().text + "\n");
}

net::Task<Result<std::uint64_t>> gather(net::Loop& loop, Cluster& cluster, const BugReportOptions& options, std::string path,
                                        std::vector<Pod> pods, std::vector<Piece> pieces) {
  auto archive = Archive::create(path);
  if (!archive) co_return std::unexpected(std::move(archive).error());
  Gathering gathering(loop, cluster, *archive, options);
  const auto failed = [](Status& status) { return std::unexpected(std::move(status).error()); };
  if (auto done = gathering.add("README.txt", kReadMe); !done) co_return failed(done);
  if (auto done = gathering.add("versions.json", co_await versions_text(loop, cluster, std::move(pods))); !done)
    co_return failed(done);
  if (auto done = co_await gathering.add_all(std::move(pieces)); !done) co_return failed(done);
  const std::string missing = gathering.could_not();
  if (auto done =
          archive->add(std::string(kFolder) + "could-not.txt", without_secrets(missing), std::chrono::system_clock::now());
      !done)
    co_return failed(done);
  auto size = archive->finish();
  if (size) {
    std::printf("%s: %zu files, %s bytes\n", path.c_str(), gathering.files() + 1, std::to_string(*size).c_str());
    if (!missing.empty())
      std::fprintf(stderr, "culvert: not everything could be gathered; could-not.txt in it says what:\n%s", missing.c_str());
  }
  co_return size;
}

int complain(const std::string& text) {
  std::fprintf(stderr, "culvert: %s\n", text.c_str());
  return 1;
}

}  // namespace

int bug_report(const BugReportOptions& options) {
  net::Loop loop;
  auto cluster = Cluster::open(loop, options.cluster);
  if (!cluster) return complain(cluster.error().text);
  auto pods = loop.run(mesh_pods(*cluster, options.node));
  if (!pods) return complain(pods.error().text);
  std::vector<Piece> pieces = cluster_pieces(cluster->system_namespace());
  for (const Pod& pod : *pods) std::ranges::move(pod_pieces(pod, options.logs), std::back_inserter(pieces));
  if (options.dry_run) {
    for (const Piece& piece : pieces) std::printf("%s: %s\n", piece.file.c_str(), piece.text().c_str());
    return 0;
  }
  const std::string path = options.output.empty()
                               ? culvert::format("culvert-bug-report-{:%Y%m%dT%H%M%SZ}.tar.gz",
                                                 std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()))
                               : options.output;
  const auto size = loop.run(gather(loop, *cluster, options, path, std::move(*pods), std::move(pieces)));
  return size ? 0 : complain(size.error().text);
}

}  // namespace culvert::cli
