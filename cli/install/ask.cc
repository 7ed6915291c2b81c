#include "cli/install/ask.h"

#include <boost/json.hpp>
#include <cstdio>
#include <iostream>
#include <utility>

#include "cli/objects/objects.h"
#include "common/base/format.h"

namespace culvert::cli::install {

int complain(const Error& error) {
  std::fprintf(stderr, "culvert: %s\n", error.text.c_str());
  return 1;
}

Error without_helm(Error error) {
  error.text += " (put Helm 4, or 3.14 and newer, into a folder of PATH)";
  return error;
}

bool confirmed(const std::string& question, bool yes) {
  if (yes) return true;
  std::printf("%s Proceed? (y/N) ", question.c_str());
  std::fflush(stdout);
  std::string line;
  std::getline(std::cin, line);
  const bool agreed = line == "y" || line == "Y" || line == "yes";
  if (std::cin.eof() && line.empty()) std::printf("\n");
  if (!agreed) std::fprintf(stderr, "culvert: nothing was changed (answer y, or say -y)\n");
  return agreed;
}

Result<Installed> ask_helm(const Release& release) {
  const auto said = listen_to(status_words(release));
  if (!said) return std::unexpected(without_helm(said.error()));
  if (said->code != 0) {
    if (said->err.contains("not found")) return Installed{};
    std::string text = said->err;
    while (text.ends_with('\n')) text.pop_back();
    if (text.contains("is forbidden"))
      text += " (helm keeps a release in Secrets; `culvert precheck` says what else you may not)";
    return failure(culvert::format("asking helm for release {} in {}: {}", release.name, release.cluster.system_namespace, text));
  }
  boost::system::error_code error;
  const auto value = boost::json::parse(said->out, error);
  if (error) return failure("asking helm for release " + release.name + ": its answer is no JSON");
  return Installed{true, static_cast<int>(number_at(value, "/version")), text_at(value, "/info/status")};
}

std::string server_of(const ClusterFlags& cluster) {
  net::Loop loop;
  const auto opened = Cluster::open(loop, cluster);
  return opened ? "https://" + opened->client().server().authority() : "the cluster that helm finds";
}

}  // namespace culvert::cli::install
