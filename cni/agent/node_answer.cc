// What the node answers the CNI plugin. A pod that is to be in the mesh starts when everything of it is captured; one that is not starts at
// once; one of which nobody knows does not start, and the kubelet tries again.

#include <sys/stat.h>

#include <utility>

#include "cni/agent/node.h"
#include "cni/agent/scope.h"
#include "common/base/format.h"
#include "common/base/log.h"

namespace culvert::agent {
namespace {

using namespace std::chrono_literals;
using ask::Answer;
using ask::Verb;
using Said = ask::Verdict;

constexpr net::Clock::duration kLook = 250ms;  // the least often that a waiting pod is looked at

std::uint64_t inode_of(const Fd& netns) {
  struct stat status{};
  return netns && ::fstat(netns.get(), &status) == 0 ? status.st_ino : 0;
}

Answer refuse(std::string why) { return {.verdict = Said::kRefused, .why = std::move(why)}; }

std::vector<IpAddress> addresses_of(const ask::Question& question) {
  std::vector<IpAddress> addresses;
  for (const auto& text : question.addresses) {
    if (auto address = IpAddress::parse(text)) addresses.push_back(*address);
  }
  return addresses;
}

}  // namespace

net::Task<Answer> Node::answer(ask::Question question, Fd netns) {
  const auto start = net::Clock::now();
  Answer answer{.verdict = Said::kOutside};
  switch (question.verb) {
    case Verb::kAdd: answer = co_await add(question, std::move(netns)); break;
    case Verb::kCheck: answer = check(question, inode_of(netns)); break;
    case Verb::kDel: del(question, inode_of(netns)); break;
    case Verb::kStatus: break;
  }
  ++answers_[{question.verb, answer.verdict}];
  if (question.verb == Verb::kStatus) co_return answer;
  const auto level = answer.verdict == Said::kRefused ? log::Level::kWarn : log::Level::kInfo;
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(net::Clock::now() - start);
  log::write(level, scope::kCni, culvert::format("{}: {}", name(question.verb), name(answer.verdict)),
             {log::field("pod", question.name_space + "/" + question.pod), log::field("why", answer.why),
              log::field("ms", took.count())});
  co_return answer;
}

Node::Known* Node::known_as(const ask::Question& question) {
  const auto found = pods_.find({config::Kind::kPod, question.name_space, question.pod});
  if (found == pods_.end()) return nullptr;
  auto& known = found->second;
  const bool same = question.uid.empty() || question.uid == known.uid || question.uid == kubelet_uid(*known.pod);
  return same ? &known : nullptr;
}

// Asks about the pod now, past what has been told.
net::Task<Status> Node::look_at(const ask::Question& question) {
  const config::Key key{config::Kind::kPod, question.name_space, question.pod};
  const auto fresh = co_await cluster_.look(key.name_space, key.name);
  if (!fresh) co_return std::unexpected(fresh.error());
  if (fresh->name_space != nullptr) namespaces_[key.name_space] = fresh->name_space;
  if (fresh->pod == nullptr) {
    pod_gone(key);
  } else {
    put_pod(key, std::make_shared<const config::Object>(*fresh->pod));
  }
  co_return Status{};
}

// Who is to be in the mesh by what has been told is taken at once. Everybody else may only start when that is so now: labels may have come
// this moment, before their watch tells.
net::Task<Answer> Node::add(ask::Question question, Fd netns) {
  if (!begun_ && !co_await begun_signal_.wait_for(settings_.add_patience))
    co_return refuse(
        "the node agent has not heard yet which pods and namespaces there are (does it reach the API server? its log says more)");
  auto* known = known_as(question);
  if (known == nullptr || !known->decision->enrolled()) {
    const auto looked = co_await look_at(question);
    known = known_as(question);
    const bool unsure = known == nullptr || known->decision->verdict == Verdict::kUnknownNamespace;
    if (unsure && !looked) co_return refuse("whether it belongs to the mesh cannot be known: " + looked.error().text);
    if (unsure)
      co_return refuse(culvert::format("there is no pod of this name and uid {} on node {}", question.uid, settings_.node_name));
  }
  const auto inode = inode_of(netns);
  if (inode == 0) co_return refuse("its network namespace did not come along with the question");
  if (auto checked = check_addresses(netns.get(), addresses_of(question)); !checked) co_return refuse(checked.error().text);
  if (auto given = sandboxes_.given(*known->pod, std::move(netns)); !given) co_return refuse(given.error().text);
  reconcile(*known);
  if (!known->decision->enrolled())
    co_return Answer{.verdict = Said::kOutside, .why = std::string(text(known->decision->verdict))};
  auto answer = co_await await_member(question, inode);
  known = known_as(question);
  if (answer.verdict == Said::kRefused && known != nullptr)
    cluster_.tell(*known->pod,
                  {.warning = true, .reason = "MeshRefused", .text = "not let start outside the mesh: " + answer.why});
  co_return answer;
}

net::Task<Answer> Node::await_member(ask::Question question, std::uint64_t inode) {
  const auto end = net::Clock::now() + settings_.add_patience;
  if (const auto found = member(known_as(question)->uid)) found->look();
  while (true) {
    const auto* const known = known_as(question);
    if (known == nullptr) co_return refuse("it was deleted meanwhile");
    if (!known->decision->enrolled())
      co_return Answer{.verdict = Said::kOutside, .why = std::string(text(known->decision->verdict))};
    const auto found = member(known->uid);
    if (found && found->serves(inode)) co_return Answer{.verdict = Said::kEnrolled};
    const auto left = end - net::Clock::now();
    if (left <= 0s) {
      if (!zds_->has_ztunnel())
        co_return refuse("no ztunnel is connected to the node agent (does the DaemonSet ztunnel run on this node?)");
      if (found && !found->error().empty()) co_return refuse(found->error());
      co_return refuse(culvert::format("getting it into the mesh takes longer than {}: it is at {}",
                                       settings::print_duration(settings_.add_patience),
                                       found ? agent::name(found->step()) : "its beginning"));
    }
    if (found) co_await found->progress(std::min<net::Clock::duration>(left, kLook));
    else co_await net::sleep_for(loop_, std::min<net::Clock::duration>(left, kLook));
  }
}

// Its namespace is about to end: what holds it is let go of.
void Node::del(const ask::Question& question, std::uint64_t inode) {
  const auto* const known = known_as(question);
  if (known == nullptr || inode == 0) return;
  sandboxes_.ended(*known->pod, inode);
  if (const auto found = member(known->uid)) found->look();
}

Answer Node::check(const ask::Question& question, std::uint64_t inode) {
  const auto* const known = known_as(question);
  if (known == nullptr || !known->decision->enrolled())
    return {.verdict = Said::kOutside, .why = known ? std::string(text(known->decision->verdict)) : "not known on this node"};
  const auto found = member(known->uid);
  if (found && found->captured() && (inode == 0 || found->netns_inode() == inode)) return {.verdict = Said::kEnrolled};
  return refuse(found && !found->error().empty() ? found->error() : "it is to be in the mesh, and is not captured");
}

}  // namespace culvert::agent
