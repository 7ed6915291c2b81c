#include "common/kube/lease.h"

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <random>
#include <tuple>
#include <utility>

#include "common/base/format.h"
#include "common/base/log.h"
#include "common/kube/json.h"
#include "common/kube/object.h"
#include "common/net/timer.h"

namespace culvert::kube {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;

std::string micro_time() { return rfc3339(std::chrono::system_clock::now(), Fraction::kMicros); }

}  // namespace

Result<LeaseRecord> read_lease(std::string_view object) {
  boost::system::error_code failed;
  const json::value value = json::parse(object, failed);
  if (failed || !value.is_object()) return failure("the answer is no Lease");
  LeaseRecord record{.holder = "", .renewed = "", .resource_version = meta_of(object).resource_version};
  if (record.resource_version.empty()) return failure("the answer is no Lease");
  const auto* spec = value.as_object().if_contains("spec");
  if (spec == nullptr || !spec->is_object()) return record;  // nobody's yet
  record.holder = text_at(spec->as_object(), "holderIdentity");
  record.renewed = text_at(spec->as_object(), "renewTime");
  record.duration = std::chrono::seconds(number_at(spec->as_object(), "leaseDurationSeconds"));
  record.transitions = number_at(spec->as_object(), "leaseTransitions");
  return record;
}

LeaseMove lease_move(const LeaseRecord& record, std::string_view identity, milliseconds still) {
  if (record.holder == identity) return LeaseMove::kRenew;
  return record.holder.empty() || still >= record.duration ? LeaseMove::kTake : LeaseMove::kWait;
}

struct Lease::State {
  State(Client& its_client, LeaseOptions its_options, Changed its_changed)
      : client(its_client), options(std::move(its_options)), changed(std::move(its_changed)), expiry(client.loop()) {}

  net::Task<> run();
  net::Task<Status> look();
  net::Task<Status> write(Request request);
  std::string spec(std::string_view holder, const LeaseRecord* before) const;
  Place place(std::string name) const {
    return {.of = {.group = "coordination.k8s.io", .plural = "leases"}, .ns = options.ns, .name = std::move(name)};
  }
  Request limited(Request request) const {
    request.timeout = options.duration / 3;
    request.urgent = true;  // whatever else is asked meanwhile: who leads must not be lost by waiting
    return request;
  }
  void lead(bool now_leading);

  Client& client;
  LeaseOptions options;
  Changed changed;
  net::Timer expiry;  // of what we may think
  LeaseRecord seen;
  net::Clock::time_point seen_since;
  bool leading = false;
  net::Clock::time_point until;  // of `leading`: `expiry` is late where the process has stood still
  std::string complaint;
  std::minstd_rand random{std::random_device{}()};
  net::Task<> life;
};

void Lease::State::lead(bool now_leading) {
  if (std::exchange(leading, now_leading) != now_leading) changed(now_leading);
}

// The whole object when there was none; else a merge patch that holds only for the version that was seen.
std::string Lease::State::spec(std::string_view holder, const LeaseRecord* before) const {
  const bool given_up = holder.empty();
  const bool ours = before != nullptr && before->holder == options.identity;
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(options.duration).count();
  const std::string now = micro_time();
  json::object says{{"holderIdentity", holder}, {"leaseDurationSeconds", given_up ? 1 : seconds}, {"renewTime", now}};
  if (!ours) says["acquireTime"] = now;
  if (!ours) says["leaseTransitions"] = before == nullptr ? 0 : before->transitions + 1;
  json::object metadata{{"name", options.name}, {"namespace", options.ns}};
  if (before != nullptr) metadata["resourceVersion"] = before->resource_version;
  return json::serialize(json::object{
      {"apiVersion", "coordination.k8s.io/v1"}, {"kind", "Lease"}, {"metadata", std::move(metadata)}, {"spec", std::move(says)}});
}

net::Task<> Lease::State::run() {
  co_await client.loop().yield();
  for (;;) {
    auto looked = co_await look();
    const std::string said = looked ? std::string() : looked.error().text;
    if (std::exchange(complaint, said) != said && !said.empty()) log::warn("kube", "the lease of the leader: " + said);
    // Candidates that began together should not go on together.
    const auto jitter = std::uniform_int_distribution<milliseconds::rep>(0, options.retry.count() / 5)(random);
    co_await net::sleep_for(client.loop(), options.retry + milliseconds(jitter));
  }
}

// Looks at the lease, and does what has to be done. Fails when we do not know how it stands.
net::Task<Status> Lease::State::look() {
  auto answer = co_await client.exchange(limited(get(place(options.name))));
  if (!answer) co_return std::unexpected(std::move(answer).error());
  if (answer->status == 404) co_return co_await write(limited(create(place(""), spec(options.identity, nullptr))));
  if (!is_success(answer->status)) co_return std::unexpected(refusal(get(place(options.name)), answer->status, answer->body));
  auto record = read_lease(answer->body);
  if (!record) co_return std::unexpected(std::move(record).error());
  const auto now = net::Clock::now();
  if (record->resource_version != seen.resource_version) seen_since = now;
  seen = std::move(*record);
  const auto still = std::chrono::duration_cast<milliseconds>(now - seen_since);
  switch (lease_move(seen, options.identity, still)) {
    case LeaseMove::kWait:
      expiry.cancel();
      lead(false);
      co_return Status();
    case LeaseMove::kRenew:
    case LeaseMove::kTake: break;
  }
  co_return co_await write(limited(merge(place(options.name), spec(options.identity, &seen))));
}

// We lead from when we asked for as long as nobody else can think that he does, and a good deal less.
net::Task<Status> Lease::State::write(Request request) {
  const auto asked = net::Clock::now();
  auto answer = co_await client.exchange(request);
  if (!answer) co_return std::unexpected(std::move(answer).error());
  if (answer->status == 409) co_return Status();  // somebody was faster: the next look shows who
  if (!is_success(answer->status)) co_return std::unexpected(refusal(request, answer->status, answer->body));
  if (auto record = read_lease(answer->body)) {
    seen = std::move(*record);
    seen_since = net::Clock::now();
  }
  const auto now = net::Clock::now();
  if (now >= until)
    lead(false);  // it was over before `expiry` could say so: whoever asked meanwhile waits to hear that we lead again
  until = asked + options.duration * 2 / 3;
  const auto left = until - now;
  if (left <= net::Clock::duration::zero()) co_return failure("writing it took too long");
  expiry.arm(left, [this] { lead(false); });
  lead(true);
  co_return Status();
}

Lease::Lease(Client& client, LeaseOptions options, Changed changed)
    : state_(std::make_unique<State>(client, std::move(options), std::move(changed))) {
  state_->life = state_->run();
  state_->life.start();
}

Lease::~Lease() = default;

bool Lease::leading() const { return state_->leading && net::Clock::now() < state_->until; }
const std::string& Lease::holder() const { return state_->seen.holder; }

net::Task<> Lease::release() {
  State& state = *state_;
  state.life = {};
  state.expiry.cancel();
  if (!state.leading) co_return;
  state.lead(false);
  for (int tries = 0; tries < 2; ++tries) {
    const auto answer =
        co_await state.client.exchange(state.limited(merge(state.place(state.options.name), state.spec("", &state.seen))));
    if (!answer || answer->status != 409) co_return;
    // A renewal of ours was on its way.
    const auto now = co_await state.client.exchange(state.limited(get(state.place(state.options.name))));
    auto record = now && is_success(now->status) ? read_lease(now->body) : failure("");
    if (!record || record->holder != state.options.identity) co_return;
    state.seen = std::move(*record);
  }
}

}  // namespace culvert::kube
