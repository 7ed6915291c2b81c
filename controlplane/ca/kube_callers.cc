#include "controlplane/ca/kube_callers.h"

#include <algorithm>
#include <boost/json.hpp>
#include <map>
#include <utility>

#include "common/base/address.h"
#include "common/base/base64.h"
#include "common/base/log.h"
#include "common/kube/json.h"
#include "common/kube/review.h"
#include "common/tls/digest.h"
#include "controlplane/ca/review_cache.h"

namespace culvert::controlplane {
namespace {

namespace json = boost::json;

constexpr std::size_t kLongestToken = 16 * 1024;
constexpr std::string_view kBearer = "Bearer ";

// "kubernetes.io": {"namespace": ..., "pod": {"name": ..., "uid": ...}, "serviceaccount": {...}}
void read_binding(const json::object& token, TokenClaims& claims) {
  const auto* bound = token.if_contains("kubernetes.io");
  if (bound == nullptr || !bound->is_object()) return;
  claims.ns = kube::text_at(bound->as_object(), "namespace");
  if (const auto* pod = bound->as_object().if_contains("pod"); pod != nullptr && pod->is_object()) {
    claims.pod = kube::text_at(pod->as_object(), "name");
    claims.pod_uid = kube::text_at(pod->as_object(), "uid");
  }
  if (const auto* account = bound->as_object().if_contains("serviceaccount"); account != nullptr && account->is_object()) {
    claims.account = kube::text_at(account->as_object(), "name");
    claims.account_uid = kube::text_at(account->as_object(), "uid");
  }
}

}  // namespace

Result<TokenClaims> read_claims(std::string_view token) {
  const auto first = token.find('.'), last = token.rfind('.');
  if (token.size() > kLongestToken || first == token.npos || token.find('.', first + 1) != last || first == last)
    return failure("the token is none of a service account");
  const auto text = from_base64(token.substr(first + 1, last - first - 1));
  boost::system::error_code error;
  const json::value value = text ? json::parse(*text, error) : json::value();
  if (error || !value.is_object()) return failure("the token is none of a service account");
  TokenClaims claims;
  if (const auto* audience = value.as_object().if_contains("aud")) {
    if (audience->is_string()) claims.audiences.emplace_back(audience->as_string());
    if (audience->is_array())
      for (const auto& one : audience->as_array())
        if (one.is_string()) claims.audiences.emplace_back(one.as_string());
  }
  if (const auto* expires = value.as_object().if_contains("exp"); expires && expires->is_int64())
    claims.expires = std::chrono::sys_seconds(std::chrono::seconds(expires->as_int64()));
  read_binding(value.as_object(), claims);
  return claims;
}

Status still_good(const TokenClaims& claims, const derive::Objects& objects, std::chrono::system_clock::time_point now) {
  if (claims.expires < std::chrono::floor<std::chrono::seconds>(now)) return failure("the token has expired");
  const auto is_there = [&](config::Kind kind, const std::string& name, const std::string& uid) {
    if (name.empty()) return true;  // it does not say
    const auto& all = objects.in(kind, claims.ns);
    const auto found = all.find(name);
    return found != all.end() && config::metadata_of(*found->second).uid == uid;
  };
  if (!is_there(config::Kind::kPod, claims.pod, claims.pod_uid))
    return failure("the pod " + claims.ns + "/" + claims.pod + " of the token is gone");
  if (!is_there(config::Kind::kServiceAccount, claims.account, claims.account_uid))
    return failure("the service account " + claims.ns + "/" + claims.account + " of the token is gone");
  return {};
}

struct KubeCallers::State {
  State(kube::Client& its_client, const derive::Objects& its_objects, KubeCallersOptions its_options,
        telemetry::Registry& registry)
      : client(its_client),
        objects(its_objects),
        options(std::move(its_options)),
        asked(registry.counter("culvert_token_reviews_total", "Tokens shown to the API server.")),
        stood_in(registry.counter("culvert_tokens_from_memory_total",
                                  "Tokens that counted by an earlier review, because the API server could not be asked.")),
        queue(options.queue) {}

