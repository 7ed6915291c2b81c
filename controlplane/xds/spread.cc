#include "controlplane/xds/spread.h"

#include <algorithm>
#include <utility>

#include "common/base/format.h"

namespace culvert::controlplane {

Spread::Spread(telemetry::Registry& registry, std::string name, std::string help, std::vector<double> bounds)
    : bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {
  registry.collect([this, name = std::move(name), help = std::move(help)](std::vector<telemetry::Family>& families) {
    telemetry::Family family{.name = name, .help = help, .kind = telemetry::Kind::kHistogram, .samples = {}};
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      total += counts_[i];
      const std::string bound = i < bounds_.size() ? culvert::format("{}", bounds_[i]) : "+Inf";
      family.samples.push_back({.suffix = "_bucket", .labels = {{"le", bound}}, .value = static_cast<double>(total)});
    }
    family.samples.push_back({.suffix = "_sum", .labels = {}, .value = sum_});
    family.samples.push_back({.suffix = "_count", .labels = {}, .value = static_cast<double>(total)});
    families.push_back(std::move(family));
  });
}

void Spread::add(double value) {
  ++counts_[static_cast<std::size_t>(std::ranges::lower_bound(bounds_, value) - bounds_.begin())];
  sum_ += value;
}

}  // namespace culvert::controlplane
