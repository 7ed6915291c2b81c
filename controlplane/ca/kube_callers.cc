#include "controlplane/ca/kube_callers.h"

#include <openssl/sha.h>

#include <algorithm>
#include <boost/json.hpp>
#include <map>
#include <utility>

#include "common/base/base64.h"
#include "common/base/log.h"
#include "common/kube/review.h"
#include "controlplane/ca/review_cache.h"

namespace culvert::controlplane {
namespace {

namespace json = boost::json;

constexpr std::size_t kLongestToken = 16 * 1024;
constexpr std::string_view kBearer = "Bearer ";

TokenHash hash_of(std::string_view token) {
  TokenHash hash{};
  static_assert(hash.size() == SHA256_DIGEST_LENGTH);
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), hash.data());
  return hash;
}

std::string text_at(const json::object& in, std::string_view name) {
  const auto* value = in.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}

// "kubernetes.io": {"namespace": ..., "pod": {"name": ..., "uid": ...}, "serviceaccount": {...}}
void read_binding(const json::object& token, TokenClaims& claims) {
  const auto* bound = token.if_contains("kubernetes.io");
  if (bound == nullptr || !bound->is_object()) return;
  claims.ns = text_at(bound->as_object(), "namespace");
  if (const auto* pod = bound->as_object().if_contains("pod"); pod != nullptr && pod->is_object()) {
    claims.pod = text_at(pod->as_object(), "name");
    claims.pod_uid = text_at(pod->as_object(), "uid");
  }
  if (const auto* account = bound->as_object().if_contains("serviceaccount"); account != nullptr && account->is_object()) {
    claims.account = text_at(account->as_object(), "name");
    claims.account_uid = text_at(account->as_object(), "uid");
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
                                  "Tokens that counted by an earlier review, because the API server could not be asked.")) {}

  static net::Task<> ask(std::shared_ptr<State> self, std::string token, std::string from, Then then);
  Result<Caller> judge(const kube::User& user) const;
  void remember(std::string_view token, const Result<kube::User>& user, const Result<Caller>& caller);
  const Review* valid(const TokenHash& hash, const Review* review);
  const Review* recall(const TokenHash& hash);
  Result<Caller> stand_in(std::string_view token);
  void is_away(const Error& why);
  void is_back();

  kube::Client& client;
  const derive::Objects& objects;
  const KubeCallersOptions options;
  telemetry::Counter& asked;
  telemetry::Counter& stood_in;
  ReviewCache remembered;
  std::size_t asking = 0;
  std::map<std::string, std::size_t> asking_for;  // by the caller's address
  std::string away;                               // why the API server could not be asked; empty when it answered last
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
  Caller caller{.node = "", .own = Identity{options.trust_domain, account->ns, account->name}, .operates = operates};
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

// What counts while the API server is away.
Result<Caller> KubeCallers::State::stand_in(std::string_view token) {
  const TokenHash hash = hash_of(token);
  const Review* what = valid(hash, remembered.find_old(hash));
  if (what == nullptr) return failure("the API server cannot be asked, and it has not called this token good before: " + away);
  const auto good = read_claims(token).and_then(
      [&](const TokenClaims& claims) { return still_good(claims, objects, std::chrono::system_clock::now()); });
  if (!good) return std::unexpected(good.error());
  stood_in.add();
  return what->caller;
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
  remembered.put(hash_of(token), std::move(what));
}

net::Task<> KubeCallers::State::ask(std::shared_ptr<State> self, std::string token, std::string from, Then then) {
  ++self->asking;
  ++self->asking_for[from];
  self->asked.add();
  const auto answer = co_await self->client.call(kube::review_token(token, self->options.audiences));
  --self->asking;
  if (--self->asking_for[from] == 0) self->asking_for.erase(from);
  if (self->closed) co_return;
  if (!answer) {
    self->is_away(answer.error());
    co_return then(self->stand_in(token));
  }
  self->is_back();
  const auto user = kube::reviewed_token(answer->body, self->options.audiences);
  auto caller = user ? self->judge(*user) : std::unexpected(user.error());
  self->remember(token, user, caller);
  then(std::move(caller));
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

std::set<std::string> KubeCallers::nodes() const {
  std::set<std::string> out;
  for (const std::string& account : state_->options.trusted) {
    const auto slash = account.find('/');
    if (slash == account.npos) continue;
    for (const auto& [name, object] : state_->objects.in(config::Kind::kPod, account.substr(0, slash))) {
      const auto& pod = std::get<config::Pod>(*object);
      const bool runs = pod.phase == config::PodPhase::kRunning && !pod.metadata.deleting && !pod.spec.node_name.empty();
      if (runs && pod.spec.service_account == account.substr(slash + 1)) out.insert(pod.spec.node_name);
    }
  }
  return out;
}

void KubeCallers::prove(std::string_view authorization, std::string_view peer, Then then) {
  std::string_view token = authorization;
  if (!token.starts_with(kBearer)) return then(failure("no bearer token"));
  token.remove_prefix(kBearer.size());
  const auto claims = read_claims(token);
  if (!claims) return then(std::unexpected(claims.error()));
  const auto ours = [&](const std::string& one) { return std::ranges::contains(state_->options.audiences, one); };
  if (std::ranges::none_of(claims->audiences, ours)) return then(failure("the token is meant for somebody else"));
  if (claims->expires < std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()))
    return then(failure("the token has expired"));
  if (const auto* known = state_->recall(hash_of(token))) return then(known->caller);
  std::string from(peer.substr(0, peer.rfind(':')));  // without the port
  if (!state_->away.empty()) {                        // not everybody has to wait until that is clear again: one asks, for all
    if (auto caller = state_->stand_in(token)) {
      if (state_->asking == 0)
        state_->client.loop().spawn(State::ask(state_, std::string(token), std::move(from), [](const Result<Caller>&) {}));
      return then(std::move(caller));
    }
  }
  if (state_->asking >= state_->options.most_asked) return then(failure("too many tokens are being looked at"));
  if (const auto those = state_->asking_for.find(from);
      those != state_->asking_for.end() && those->second >= state_->options.most_of_one)
    return then(failure("too many tokens of one address are being looked at"));
  state_->client.loop().spawn(State::ask(state_, std::string(token), std::move(from), std::move(then)));
}

}  // namespace culvert::controlplane
