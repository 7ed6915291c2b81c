#include "cni/agent/member.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "cni/agent/probes.h"
#include "cni/agent/scope.h"
#include "common/base/format.h"
#include "common/base/log.h"

namespace culvert::agent {
namespace {

using namespace std::chrono_literals;

constexpr net::Clock::duration kFirstRetry = 500ms;
constexpr net::Clock::duration kLastRetry = 15s;

constexpr std::string_view kEnrolled = "in the mesh: what it sends and receives goes through ztunnel";
constexpr std::string_view kMissed =
    "in the mesh from now on. It ran outside until now, since culvert-cni was not called when it started: was the mesh installed "
    "later, or has another component rewritten the node's CNI configuration?";

bool says_enabled(const config::Pod& pod) {
  return config::value_of(pod.metadata.annotations, kRedirection) == name(Redirection::kEnabled);
}

}  // namespace

Member::Member(Surroundings& surroundings, std::string uid, std::optional<bpf::Captured> captured)
    : around_(surroundings),
      uid_(std::move(uid)),
      captured_(captured.has_value()),
      changed_(surroundings.loop),
      progress_(surroundings.loop) {
  if (!captured) return;
  cookie_ = captured->netns_cookie;
  inode_ = captured->netns_inode;
}

void Member::wish(std::shared_ptr<const config::Pod> pod, Decision decision, bool late) {
  const auto concerns_us = [](const config::Pod& p) {
    return std::tuple(p.addresses, p.spec.service_account, config::value_of(p.metadata.annotations, kNetnsAnnotation),
                      probe_ports(p));
  };
  const bool same = pod_ != nullptr && pod_exists_ && concerns_us(*pod) == concerns_us(*pod_) && decision == decision_;
  const bool first = pod_ == nullptr;
  late_ = late_ || late;
  const bool robbed = !first && says_enabled(*pod_) && !says_enabled(*pod);  // somebody has taken our annotation away
  pod_ = std::move(pod);
  decision_ = std::move(decision);
  pod_exists_ = true;
  name_ = pod_->metadata.name_space + "/" + pod_->metadata.name;
  if (!same || robbed) change();
  if (!first) return;
  if (captured_) around_.zds.add(zds_pod(), nullptr);  // ztunnel keeps what it has, whatever comes between
  around_.loop.spawn(live(shared_from_this()));
}

void Member::pod_deleted() {
  pod_exists_ = false;
  change();
}

void Member::hand_over() {
  release_netns();
  cookie_ = inode_ = 0;
  captured_ = false;
  changed_.notify_all();
}

void Member::change() {
  ++version_;
  changed_.notify_all();
}

void Member::look() {
  if (state_ == State::kGone || !pod_exists_) return;
  if (around_.sandboxes.inode(*pod_) != path_inode_) return change();
  if (settled() && around_.zds.has_ztunnel() && !slots_filled()) change();
}

void Member::acknowledged(std::string_view error) {
  answer_ = error;
  // A ztunnel that came anew holds its listeners anew; those for DNS are in no slot yet.
  if (settled() && (!error.empty() || !fill_slots())) return change();
  changed_.notify_all();
}

void Member::taken() {
  taken_ = true;
  changed_.notify_all();
}

zds::Pod Member::zds_pod() const {
  return {.uid = uid_,
          .name = pod_->metadata.name,
          .name_space = pod_->metadata.name_space,
          .service_account = pod_->spec.service_account};
}

net::Task<> Member::progress(net::Clock::duration limit) { co_await progress_.wait_for(limit); }

net::Task<> Member::live(std::shared_ptr<Member> self) {
  Member& me = *self;
  auto retry = kFirstRetry;
  while (true) {
    const auto version = me.version_;
    const auto walked = co_await me.walk(version);
    if (me.version_ != version) {
      retry = kFirstRetry;
      continue;
    }
    if (!walked) {
      me.fail(walked.error());
      co_await me.changed_.wait_for(retry);
      retry = std::min(retry * 2, kLastRetry);
      continue;
    }
    me.succeed();
    if (me.state_ == State::kGone) co_return;
    while (me.version_ == version) co_await me.changed_.wait();
    retry = kFirstRetry;
  }
}

void Member::fail(const Error& error) {
  error_ = culvert::format("{}: {}", name(step_), error.text);
  log::error(scope::kPods, "a step failed, it will be tried again", {log::field("pod", name_), log::field("error", error_)});
  around_.health.failing("pod " + name_, name(step_), error_);
  if (std::exchange(told_, error_) != error_)
    around_.cluster.tell(*pod_, {.warning = true, .reason = "MeshFailed", .text = error_ + " (it will be tried again)"});
  progress_.notify_all();
}

void Member::tell_enrolled() {
  told_.clear();
  if (!std::exchange(late_, false))
    return around_.cluster.tell(*pod_, {.warning = false, .reason = "MeshEnrolled", .text = std::string(kEnrolled)});
  ++around_.missed;
  around_.cluster.tell(*pod_, {.warning = true, .reason = "MeshMissed", .text = std::string(kMissed)});
}

void Member::succeed() {
  error_.clear();
  around_.health.recovered("pod " + name_);
  if (state_ == State::kLeaving && pod_exists_ && decision_.enrolled()) {
    note_missing_netns();
  } else if (state_ == State::kLeaving) {
    state_ = State::kGone;
  }
  around_.settled();
}

void Member::note_missing_netns() {
  error_ = culvert::format("its {} is not there", around_.sandboxes.where(*pod_));
  if (cookie_ != 0) error_ += ", and still lives: it stays captured until it ends";
  around_.health.failing("pod " + name_, "netns", error_);
}

net::Task<Status> Member::walk(std::uint64_t version) {
  step_ = Step::kPrepare;
  if (auto opened = open_netns(); !opened) co_return opened;
  if (auto let = let_probes_in(); !let) co_return let;
  const Situation situation{.wanted = decision_.enrolled(),
                            .captured = captured_,
                            .enterable = pod_exists_ && netns_ != nullptr,
                            .dns_capture = decision_.dns_capture};
  const auto steps = plan(situation);
  const bool in = steps.back() == Step::kPublish;
  if (!in) state_ = State::kLeaving;
  if (in && state_ != State::kEnrolled) state_ = State::kJoining;
  const bool around_again = captured_;  // an agent before us has told
  if (in && !captured_) {
    if (auto said = co_await publish(Redirection::kPending); !said) co_return said;
  }
  for (const auto step : steps) {
    step_ = step;
    if (step == Step::kPublish) progress_.notify_all();
    if (auto done = co_await run(step, version); !done) co_return done;
    if (version_ != version) co_return Status{};
  }
  if (in && state_ != State::kEnrolled) {
    log::info(scope::kPods, "enrolled", {log::field("pod", name_), log::field("netns_cookie", cookie_)});
    if (!around_again) tell_enrolled();
  }
  if (in) state_ = State::kEnrolled;
  if (!in && !(pod_exists_ && decision_.enrolled())) {
    log::info(scope::kPods, "left the mesh", {log::field("pod", name_)});
    if (pod_exists_)
      around_.cluster.tell(*pod_,
                           {.reason = "MeshLeft", .text = culvert::format("out of the mesh: {}", text(decision_.verdict))});
  }
  co_return Status{};
}

}  // namespace culvert::agent
