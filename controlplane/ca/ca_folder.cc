#include "controlplane/ca/ca_folder.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "common/base/log.h"
#include "common/net/file_watch.h"
#include "common/net/timer.h"

namespace culvert::controlplane {
namespace {

using namespace std::chrono_literals;

constexpr auto kSettle = 100ms;  // whoever replaces a CA writes several files
constexpr int kTries = 20;       // of those, until it is taken for a mistake

bool is_ours(const net::FileChange& change) {
  constexpr std::array<std::string_view, 4> kNames = {"ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem"};
  return change.kind == net::FileChange::kLost || change.name.starts_with("..") ||
         std::ranges::contains(kNames, std::string_view(change.name));
}

}  // namespace

struct CaFolder::State {
  Options options;
  std::function<void(Ca)> changed;
  net::FileWatch watch;
  bool closed = false;

  static net::Task<> follow(net::Loop& loop, std::shared_ptr<State> self) {
    while (!self->closed) {
      const std::vector<net::FileChange> events = co_await self->watch.next();
      if (self->closed || events.empty()) co_return;
      if (std::ranges::any_of(events, is_ours)) co_await read_again(loop, self);
    }
  }

  // Certificate and key may be of different CAs for a moment.
  static net::Task<> read_again(net::Loop& loop, std::shared_ptr<State> self) {
    for (int tries = 0; tries < kTries; ++tries) {
      co_await net::sleep_for(loop, kSettle);
      if (self->closed) co_return;
      auto ca = load_ca(self->options.folder, self->options.trust_domain().demanded());
      if (ca) co_return self->changed(std::move(*ca));
      if (tries + 1 == kTries)
        log::error("ca",
                   "the CA of before stays in force: reading it again from " + self->options.folder + ": " + ca.error().text);
    }
  }

  static net::Task<> rotate(net::Loop& loop, std::shared_ptr<State> self) {
    const Options& options = self->options;
    co_await loop.yield();  // our owner has us by then
    while (!self->closed) {
      const auto done = rotate_root(options.folder, options.trust_domain().trust_domain, options.rotation);
      if (!done) log::error("ca", "replacing the root certificate: " + done.error().text);
      // Data planes see the files as soon as we do, and come for certificates at once. What cannot be read is read again after the event.
      if (done && *done) {
        if (auto ca = load_ca(options.folder, options.trust_domain().demanded())) self->changed(std::move(*ca));
      }
      co_await net::sleep_for(loop, options.rotation.check);
    }
  }
};

Result<std::unique_ptr<CaFolder>> CaFolder::open(net::Loop& loop, Options options, std::function<void(Ca)> changed) {
  auto state = std::make_shared<State>(State{.options = std::move(options), .changed = std::move(changed), .watch = {}});
  auto watch = net::FileWatch::open(loop, state->options.folder);
  if (!watch) return std::unexpected(std::move(watch).error());
  state->watch = std::move(*watch);
  loop.spawn(State::follow(loop, state));
  loop.spawn(State::rotate(loop, state));
  return std::unique_ptr<CaFolder>(new CaFolder(std::move(state)));
}

CaFolder::CaFolder(std::shared_ptr<State> state) : state_(std::move(state)) {}

CaFolder::~CaFolder() {
  state_->closed = true;
  state_->watch.close();
}

}  // namespace culvert::controlplane
