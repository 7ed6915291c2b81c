#include "controlplane/ca/ca_secrets.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <variant>

#include "common/base/log.h"
#include "common/kube/watch.h"
#include "common/net/event.h"
#include "common/net/timer.h"
#include "controlplane/ca/kube_root.h"
#include "controlplane/ca/pause.h"

namespace culvert::controlplane {
namespace {}  // namespace

struct CaSecrets::State {
  State(kube::Client& its_client, Options its_options, std::function<void(Ca)> its_changed)
      : client(its_client),
        options(std::move(its_options)),
        changed(std::move(its_changed)),
        more(its_client.loop()),
        led(its_client.loop()) {
    for (std::size_t i = 0; i < watches.size(); ++i) {
      const std::string name(i == 0 ? kUsersOwnSecret : kOurSecret);
      watches[i].emplace(
          client,
          // Whoever applies a Secret with kubectl leaves all that is in it in an annotation, which is metadata.
          kube::WatchOptions{
              .of = {.plural = "secrets"}, .ns = options.ns, .fields = "metadata.name=" + name, .metadata = true, .secret = true},
          [this, name](const kube::Event& event) { heard(name, event); });
    }
  }

  void heard(const std::string& name, const kube::Event& event) {
    if (const auto* trouble = std::get_if<kube::Trouble>(&event)) {
      log::warn("ca", "following Secret " + options.ns + "/" + name + ": " + trouble->text);
      return;
    }
    if (std::holds_alternative<kube::Gone>(event))
      log::warn("ca",
                "Secret " + options.ns + "/" + name + " is gone: what it held stays in force until culvertd is started again");
    if (!std::holds_alternative<kube::Put>(event)) return;
    again = true;
    more.notify_all();
  }

  // The one that is used may be gone, and the other is none to go over to by itself: then nothing is told.
  static net::Task<> follow(std::shared_ptr<State> self) {
    std::string said;
    for (auto pause = kLeastPause; !self->closed;) {
      if (!std::exchange(self->again, false)) {
        co_await self->more.wait();
        continue;
      }
      auto ca = co_await find_ca(self->client, self->options.ns, self->options.trust_domain().demanded());
      if (self->closed) co_return;
      if (ca) {
        said.clear();
        pause = kLeastPause;
        if (!*ca) continue;
        self->ours = (*ca)->from.ends_with(kOurSecret);
        self->led.notify_all();
        self->changed(std::move(**ca));
        continue;
      }
      if (std::exchange(said, ca.error().text) != ca.error().text) log::error("ca", "the CA of before stays in force: " + said);
      self->again = true;
      std::ignore = co_await self->more.wait_for(pause);
      pause = std::min(pause * 2, kMostPause);
    }
  }

  static net::Task<> rotate(std::shared_ptr<State> self) {
    while (!self->closed) {
      if (!self->leading || !self->ours) {
        co_await self->led.wait();
        continue;
      }
      const auto done = co_await rotate_root(self->client, self->options.ns, self->options.trust_domain().trust_domain,
                                             self->options.rotation, [self] { return !self->closed && self->leading; });
      if (self->closed) co_return;
      if (!done && self->leading) log::error("ca", "replacing the root certificate: " + done.error().text);
      std::ignore = co_await self->led.wait_for(self->options.rotation.check);
    }
  }

  kube::Client& client;
  const Options options;
  const std::function<void(Ca)> changed;
  net::Event more;
  net::Event led;
  std::array<std::optional<kube::Watch>, 2> watches;
  bool again = false;
  bool ours = false;  // the root is of our making, and not the user's own
  kube::Leadership leading = false;
  bool closed = false;
};

CaSecrets::CaSecrets(kube::Client& client, Options options, std::function<void(Ca)> changed)
    : state_(std::make_shared<State>(client, std::move(options), std::move(changed))) {
  client.loop().spawn(State::follow(state_));
  client.loop().spawn(State::rotate(state_));
}

CaSecrets::~CaSecrets() {
  state_->closed = true;
  for (auto& watch : state_->watches) watch.reset();
  state_->more.notify_all();
  state_->led.notify_all();
}

void CaSecrets::lead(kube::Leadership leading) {
  state_->leading = std::move(leading);
  state_->led.notify_all();
}

}  // namespace culvert::controlplane