  // A token that the API server is shown, or will be.
  struct Asked {
    std::string token;
    std::vector<Then> waiting;
  };

  static net::Task<> ask(std::shared_ptr<State> self, ReviewQueue::Turn turn);
  static void go_on(const std::shared_ptr<State>& self);
  static void tell(const std::shared_ptr<State>& self, const TokenHash& hash, const Result<Caller>& caller);
  Status enqueue(const TokenHash& hash, std::string_view token, const IpAddress& from, Then then);
  bool is_known(const IpAddress& from);
  void each_proxy(const std::function<void(const config::Pod&)>& then) const;
  Result<Caller> judge(const kube::User& user) const;
  void remember(std::string_view token, const Result<kube::User>& user, const Result<Caller>& caller);
  const Review* valid(const TokenHash& hash, const Review* review);
  const Review* recall(const TokenHash& hash);
  Result<Caller> as_of_now(const Review& review) const;
  Result<Caller> stand_in(std::string_view token);
  void is_away(const Error& why);
  void is_back();

  kube::Client& client;
  const derive::Objects& objects;
  const KubeCallersOptions options;
  telemetry::Counter& asked;
  telemetry::Counter& stood_in;
  ReviewCache remembered;
  ReviewQueue queue;
  std::map<TokenHash, Asked> under_way;
  std::set<IpAddress> known;  // where our proxies are
  net::Clock::time_point known_until{};
  std::string away;  // why the API server could not be asked; empty when it answered last
  bool closed = false;
};

// From what the API server says about a token to what its bearer may do: its pod must be one that we know, as it is now.
Result<Caller> KubeCallers::State::judge(const kube::User& user) const {
  const auto account = user.service_account();
  if (!account) return failure(user.name + " is no service account");
  const std::string name = account->ns + "/" + account->name;
  const bool operates = account->ns == options.system_namespace;
  if (user.pod_name.empty() && operates) return Caller{.node = "", .own = {}, .operates = true, .name = "account " + name};
  if (user.pod_name.empty())
    return failure("the token of " + name + " is not bound to a pod (project it with audience and expiry)");
  const auto* pod = objects.find<config::Pod>(config::Kind::kPod, account->ns, user.pod_name);
  const std::string pod_text = account->ns + "/" + user.pod_name;
  if (pod == nullptr || pod->metadata.uid != user.pod_uid) return failure("the pod " + pod_text + " of the token is not there");
  if (pod->spec.service_account != account->name)
    return failure("the pod " + pod_text + " has another service account than " + name);
  const std::string& on = pod->spec.node_name;
  if (!user.node_name.empty() && user.node_name != on)  // API servers before 1.30 do not say
    return failure("the token of the pod " + pod_text + " was made for the node " + user.node_name + ", and the pod is on " +
                   (on.empty() ? "none" : on));
  Caller caller{.node = "", .own = Identity{options.trust_domain(), account->ns, account->name}, .operates = operates};
  caller.any = std::ranges::contains(options.authorities, name);
  if (std::ranges::contains(options.trusted, name)) {
    if (on.empty()) return failure("the pod " + pod_text + " is on no node");
    caller.node = on;
  }
  return caller;
}

// A token ends with its pod.
const Review* KubeCallers::State::valid(const TokenHash& hash, const Review* review) {
  if (review == nullptr || !review->caller || review->pod_name.empty()) return review;
  const auto* pod = objects.find<config::Pod>(config::Kind::kPod, review->pod_namespace, review->pod_name);
  if (pod != nullptr && pod->metadata.uid == review->pod_uid) return review;
  remembered.erase(hash);
  return nullptr;
}

const Review* KubeCallers::State::recall(const TokenHash& hash) { return valid(hash, remembered.find(hash, net::Clock::now())); }

// The trust domain may have become another one since.
Result<Caller> KubeCallers::State::as_of_now(const Review& review) const {
  Result<Caller> caller = review.caller;
  if (caller && caller->own) caller->own->trust_domain = options.trust_domain();
  return caller;
}

// What counts while the API server is away.
Result<Caller> KubeCallers::State::stand_in(std::string_view token) {
  const TokenHash hash = tls::sha256(token);
  const Review* what = valid(hash, remembered.find_old(hash));
  if (what == nullptr) return failure("the API server cannot be asked, and it has not called this token good before: " + away);
  const auto good = read_claims(token).and_then(
      [&](const TokenClaims& claims) { return still_good(claims, objects, std::chrono::system_clock::now()); });
  if (!good) return std::unexpected(good.error());
  stood_in.add();
  return as_of_now(*what);
}

void KubeCallers::State::is_away(const Error& why) {
  if (std::exchange(away, why.text).empty())
    log::warn("ca", "the API server cannot be asked about tokens: those that it called good before count until their end",
              {log::field("why", why.text)});
}

void KubeCallers::State::is_back() {
  if (!std::exchange(away, "").empty()) log::info("ca", "the API server can be asked about tokens again");
}

void KubeCallers::State::remember(std::string_view token, const Result<kube::User>& user, const Result<Caller>& caller) {
  if (user && !caller) return;  // a pod that we have not heard of yet may be there in a moment
  Review what{.caller = caller,
              .pod_namespace = "",
              .pod_name = "",
              .pod_uid = "",
              .until = net::Clock::now() + (caller ? options.remembered : options.refused)};
  if (caller) {
    what.pod_namespace = caller->own ? caller->own->name_space : "";
    what.pod_name = user->pod_name;
    what.pod_uid = user->pod_uid;
  }
  remembered.put(tls::sha256(token), std::move(what));
}

net::Task<> KubeCallers::State::ask(std::shared_ptr<State> self, ReviewQueue::Turn turn) {
  const std::string token = self->under_way.at(turn.token).token;
  self->asked.add();
  kube::Request request = kube::review_token(token, self->options.audiences);
  request.urgent = true;  // the queue has its own limits
  const auto answer = co_await self->client.call(std::move(request));
  if (self->closed) co_return;
  if (!answer) {
    self->is_away(answer.error());
    self->queue.done(turn, ReviewQueue::Answer::kNone, net::Clock::now());
    tell(self, turn.token, self->stand_in(token));
  } else {
    self->is_back();
    const auto user = kube::reviewed_token(answer->body, self->options.audiences);
    const Result<Caller> caller = user ? self->judge(*user) : std::unexpected(user.error());
    self->queue.done(turn, user ? ReviewQueue::Answer::kGood : ReviewQueue::Answer::kRefused, net::Clock::now());
    self->remember(token, user, caller);
    tell(self, turn.token, caller);
  }
  go_on(self);
}

void KubeCallers::State::tell(const std::shared_ptr<State>& self, const TokenHash& hash, const Result<Caller>& caller) {
  const auto asked = self->under_way.extract(hash);
  for (const Then& then : asked.mapped().waiting) {
    if (self->closed) return;
    then(caller);
  }
}

// As many as may be are shown to the API server.
void KubeCallers::State::go_on(const std::shared_ptr<State>& self) {
  for (const TokenHash& hash : self->queue.overdue(net::Clock::now()))
    tell(self, hash, failure("too many tokens are being looked at: its turn did not come in time"));
  while (!self->closed) {
    auto turn = self->queue.next(net::Clock::now());
    if (!turn) return;
    self->client.loop().spawn(ask(self, std::move(*turn)));
  }
}

Status KubeCallers::State::enqueue(const TokenHash& hash, std::string_view token, const IpAddress& from, Then then) {
  if (const auto asked = under_way.find(hash); asked != under_way.end()) {
    if (asked->second.waiting.size() >= options.most_of_one) return failure("too many wait for what is said of this token");
    asked->second.waiting.push_back(std::move(then));
    return {};
  }
  if (!queue.add(from.text(), is_known(from), hash, net::Clock::now()))
    return failure("too many tokens of this address are being looked at");
  under_way[hash] = {.token = std::string(token), .waiting = {std::move(then)}};
  return {};
}

// Pods come and go seldom enough to look at them once in a second.
bool KubeCallers::State::is_known(const IpAddress& from) {
  if (const auto now = net::Clock::now(); now >= known_until) {
    known_until = now + std::chrono::seconds(1);
    known.clear();
    each_proxy([&](const config::Pod& pod) { known.insert(pod.addresses.begin(), pod.addresses.end()); });
  }
  return known.contains(from);
}

KubeCallers::KubeCallers(kube::Client& client, const derive::Objects& objects, KubeCallersOptions options,
                         telemetry::Registry& registry)
    : state_(std::make_shared<State>(client, objects, std::move(options), registry)) {}

KubeCallers::~KubeCallers() { state_->closed = true; }

bool KubeCallers::still(std::string_view token) const {
  if (!token.starts_with(kBearer)) return false;
  token.remove_prefix(kBearer.size());
  const auto claims = read_claims(token);
  return claims && still_good(*claims, state_->objects, std::chrono::system_clock::now());
}

// The pods of trusted accounts that run.
void KubeCallers::State::each_proxy(const std::function<void(const config::Pod&)>& then) const {
  for (const std::string& account : options.trusted) {
    const auto slash = account.find('/');
    if (slash == account.npos) continue;
    for (const auto& [name, object] : objects.in(config::Kind::kPod, account.substr(0, slash))) {
      const auto& pod = std::get<config::Pod>(*object);
      const bool runs = pod.phase == config::PodPhase::kRunning && !pod.metadata.deleting && !pod.spec.node_name.empty();
      if (runs && pod.spec.service_account == account.substr(slash + 1)) then(pod);
    }
  }
}

std::set<std::string> KubeCallers::nodes() const {
  std::set<std::string> out;
  state_->each_proxy([&](const config::Pod& pod) { out.insert(pod.spec.node_name); });
  return out;
}

std::set<std::string> KubeCallers::ready_nodes() const {
  std::set<std::string> out;
  state_->each_proxy([&](const config::Pod& pod) {
    if (pod.ready) out.insert(pod.spec.node_name);
  });
  return out;
}

void KubeCallers::prove(std::string_view authorization, const IpAddress& from, Then then) {
  std::string_view token = authorization;
  if (!token.starts_with(kBearer)) return then(failure("no bearer token"));
  token.remove_prefix(kBearer.size());
  const auto claims = read_claims(token);
  if (!claims) return then(std::unexpected(claims.error()));
  const auto ours = [&](const std::string& one) { return std::ranges::contains(state_->options.audiences, one); };
  if (std::ranges::none_of(claims->audiences, ours)) return then(failure("the token is meant for somebody else"));
  if (claims->expires < std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()))
    return then(failure("the token has expired"));
  const TokenHash hash = tls::sha256(token);
  if (const auto* known = state_->recall(hash)) return then(state_->as_of_now(*known));
  if (!state_->away.empty()) {  // not everybody has to wait until that is clear again: one asks, for all
    if (auto caller = state_->stand_in(token)) {
      if (state_->under_way.empty() && state_->enqueue(hash, token, from, [](const Result<Caller>&) {})) State::go_on(state_);
      return then(std::move(caller));
    }
  }
  if (const Status waits = state_->enqueue(hash, token, from, then); !waits) return then(std::unexpected(waits.error()));
  State::go_on(state_);
}

}  // namespace culvert::controlplane
