#include "cli/install/pending.h"

#include <algorithm>
#include <cstdio>
#include <sstream>
#include <thread>
#include <utility>

#include "cli/objects/objects.h"
#include "common/base/format.h"
#include "common/base/settings.h"
#include "common/kube/review.h"

namespace culvert::cli::install {
namespace {

namespace json = boost::json;
using namespace std::chrono_literals;
using std::chrono::seconds;
using std::chrono::system_clock;

// helm's own record of one revision.
struct Record {
  kube::Place at;
  std::string uid = {};
  std::string resource_version = {};
  seconds age{0};
};

seconds age_of(const std::string& created) {
  std::istringstream in(created);
  std::chrono::sys_seconds time;
  in >> std::chrono::parse("%FT%TZ", time);
  if (!in) return 0s;
  return std::max<seconds>(0s, std::chrono::floor<seconds>(system_clock::now()) - time);
}

// Only its metadata is read: the rest is what was installed, with its values.
net::Task<Result<Record>> find_record(kube::Client& client, Release release, int revision) {
  Record record{.at = {.of = {.plural = "secrets"},
                       .ns = release.cluster.system_namespace,
                       .name = culvert::format("sh.helm.release.v1.{}.v{}", release.name, revision)}};
  kube::Request request = kube::get(record.at);
  request.metadata = true;
  const auto answer = co_await client.call(request);
  if (!answer)
    co_return std::unexpected(
        Error(answer.error())
            .during(
                culvert::format("looking for helm's record of release {} (if HELM_DRIVER says that records are kept elsewhere, "
                                "delete that of revision {} there)",
                                release.name, revision)));
  boost::system::error_code error;
  const json::value object = json::parse(answer->body, error);
  if (error) co_return failure(request.text() + ": the answer is no JSON");
  record.uid = text_at(object, "/metadata/uid");
  record.resource_version = text_at(object, "/metadata/resourceVersion");
  record.age = age_of(text_at(object, "/metadata/creationTimestamp"));
  co_return record;
}

// Fails if somebody has written it since it was read: then somebody is at work.
net::Task<Status> forget(kube::Client& client, Record record) {
  kube::Request request = kube::remove(record.at);
  request.content_type = "application/json";
  request.body =
      json::serialize(json::object{{"apiVersion", "v1"},
                                   {"kind", "DeleteOptions"},
                                   {"preconditions", {{"uid", record.uid}, {"resourceVersion", record.resource_version}}}});
  const auto answer = co_await client.call(request);
  if (!answer) co_return std::unexpected(answer.error());
  co_return Status();
}

std::string what_of(const Release& release, const Installed& installed, const Record& record) {
  return culvert::format("Release {} is {} (revision {}) since {}: another helm is at work on it, or was killed half way.",
                         release.name, installed.status, installed.revision, settings::print_duration(record.age));
}

// Waits while that helm may still be at work. What is there then.
Result<Installed> wait_for_it(const Options& options, Installed installed, seconds age) {
  const Release& release = options.change.release;
  const auto timeout = settings::parse_duration(options.change.timeout);
  if (!timeout) return std::unexpected(Error(timeout.error()).during("reading --timeout"));
  const auto left = std::chrono::ceil<seconds>(*timeout) - age;
  const auto end = std::chrono::steady_clock::now() + left;
  if (left > 0s)
    std::fprintf(stderr, "culvert: waits for it, %s at most; then it counts as dead\n", settings::print_duration(left).c_str());
  for (const int revision = installed.revision; std::chrono::steady_clock::now() < end;) {
    std::this_thread::sleep_for(1s);
    auto now = ask_helm(release);
    if (!now) return now;
    installed = std::move(*now);
    if (!is_pending(installed) || installed.revision != revision) break;
  }
  return installed;
}

}  // namespace

bool is_pending(const Installed& installed) { return installed.status.starts_with("pending-"); }

Result<Installed> settle(const Options& options, Installed installed) {
  const Release& release = options.change.release;
  if (installed.status == "uninstalling")
    return failure(culvert::format(
        "release {} is being uninstalled (revision {}) by another helm, or by one that was killed half way (`culvert uninstall` "
        "finishes that)",
        release.name, installed.revision));
  if (!is_pending(installed) || options.change.dry_run != DryRun::kNo) return installed;
  net::Loop loop;
  const auto cluster = Cluster::open(loop, release.cluster);
  if (!cluster) return std::unexpected(cluster.error());
  auto record = loop.run(find_record(cluster->client(), release, installed.revision));
  if (!record) return std::unexpected(std::move(record).error());
  const std::string what = what_of(release, installed, *record);
  if (options.yes) {
    std::fprintf(stderr, "culvert: %s\n", what.c_str());
    const int revision = installed.revision;
    auto now = wait_for_it(options, std::move(installed), record->age);
    if (!now || !is_pending(*now)) return now;
    if (now->revision != revision) return failure(culvert::format("release {}: another helm has begun on it", release.name));
  } else if (!confirmed(what + " Is none at work? What it has begun is then finished by this one.", false)) {
    return failure(culvert::format("release {} stays {}", release.name, installed.status));
  }
  if (auto done = loop.run(forget(cluster->client(), std::move(*record))); !done)
    return std::unexpected(Error(done.error()).during("taking over release " + release.name));
  std::fprintf(stderr, "culvert: takes over what was begun\n");
  return ask_helm(release);
}

}  // namespace culvert::cli::install
