#include "cli/install/install.h"

#include <boost/json.hpp>
#include <cstdio>
#include <utility>

#include "cli/install/ask.h"
#include "cli/install/charts.h"
#include "cli/install/diff.h"
#include "cli/install/pending.h"
#include "cli/install/progress.h"
#include "cli/objects/objects.h"
#include "common/base/format.h"
#include "common/base/version.h"

namespace culvert::cli::install {
namespace {

namespace fs = std::filesystem;

constexpr int kSame = 0, kDiffers = 1, kCannotTell = 2;  // as `kubectl diff` and `diff`

// The chart and the profile's file into what helm is told.
Result<Chart> prepare(Options& options) {
  auto chart = find_chart(options.charts, usual_places(fs::read_symlink("/proc/self/exe")));
  if (!chart) return chart;
  options.change.chart = chart->path.string();
  if (!options.profile.empty()) {
    auto file = profile_of(*chart, options.profile);
    if (!file) return std::unexpected(std::move(file).error());
    auto& files = options.change.values.files;
    files.insert(files.begin(), file->string());
  }
  std::fprintf(stderr, "culvert: chart %s, version %s\n", chart->path.c_str(), chart->version.c_str());
  if (chart->version != kVersion)
    std::fprintf(stderr, "culvert: this program is %s: another version than the chart\n", std::string(kVersion).c_str());
  return chart;
}

// Runs helm on our terminal and says meanwhile how far it is.
int run(const Options& options, const Words& words) {
  const bool waits = options.change.wait && options.change.dry_run == DryRun::kNo;
  Progress progress(options.change.release);
  const auto code = pass_on(words, waits ? [&progress] { progress.look(); } : std::function<void()>());
  if (!code) return complain(without_helm(code.error()));
  return *code;
}

std::string place_of(const Options& options) {
  return culvert::format("namespace {} of {}", options.change.release.cluster.system_namespace,
                         server_of(options.change.release.cluster));
}

Result<Installed> what_is_there(const Options& options) {
  auto installed = ask_helm(options.change.release);
  return installed ? settle(options, std::move(*installed)) : installed;
}

// The YAML of a release that helm has rendered and not installed.
Result<std::string> rendered(const Options& options, bool install) {
  const auto said = listen_to(rendered_words(options.change, install));
  if (!said) return std::unexpected(without_helm(said.error()));
  if (said->code != 0) return failure("rendering the charts: " + said->err);
  boost::system::error_code error;
  const auto value = boost::json::parse(said->out, error);
  if (error || at(value, "/manifest") == nullptr) return failure("rendering the charts: helm's answer has no manifest");
  return text_at(value, "/manifest");
}

// Of a release that is not there: nothing.
Result<std::string> of_cluster(const Options& options) {
  const auto installed = ask_helm(options.change.release);
  if (!installed) return std::unexpected(installed.error());
  if (!installed->exists) return std::string();
  const auto said = listen_to(manifest_words(options.change.release));
  if (!said) return std::unexpected(without_helm(said.error()));
  if (said->code != 0) return failure("reading what is installed: " + said->err);
  return said->out;
}

Result<std::string> compared(const Options& options, bool install) {
  const auto has = of_cluster(options);
  if (!has) return has;
  const auto wanted = rendered(options, install);
  if (!wanted) return wanted;
  const auto before = read_manifest(*has), after = read_manifest(*wanted);
  if (!before) return std::unexpected(Error(before.error()).during("reading what is installed"));
  if (!after) return std::unexpected(Error(after.error()).during("reading what helm renders"));
  return difference(*before, *after);
}

int show_difference(const Options& options, bool install) {
  const auto said = compared(options, install);
  if (!said) return complain(said.error()), kCannotTell;
  std::fputs(said->c_str(), stdout);
  return said->empty() ? kSame : kDiffers;
}

}  // namespace

int install(Options options) {
  const auto chart = prepare(options);
  if (!chart) return complain(chart.error());
  const auto installed = what_is_there(options);
  if (!installed) return complain(installed.error());
  std::string question = culvert::format("This installs Culvert {} into {}", chart->version, place_of(options));
  question += options.profile.empty() ? "." : culvert::format(", profile {}.", options.profile);
  if (installed->exists)
    question += culvert::format(
        "\nRelease {} is there (revision {}, {}): what was set then and is not said again is forgotten; `culvert upgrade` keeps "
        "it.",
        options.change.release.name, installed->revision, installed->status);
  if (options.change.dry_run == DryRun::kNo && !confirmed(question, options.yes)) return 1;
  const int code = run(options, install_words(options.change));
  if (code == 0 && options.change.dry_run == DryRun::kNo)
    std::fprintf(stderr, "culvert: installed; `culvert verify-install` looks whether all of it works\n");
  return code;
}

int upgrade(Options options) {
  const auto chart = prepare(options);
  if (!chart) return complain(chart.error()), options.diff ? kCannotTell : 1;
  if (options.diff) return show_difference(options, false);
  const auto installed = what_is_there(options);
  if (!installed) return complain(installed.error());
  const Release& release = options.change.release;
  if (!installed->exists)
    return complain({culvert::format(
        "upgrading {}: namespace {} has no release of that name (`culvert install` installs one; --namespace says where)",
        release.name, release.cluster.system_namespace)});
  const std::string question = culvert::format(
      "This upgrades Culvert to {} in {}, revision {} of release {}; {}.", chart->version, place_of(options), installed->revision,
      release.name, options.change.reset_values ? "what was set before is forgotten" : "what was set before stays");
  if (options.change.dry_run == DryRun::kNo && !confirmed(question, options.yes)) return 1;
  return run(options, upgrade_words(options.change));
}

int generate(Options options) {
  const auto chart = prepare(options);
  if (!chart) return complain(chart.error());
  options.change.wait = false;
  return run(options, template_words(options.change, options.output_folder));
}

int diff(Options options) {
  const auto chart = prepare(options);
  if (!chart) return complain(chart.error()), kCannotTell;
  return show_difference(options, true);
}

}  // namespace culvert::cli::install
