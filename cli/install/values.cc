#include "cli/install/values.h"

#include <algorithm>
#include <array>
#include <optional>

#include "common/base/format.h"

namespace culvert::cli::install {
namespace {

constexpr std::string_view kValues = "values.", kComponents = "components.";

// Of istiod's chart, which is ours under a name of its own.
constexpr std::array<std::string_view, 9> kOfControlPlane = {"meshConfig",   "revision",         "revisionTags",
                                                             "env",          "autoscaleEnabled", "autoscaleMin",
                                                             "autoscaleMax", "replicaCount",     "serviceMonitor"};

bool begins(std::string_view key, std::string_view word) {
  return key.starts_with(word) && (key.size() == word.size() || std::string_view(".[={").contains(key[word.size()]));
}

std::optional<std::string> ours_for(std::string_view key) {
  if (key.starts_with(kValues)) {
    const std::string rest(key.substr(kValues.size()));
    return ours_for(rest).value_or(rest);
  }
  if (begins(key, "pilot")) return "controlplane" + std::string(key.substr(std::string_view("pilot").size()));
  if (std::ranges::any_of(kOfControlPlane, [&](std::string_view word) { return begins(key, word); }))
    return "controlplane." + std::string(key);
  return std::nullopt;
}

std::string said_of(std::string_view flag, const std::string& value) {
  const std::string key = value.substr(0, value.find('='));
  if (key.starts_with(kComponents) || key == "profile" || key == "hub" || key == "tag") {
    const char* instead = key == "profile" ? "--profile NAME"
                          : key == "hub"   ? "global.hub"
                          : key == "tag"   ? "global.tag"
                                           : "cni.enabled, ztunnel.enabled";
    return culvert::format("{} {}: there is no such value (write {})", flag, key, instead);
  }
  const auto ours = ours_for(key);
  return ours ? culvert::format("{} {}: the chart calls it {}", flag, key, *ours) : "";
}

}  // namespace

std::string istio_word(const Values& values) {
  const std::array<std::pair<std::string_view, const std::vector<std::string>*>, 4> all = {{{"--set", &values.set},
                                                                                            {"--set-string", &values.set_string},
                                                                                            {"--set-file", &values.set_file},
                                                                                            {"--set-json", &values.set_json}}};
  for (const auto& [flag, given] : all)
    for (const std::string& value : *given)
      if (auto said = said_of(flag, value); !said.empty()) return said;
  return "";
}

}  // namespace culvert::cli::install
