#include "common/xds/ads_client.h"

#include <algorithm>
#include <optional>
#include <random>
#include <utility>

#include "common/base/log.h"
#include "common/net/timer.h"
#include "common/rpc/client.h"
#include "common/xds/codec.h"
#include "common/xds/subscription.h"

namespace culvert::xds {
namespace {

using namespace std::chrono_literals;

constexpr net::Clock::duration kFirstDelay = 10ms;
constexpr net::Clock::duration kLongestDelay = 15s;

// gRPC's status codes with which streams end that were well.
constexpr int kCancelled = 1;
constexpr int kUnknown = 2;
constexpr int kInvalidArgument = 3;
constexpr int kDeadlineExceeded = 4;
constexpr int kUnavailable = 14;
bool ends_normally(int code) {
  return code == kCancelled || code == kUnknown || code == kDeadlineExceeded || code == kUnavailable;
}

Update update_of(Subscription<Address>::Applied&& applied) {
  Update update;
  for (Address& address : applied.changed) {
    if (auto* workload = std::get_if<model::Workload>(&address)) update.workloads.push_back(std::move(*workload));
    else update.services.push_back(std::move(std::get<model::Service>(address)));
  }
  update.removed_addresses = std::move(applied.removed);
  return update;
}

Update update_of(Subscription<model::Policy>::Applied&& applied) {
  Update update;
  update.policies = std::move(applied.changed);
  update.removed_policies = std::move(applied.removed);
  return update;
}

}  // namespace

struct AdsClient::State : std::enable_shared_from_this<AdsClient::State> {
  State(net::Loop& on, AdsOptions with, OnUpdate then)
      : loop(on), options(std::move(with)), on_update(std::move(then)), retry(on) {}

  void connect() {
    answered = false;
    ++generation;
    auto metadata = options.credentials.metadata();
    auto roots = options.credentials.roots_pem();
    auto address = rpc::parse_address(options.address);
    for (const Error* error :
         {metadata ? nullptr : &metadata.error(), roots ? nullptr : &roots.error(), address ? nullptr : &address.error()}) {
      if (!error) continue;
      ++counters.connection_errors;
      return again("connecting to " + options.address + ": " + error->text);
    }
    const rpc::Channel channel({*address, std::move(*roots), options.name});
    stream.emplace(loop, channel, std::string(kAdsPath), *metadata,
                   rpc::Stream::Events{[this](const std::string& message) { hear(message); },
                                       [this](const rpc::Ended& how) { ended(how); }});
    for (Request request : {addresses.open(), policies.open()}) {
      request.node = options.node;
      stream->send(encode(request));
    }
  }

  // What we hold is said from now on in the way that every server knows.
  void say_versions() {
    addresses.say_versions();
    policies.say_versions();
  }

  // The stream is over, for how we said it: another one at once.
  void say_again(const Error& why) {
    say_versions();
    ++counters.reconnects;
    delay = kFirstDelay;
    again("the stream to " + options.address + ": " + why.text);
  }

  // Tries again after a while. The delay grows until a stream has worked, which is one that was answered and did not end with an error; it is
  // spread, so that the nodes of a cluster do not come all at one time.
  void again(std::string why) {
    if (problem != why || delay >= 1s) log::warn("xds", "no configuration stream", {log::field("error", why)});
    problem = std::move(why);
    stream.reset();
    const double spread = std::uniform_real_distribution(0.8, 1.2)(random);
    retry.arm(std::chrono::duration_cast<net::Clock::duration>(delay * spread), [this] { connect(); });
    delay = std::min(delay * 2, kLongestDelay);
  }

  void ended(const rpc::Ended& how) {
    if (how.ok()) ++counters.completes;
    else if (!answered && how.code == kUnavailable) ++counters.connection_errors;
    else if (answered && ends_normally(how.code)) ++counters.reconnects;
    else ++counters.errors;
    if (answered && (how.ok() || ends_normally(how.code))) delay = kFirstDelay;
    if (how.code == kInvalidArgument) say_versions();  // it may be the sums that it cannot read
    again((answered ? "the stream to " : "connecting to ") + options.address + " ended: " + how.describe());
  }

  void hear(const std::string& message) {
    auto response = decode_response(message);
    if (!response) {
      ++counters.errors;
      return again("the stream to " + options.address + ": " + response.error().text);
    }
    ++counters.messages[response->type_url];
    counters.message_bytes[response->type_url] += message.size();
    if (!std::exchange(answered, true)) {
      log::info("xds", "configuration stream is up", {log::field("server", options.address)});
      problem.clear();
    }
    if (response->type_url == kAddressType) take(addresses, std::move(*response));
    else if (response->type_url == kAuthorizationType) take(policies, std::move(*response));
    else log::warn("xds", "a response of a type that was not asked for", {log::field("type", response->type_url)});
  }

  template <class T>
  void take(Subscription<T>& subscription, Response&& response) {
    const auto question = subscription.question(response);
    if (!question) return say_again(question.error());
    if (*question) return stream->send(encode(**question));
    auto applied = subscription.apply(std::move(response));
    Request reply = std::move(applied.reply);
    if (!reply.error.empty())
      log::warn("xds", "refused a resource", {log::field("type", reply.type_url), log::field("error", reply.error)});
    on_update(update_of(std::move(applied)), [weak = weak_from_this(), reply = std::move(reply), asked = generation] {
      const auto state = weak.lock();
      if (state && state->stream && state->generation == asked) state->stream->send(encode(reply));
    });
  }

  net::Loop& loop;
  AdsOptions options;
  OnUpdate on_update;
  Subscription<Address> addresses{kAddressType, decode_address};
  Subscription<model::Policy> policies{kAuthorizationType, decode_policy, unreadable_policy};
  AdsCounters counters;
  net::Timer retry;
  net::Clock::duration delay = kFirstDelay;
  std::minstd_rand random{std::random_device{}()};
  std::optional<rpc::Stream> stream;
  std::uint64_t generation = 0;  // of the stream: an acknowledgement belongs to the one that its response came on
  bool answered = false;         // the present stream has been
  std::string problem = "not connected yet";
};

AdsClient::AdsClient(net::Loop& loop, AdsOptions options, OnUpdate on_update)
    : state_(std::make_shared<State>(loop, std::move(options), std::move(on_update))) {
  state_->connect();
}

AdsClient::~AdsClient() {
  state_->retry.cancel();
  state_->stream.reset();
}

bool AdsClient::ready() const { return state_->addresses.answered() && state_->policies.answered(); }
bool AdsClient::connected() const { return state_->answered && state_->stream.has_value(); }
std::string AdsClient::problem() const { return state_->problem; }

AdsCounters AdsClient::counters() const {
  AdsCounters out = state_->counters;
  out.refused_resources = state_->addresses.refused() + state_->policies.refused();
  return out;
}

}  // namespace culvert::xds
