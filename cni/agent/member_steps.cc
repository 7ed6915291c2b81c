// What each step of the plan does: to the pod's network namespace, to the kernel's maps, with ztunnel.
#include <fcntl.h>

#include <algorithm>
#include <utility>

#include "cni/agent/member.h"
#include "cni/agent/original.h"
#include "cni/agent/probes.h"
#include "cni/agent/scope.h"
#include "cni/redirect/address_watch.h"
#include "cni/redirect/netns.h"
#include "cni/redirect/redirect.h"
#include "common/base/format.h"
#include "common/base/log.h"
#include "common/net/descriptor.h"

namespace culvert::agent {
namespace {

using namespace std::chrono_literals;

constexpr net::Clock::duration kSocketPoll = 50ms;
// Other nodes hear a moment later that the pod left, and a tunnel that has come meanwhile is no socket with our mark until it has dialled.
constexpr net::Clock::duration kQuiet = 250ms;
// A caller whom the kernel has marked may not get a processor for his SYN at once; one whose SYN was lost repeats it after a second.
constexpr net::Clock::duration kConnectQuiet = 100ms;
constexpr net::Clock::duration kConnectPatience = 3s;
constexpr net::Clock::duration kNetnsPoll = 1s;
constexpr std::size_t kMostAddresses = 256;  // of one pod: the kernel's map is the whole node's

redirect::PodAddresses primary(const std::vector<IpAddress>& addresses) {
  redirect::PodAddresses found;
  for (const auto& address : addresses) {
    auto& family = address.is_v4() ? found.v4 : found.v6;
    if (!family) family = address;
  }
  return found;
}

}  // namespace

net::Task<Status> Member::run(Step step, std::uint64_t version) {
  auto& datapath = around_.datapath;
  const bpf::Pod pod{.netns_cookie = cookie_, .dns_capture = decision_.dns_capture};
  const bool known = cookie_ != 0;  // else there is nothing of it in the kernel
  switch (step) {
    case Step::kPrepare: co_return prepare();
    case Step::kAddresses: co_return set_addresses();
    case Step::kTellZtunnel: co_return co_await tell_ztunnel(version);
    case Step::kFillSlots: co_return fill_slots();
    case Step::kAttach: co_return datapath.attach_lookup(netns_->get(), pod);
    case Step::kCaptureDns: co_return redirect::capture_dns(netns_->get(), true);
    case Step::kReleaseDns: co_return redirect::capture_dns(netns_->get(), false);
    case Step::kEnrol: captured_ = true; co_return datapath.enrol(pod);
    case Step::kAwaitActive:
      around_.settled();
      while (!around_.active() && version_ == version) co_await changed_.wait();
      co_return Status{};
    case Step::kPublish: co_return co_await publish(Redirection::kEnabled);
    case Step::kUnpublish: co_return co_await publish(Redirection::kNone);
    case Step::kWithdraw: co_return known ? datapath.withdraw(cookie_) : Status{};
    case Step::kDetach: co_return known ? datapath.detach_lookup(cookie_) : Status{};
    case Step::kAwaitConnects:
      co_return co_await await_sockets(&redirect::MarkedSockets::connecting, kConnectPatience, kConnectQuiet, version);
    case Step::kLetFinish:
      co_return co_await await_sockets(&redirect::MarkedSockets::open, around_.settings.finish_grace, kQuiet, version);
    case Step::kTakeFromZtunnel: co_return co_await take_from_ztunnel(version);
    case Step::kAwaitSockets:
      co_return co_await await_sockets(&redirect::MarkedSockets::open, around_.settings.socket_grace, 0ms, version);
    case Step::kRestore: co_return restore_original(datapath, netns_->get(), cookie_);
    case Step::kReleaseNetns: release_netns(); co_return Status{};
    case Step::kAwaitNetns: co_return co_await await_netns(version);
    case Step::kForget:
      if (known) {
        if (auto forgotten = datapath.forget(cookie_); !forgotten) co_return forgotten;
      }
      release_netns();
      cookie_ = inode_ = 0;
      captured_ = false;
      co_return Status{};
  }
  co_return Status{};
}

// Holds the pod's namespace. That there is none to be found does not say that one has ended; another one says that this is the pod's from now on.
Status Member::open_netns() {
  if (!pod_exists_) return {};
  if (auto sought = around_.sandboxes.sought(*pod_); !sought && decision_.enrolled()) return sought;
  path_inode_ = around_.sandboxes.inode(*pod_);
  if (path_inode_ == inode_ && netns_ != nullptr) return {};
  if (path_inode_ == 0) {
    release_netns();
    return {};
  }
  auto opened = around_.sandboxes.open(*pod_);
  if (!opened) return std::unexpected(std::move(opened).error());
  const auto cookie = redirect::netns_cookie(opened->get());
  if (!cookie) return std::unexpected(cookie.error());
  if (cookie_ != 0 && cookie_ != *cookie) abandon_netns();
  const auto captured = around_.claim(*this, *cookie);
  if (!captured) return std::unexpected(captured.error());
  release_netns();
  netns_ = std::make_shared<const Fd>(*std::move(opened));
  inode_ = path_inode_;
  cookie_ = *cookie;
  captured_ = captured_ || *captured;
  return {};
}

// First of all, and whatever comes of the rest: programs of another version that come into force know no ports but these.
Status Member::let_probes_in() {
  if (cookie_ == 0 || !pod_exists_) return {};
  return around_.datapath.set_probe_ports(cookie_, probe_ports(*pod_));
}

void Member::abandon_netns() {
  log::warn(scope::kPods, "its network namespace was replaced", {log::field("pod", name_)});
  release_netns();
  around_.abandon(std::exchange(cookie_, 0));
  inode_ = 0;
  captured_ = false;
}

// Not being able to ask is no sign of its end.
bool Member::netns_alive() const {
  if (cookie_ == 0) return false;
  const auto inode = around_.datapath.netns_inode(cookie_);
  return !inode || *inode != 0;
}

Status Member::prepare() {
  auto addresses = primary(pod_->addresses);
  if (pod_->addresses.empty()) {
    auto found = redirect::primary_addresses(netns_->get());
    if (!found) return std::unexpected(std::move(found).error());
    addresses = *found;
  }
  if (auto noted = note_original(around_.datapath, netns_->get(), cookie_, captured_); !noted) return noted;
  return redirect::prepare(netns_->get(), addresses);
}

struct Member::AddressEvents {
  redirect::AddressWatch watch;
  net::Descriptor ready;
};

Status Member::set_addresses() {
  if (addresses_ == nullptr) {
    if (auto watched = watch_addresses(); !watched) return watched;
  }
  auto addresses = redirect::own_addresses(netns_->get());
  if (!addresses) return std::unexpected(addresses.error());
  const bool too_many = addresses->size() > kMostAddresses;
  if (too_many && !std::exchange(too_many_addresses_, too_many))
    log::warn(scope::kPods, "more addresses than the kernel is told of: what the pod dials from the others is dropped",
              {log::field("pod", name_), log::field("addresses", addresses->size()), log::field("most", kMostAddresses)});
  if (too_many) {  // the pod's own stay
    std::ranges::stable_partition(*addresses, [&](const auto& one) { return std::ranges::contains(pod_->addresses, one); });
    addresses->resize(kMostAddresses);
  }
  return around_.datapath.set_own_addresses(cookie_, *addresses);
}

// After an event in the namespace: its addresses into the kernel's map, and what capture needs there as it should be.
Status Member::refresh() {
  if (auto set = set_addresses(); !set || state_ == State::kLeaving) return set;
  if (auto prepared = prepare(); !prepared || !settled() || !decision_.dns_capture) return prepared;
  return redirect::capture_dns(netns_->get(), true);
}

Status Member::watch_addresses() {
  auto watch = redirect::AddressWatch::open(netns_->get());
  if (!watch) return std::unexpected(std::move(watch).error());
  auto ready = net::Descriptor::adopt(around_.loop, Fd(::fcntl(watch->fd(), F_DUPFD_CLOEXEC, 0)));
  if (!ready) return std::unexpected(std::move(ready).error());
  addresses_ = std::make_shared<AddressEvents>(*std::move(watch), *std::move(ready));
  around_.loop.spawn(follow_addresses(shared_from_this(), addresses_));
  return {};
}

net::Task<> Member::follow_addresses(std::shared_ptr<Member> self, std::shared_ptr<AddressEvents> events) {
  while (co_await events->ready.readable()) {
    if (self->addresses_ != events) co_return;
    const auto changed = events->watch.changed();
    if (changed && !*changed) continue;
    if (!changed) self->addresses_.reset();  // opened anew by the walk
    if (!changed || !self->refresh()) self->change();
    if (!changed) co_return;
  }
}

void Member::release_netns() {
  if (addresses_ != nullptr) addresses_->ready.close();
  addresses_.reset();
  netns_.reset();
}

net::Task<Status> Member::tell_ztunnel(std::uint64_t version) {
  answer_.reset();
  around_.zds.add(zds_pod(), netns_);
  while (!answer_ && version_ == version) co_await changed_.wait();
  if (answer_ && !answer_->empty()) co_return failure("ztunnel cannot serve it: " + *answer_);
  co_return Status{};
}

net::Task<Status> Member::take_from_ztunnel(std::uint64_t version) {
  taken_ = false;
  around_.zds.remove(uid_);
  while (!taken_ && version_ == version) co_await changed_.wait();
  co_return Status{};
}

bool Member::slots_filled() const {
  const auto slots = around_.datapath.slots(cookie_);
  if (!slots) return false;
  const auto addresses = primary(pod_->addresses);
  const auto filled = [&](const bpf::Slots::Slot& slot) {
    return (slot.v4 || !addresses.v4) && (slot.v6 || !addresses.v6) && (slot.v4 || slot.v6);
  };
  const bool dns = !decision_.dns_capture || (filled(slots->dns_tcp) && filled(slots->dns_udp));
  return filled(slots->outbound) && filled(slots->inbound) && dns;
}

Status Member::fill_slots() {
  if (slots_filled()) return {};
  if (auto filled = around_.refill_slots(); !filled) return filled;
  if (slots_filled()) return {};
  return failure(culvert::format(
      "ztunnel took the pod, but the kernel sees no listener of it on 15001, 15006{} for every address of the pod "
      "(does it run in its own cgroup?)",
      decision_.dns_capture ? ", 15053" : ""));
}

// Until there has been none for as long as `quiet`. Where the kernel cannot list sockets (no inet_diag), patience is all there is.
net::Task<Status> Member::await_sockets(Counted which, net::Clock::duration patience, net::Clock::duration quiet,
                                        std::uint64_t version) {
  const auto end = net::Clock::now() + patience;
  auto last = net::Clock::now();
  bool told = false;
  while (version_ == version) {
    const auto left = redirect::marked_sockets(netns_->get());
    if (!left && !std::exchange(told, true))
      log::warn(scope::kPods, "its captured sockets are not counted",
                {log::field("pod", name_), log::field("error", left.error().text)});
    const auto now = net::Clock::now();
    if (!left || (*left).*which != 0) last = now;
    if (now >= end || (left && (*left).*which == 0 && now - last >= quiet)) break;
    co_await changed_.wait_for(kSocketPoll);
  }
  co_return Status{};
}

net::Task<Status> Member::await_netns(std::uint64_t version) {
  if (pod_exists_ && netns_alive()) note_missing_netns();
  while (version_ == version && netns_alive()) co_await changed_.wait_for(kNetnsPoll);
  co_return Status{};
}

net::Task<Status> Member::publish(Redirection redirection) { return around_.cluster.say(pod_, redirection); }

}  // namespace culvert::agent
