#include "common/zds/client.h"

#include <sys/stat.h>

#include <algorithm>

#include "common/base/format.h"

namespace culvert::zds {

std::uint64_t netns_inode(int descriptor) {
  struct stat status{};
  return ::fstat(descriptor, &status) == 0 ? status.st_ino : 0;
}

std::string Client::connected() {
  disconnected();
  connected_ = true;
  return encode_hello();
}

void Client::disconnected() {
  connected_ = false;
  snapshot_ = false;
  named_.clear();
  answer_due_.reset();
}

Result<Client::Step> Client::received(std::string_view packet, std::vector<Fd> descriptors) {
  if (answer_due_) return failure("the node agent sent a request before the last one was answered");
  const auto request = decode_request(packet);
  if (!request) return std::unexpected(request.error());
  if (const auto* add = std::get_if<Add>(&*request)) return on(*add, descriptors);
  if (!descriptors.empty()) return failure("a descriptor beside a request that is no Add");
  if (const auto* keep = std::get_if<Keep>(&*request)) return on(*keep);
  if (const auto* del = std::get_if<Del>(&*request)) return on(*del);
  return on(SnapshotSent{});
}

Client::Start Client::begin(Entry& entry, bool replaces) {
  entry.state = State::kStarting;
  entry.generation = ++generations_;
  return {.pod = entry.pod, .netns = entry.netns, .generation = entry.generation, .replaces = replaces};
}

Result<Client::Step> Client::on(const Add& add, std::vector<Fd>& descriptors) {
  const auto& uid = add.pod.uid;
  if (uid.empty()) return failure("an Add without a uid");
  if (descriptors.size() != 1)
    return failure(culvert::format("the Add of {} came with {} descriptors, not one", uid, descriptors.size()));
  const auto inode = inode_of_(descriptors.front().get());
  named_.insert(uid);
  auto& entry = pods_[uid];
  const bool known = entry.generation != 0;
  const bool moved = known && entry.inode != inode;
  entry.pod = add.pod;
  if (known && !moved && entry.state == State::kRunning) return Step{.start = {}, .stop = {}, .reply = encode_ack("")};
  answer_due_ = uid;
  if (known && !moved && entry.state == State::kStarting) return Step{};  // answered when that start ends
  entry.netns = std::make_shared<const Fd>(std::move(descriptors.front()));
  entry.inode = inode;
  return Step{.start = begin(entry, moved), .stop = {}, .reply = {}};
}

Result<Client::Step> Client::on(const Keep& keep) {
  if (snapshot_) return failure(culvert::format("a Keep of {} after the snapshot", keep.uid));
  named_.insert(keep.uid);
  return Step{.start = {}, .stop = {}, .reply = encode_ack("")};
}

Result<Client::Step> Client::on(const Del& del) {
  Step step{.start = {}, .stop = {}, .reply = encode_ack("")};
  if (pods_.erase(del.uid) > 0) step.stop.push_back(del.uid);
  named_.erase(del.uid);
  return step;
}

Result<Client::Step> Client::on(const SnapshotSent&) {
  if (snapshot_) return failure("a second end of the snapshot");
  snapshot_ = true;
  Step step{.start = {}, .stop = {}, .reply = encode_ack("")};
  std::erase_if(pods_, [&](const auto& pod) {
    if (named_.contains(pod.first)) return false;
    step.stop.push_back(pod.first);
    return true;
  });
  named_.clear();
  return step;
}

std::string Client::started(std::string_view uid, std::uint64_t generation, std::string_view error, Time now) {
  const auto found = pods_.find(uid);
  if (found == pods_.end() || found->second.generation != generation) return {};  // removed or replaced meanwhile
  auto& entry = found->second;
  entry.state = error.empty() ? State::kRunning : State::kFailed;
  entry.error = error;
  entry.retry_at = now + kRetry;
  if (error.empty()) entry.netns.reset();  // the proxy holds its own
  if (answer_due_ != uid) return {};
  answer_due_.reset();
  return encode_ack(error);
}

std::optional<Client::Time> Client::deadline() const {
  std::optional<Time> first;
  for (const auto& [uid, entry] : pods_) {
    if (entry.state == State::kFailed && (!first || entry.retry_at < *first)) first = entry.retry_at;
  }
  return first;
}

std::optional<Client::Start> Client::retry(Time now) {
  const auto due = std::ranges::find_if(
      pods_, [&](const auto& pod) { return pod.second.state == State::kFailed && pod.second.retry_at <= now; });
  if (due == pods_.end()) return std::nullopt;
  return begin(due->second, false);
}

bool Client::ready() const { return pending().empty(); }

std::string Client::pending() const {
  if (!connected_) return "not connected to the node agent";
  if (!snapshot_) return "waiting for the node agent's snapshot";
  std::string names;
  std::size_t count = 0;
  for (const auto& [uid, entry] : pods_) {
    if (entry.state == State::kRunning) continue;
    if (++count > 3) continue;
    if (!names.empty()) names += ", ";
    names += culvert::format("{}/{}{}{}", entry.pod.name_space, entry.pod.name, entry.error.empty() ? "" : ": ", entry.error);
  }
  return count == 0 ? std::string() : culvert::format("{} pods pending ({})", count, names);
}

}  // namespace culvert::zds
