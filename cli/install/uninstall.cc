#include <cstdio>
#include <utility>

#include "cli/install/ask.h"
#include "cli/install/install.h"
#include "cli/install/purge.h"
#include "common/base/format.h"

namespace culvert::cli::install {
namespace {

struct Found {
  Members members;
  Leftovers leftovers;
};

net::Task<Result<Found>> look(kube::Client& client, const Options& options) {
  Found found;
  auto members = co_await find_members(client);
  if (!members) co_return std::unexpected(std::move(members).error());
  found.members = std::move(*members);
  if (!options.purge) co_return found;
  auto leftovers = co_await find_leftovers(client, options.change.release.cluster.system_namespace);
  if (!leftovers) co_return std::unexpected(std::move(leftovers).error());
  found.leftovers = std::move(*leftovers);
  co_return found;
}

std::string question_of(const Options& options, const Installed& installed, const Found& found) {
  const Release& release = options.change.release;
  std::string question;
  if (installed.exists)
    question +=
        culvert::format("This uninstalls release {} (revision {}, {}) from namespace {} of {}.\n", release.name,
                        installed.revision, installed.status, release.cluster.system_namespace, server_of(release.cluster));
  else
    question += culvert::format("Release {} is not in namespace {} of {}.\n", release.name, release.cluster.system_namespace,
                                server_of(release.cluster));
  if (found.members.pods > 0)
    question += culvert::format(
        "{} pods are in the mesh ({}): they leave it first, without a restart. From then on their connections are neither "
        "encrypted nor checked.\n",
        found.members.pods, found.members.by_namespace);
  if (options.purge)
    question += "Then this is deleted:\n" +
                (found.leftovers.empty() && found.leftovers.kept.empty() ? "  nothing\n" : found.leftovers.text());
  return question;
}

// What is left is asked for again: helm's hooks have deleted some of it.
int purge_now(kube::Client& client, net::Loop& loop, const Options& options, const Found& before) {
  auto members = loop.run(find_members(client));
  if (!members) return complain(members.error());
  if (members->pods > 0 && before.members.pods > 0)
    return complain({culvert::format(
        "{} pods ({}) still say that they are in the mesh: nothing more is deleted (is another release of Culvert, "
        "or Istio, here?)",
        members->pods, members->by_namespace)});
  const auto planes = loop.run(find_planes(client));
  if (!planes) return complain(planes.error());
  if (!planes->empty())
    return complain(
        {culvert::format("a control plane goes on ({}) and needs what is left: nothing more is deleted (uninstall its "
                         "release as well, then say this again)",
                         *planes)});
  auto leftovers = loop.run(find_leftovers(client, options.change.release.cluster.system_namespace));
  if (!leftovers) return complain(leftovers.error());
  if (auto done = loop.run(purge(client, std::move(*leftovers))); !done) return complain(done.error());
  std::printf("Culvert is gone. Namespace %s stays, and labels istio.io/dataplane-mode where you have set them.\n",
              options.change.release.cluster.system_namespace.c_str());
  return 0;
}

}  // namespace

int uninstall(const Options& options) {
  const Release& release = options.change.release;
  net::Loop loop;
  const auto cluster = Cluster::open(loop, release.cluster);
  if (!cluster) return complain(cluster.error());
  kube::Client& client = cluster->client();
  const auto installed = ask_helm(release);
  if (!installed) return complain(installed.error());
  if (!installed->exists && !options.purge)
    return complain({culvert::format(
        "uninstalling {}: namespace {} has no release of that name (--namespace says where; --purge removes what one has left)",
        release.name, release.cluster.system_namespace)});
  const auto found = loop.run(look(client, options));
  if (!found) return complain(found.error());
  const std::string question = question_of(options, *installed, *found);
  const bool dry = options.change.dry_run != DryRun::kNo;
  if (dry || options.yes) std::fputs(question.c_str(), stdout);
  std::fflush(stdout);
  if (!dry && !confirmed(question, options.yes)) return 1;
  if (installed->exists) {
    const auto code = pass_on(uninstall_words(options.change));
    if (!code) return complain(without_helm(code.error()));
    if (*code != 0) return *code;
  }
  return options.purge && !dry ? purge_now(client, loop, options, *found) : 0;
}

}  // namespace culvert::cli::install
