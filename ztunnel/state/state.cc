#include "ztunnel/state/state.h"

#include <filesystem>
#include <utility>

#include "common/base/log.h"
#include "ztunnel/state/credentials.h"
#include "ztunnel/state/node.h"

namespace culvert::ztunnel {

State::State(net::Loop& loop, const Settings& settings, std::function<void()> changed)
    : loop_(loop),
      settings_(settings),
      changed_(std::move(changed)),
      builder_(settings.preferred_service_namespace),
      mesh_(loop, builder_.build()) {}

State::~State() = default;

Status State::start() { return settings_.local_xds_path.empty() ? start_ads() : start_file(); }

Status State::start_file() {
  auto opened = xds::LocalFile::open(
      loop_, settings_.local_xds_path.string(),
      [this](xds::Update update) {
        file_problem_.clear();
        apply(std::move(update), {});
      },
      [this](const Error& error) {
        file_problem_ = error.text;
        log::error("state", "the configuration file is refused, its last good version stays in force: " + error.text);
      });
  if (!opened) return std::unexpected(std::move(opened).error());
  file_.emplace(std::move(*opened));
  return {};
}

Status State::start_ads() {
  if (settings_.xds_address.empty())
    return failure("neither XDS_ADDRESS nor LOCAL_XDS_PATH is set: nothing says what the mesh is");
  const auto variables = environment();
  auto headers = extra_headers("XDS_HEADER_", variables);
  if (!headers) return std::unexpected(std::move(headers).error());
  xds::AdsOptions options;
  options.address = settings_.xds_address;
  options.name = settings_.alt_xds_hostname;
  options.credentials = credentials_for(settings_, settings_.xds_root_ca, std::move(*headers));
  options.node = node_of(settings_, variables);
  ads_ = std::make_unique<xds::AdsClient>(
      loop_, std::move(options),
      [this](xds::Update update, xds::AdsClient::Acknowledge acknowledge) { apply(std::move(update), std::move(acknowledge)); });
  return {};
}

// An update that changes nothing takes the same way: it must not be in force before those that came earlier.
void State::apply(xds::Update update, Done in_force) {
  const bool empty = update.empty() && waiting_.empty();
  std::move(update).apply_to(builder_);
  if (in_force) waiting_.push_back(std::move(in_force));
  if (ads_ && !ads_->ready()) return;
  auto next = empty ? mesh_.get() : builder_.build();
  if (!empty) {
    log::info("state", "configuration changed",
              {log::field("workloads", next->workload_count()), log::field("services", next->service_count()),
               log::field("policies", next->policy_count())});
  }
  mesh_.publish(std::move(next), [this, told = std::exchange(waiting_, {})]() mutable {
    in_force_ = true;
    for (Done& each : told) each();
    changed_();
  });
}

std::string State::problem() const { return ads_ ? ads_->problem() : file_problem_; }

xds::AdsCounters State::counters() const { return ads_ ? ads_->counters() : xds::AdsCounters{}; }

}  // namespace culvert::ztunnel
