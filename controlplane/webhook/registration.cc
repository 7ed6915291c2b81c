#include "controlplane/webhook/registration.h"

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <map>
#include <utility>

#include "common/base/base64.h"
#include "common/base/log.h"
#include "common/config/kinds.h"
#include "common/net/event.h"
#include "common/net/timer.h"

namespace culvert::controlplane {
namespace {

namespace json = boost::json;

constexpr std::string_view kName = "culvert-validator";
constexpr std::chrono::milliseconds kLeast{1'000}, kMost{60'000};  // between tries
constexpr std::chrono::milliseconds kAgain{60'000};                // until it is looked at again

constexpr std::string_view kSharedGroup = "gateway.networking.k8s.io";

json::object webhook_of(std::string_view name, const json::object& client, json::array rules, std::string_view when_away) {
  return {{"name", name},          {"clientConfig", client}, {"rules", std::move(rules)},        {"failurePolicy", when_away},
          {"sideEffects", "None"}, {"timeoutSeconds", 5},    {"admissionReviewVersions", {"v1"}}};
}

}  // namespace

// It fails closed: while nobody can review a policy, none would be in force either. Not so the Gateway API, whose objects other controllers of the
// cluster live on: they must not need us, and what we cannot read of ours has a status that says so.
std::string webhook_configuration(const WebhookAddress& address, const std::string& roots_pem) {
  json::object client{{"caBundle", to_base64(roots_pem)}};
  if (address.url.empty()) {
    client["service"] = {{"name", address.service}, {"namespace", address.ns}, {"path", "/validate"}, {"port", 443}};
  } else {
    client["url"] = address.url;
  }
  std::map<std::string, json::array> resources;  // by group
  for (const config::CustomKind& kind : config::custom_kinds()) resources[kind.group].emplace_back(kind.plural);
  json::array own, shared;
  for (auto& [group, plurals] : resources) {
    (group == kSharedGroup ? shared : own)
        .push_back(json::object{{"apiGroups", json::array{group}},
                                {"apiVersions", {"*"}},
                                {"operations", {"CREATE", "UPDATE"}},
                                {"resources", std::move(plurals)},
                                {"scope", "*"}});
  }
  return json::serialize(
      json::object{{"apiVersion", "admissionregistration.k8s.io/v1"},
                   {"kind", "ValidatingWebhookConfiguration"},
                   {"metadata", {{"name", kName}}},
                   {"webhooks", json::array{webhook_of("validation.culvert.dev", client, std::move(own), "Fail"),
                                            webhook_of("gateway.validation.culvert.dev", client, std::move(shared), "Ignore")}}});
}

struct WebhookRegistration::State {
  State(kube::Client& its_client, WebhookAddress its_address, const std::string& roots_pem)
      : client(its_client),
        address(std::move(its_address)),
        wanted(webhook_configuration(address, roots_pem)),
        changed(its_client.loop()) {}

  // Applied again and again: that is one request a minute, and puts back what somebody changed.
  static net::Task<> run(std::shared_ptr<State> self) {
    const kube::Place at{.of = {.group = "admissionregistration.k8s.io", .plural = "validatingwebhookconfigurations"},
                         .name = std::string(kName)};
    auto pause = kLeast;
    while (!self->closed) {
      if (!self->leading) {
        co_await self->changed.wait();
        continue;
      }
      const std::string sent = self->wanted;
      kube::Request request = kube::apply(at, sent, {.field_manager = "culvertd"});
      request.still = [self] { return !self->closed && self->leading; };
      const auto done = co_await self->client.call(request);
      if (self->closed) co_return;
      if (!done && !self->leading) continue;
      if (!done) log::warn("webhook", "telling the API server to ask us: " + done.error().text);
      pause = done ? kAgain : pause == kAgain ? kLeast : std::min(pause * 2, kMost);
      if (self->wanted == sent) std::ignore = co_await self->changed.wait_for(pause);
    }
  }

  kube::Client& client;
  const WebhookAddress address;
  std::string wanted;
  net::Event changed;
  kube::Leadership leading = false;
  bool closed = false;
};

WebhookRegistration::WebhookRegistration(kube::Client& client, WebhookAddress address, const std::string& roots_pem)
    : state_(std::make_shared<State>(client, std::move(address), roots_pem)) {
  client.loop().spawn(State::run(state_));
}

WebhookRegistration::~WebhookRegistration() {
  state_->closed = true;
  state_->changed.notify_all();
}

void WebhookRegistration::publish(const std::string& roots_pem) {
  state_->wanted = webhook_configuration(state_->address, roots_pem);
  state_->changed.notify_all();
}

void WebhookRegistration::lead(kube::Leadership leading) {
  state_->leading = std::move(leading);
  state_->changed.notify_all();
}

}  // namespace culvert::controlplane
