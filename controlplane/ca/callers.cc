#include "controlplane/ca/callers.h"

#include <algorithm>
#include <filesystem>
#include <utility>
#include <vector>

#include "common/base/log.h"
#include "common/net/file_watch.h"
#include "controlplane/ca/files.h"

namespace culvert::controlplane {

struct Callers::State {
  std::string file;
  std::string name;
  std::function<void()> changed;
  net::FileWatch watch;
  Tokens tokens;
  bool closed = false;

  Status read() {
    auto text = read_secret(file);
    if (!text) return std::unexpected(std::move(text).error());
    auto parsed = Tokens::parse(*text);
    if (!parsed) return std::unexpected(std::move(parsed).error().during(file));
    tokens = std::move(*parsed);
    return {};
  }

  void read_again() {
    if (auto done = read(); !done) {
      log::error("ca", "the last good tokens stay in force: " + done.error().text);
      return;
    }
    log::info("ca", "read the tokens again", {log::field("nodes", tokens.size())});
    changed();
  }

  static net::Task<> follow(std::shared_ptr<State> self) {
    while (!self->closed) {
      const std::vector<net::FileChange> events = co_await self->watch.next();
      if (self->closed || events.empty()) break;
      const bool ours = std::ranges::any_of(events, [&](const net::FileChange& event) {
        return event.kind == net::FileChange::kLost || event.name.starts_with("..") ||
               (event.kind == net::FileChange::kChanged && event.name == self->name);
      });
      if (ours) self->read_again();
    }
  }
};

Callers::Callers(std::shared_ptr<State> state) : state_(std::move(state)) {}

Callers::~Callers() {
  state_->closed = true;
  state_->watch.close();
}

Result<std::unique_ptr<Callers>> Callers::open(net::Loop& loop, const std::string& file, std::function<void()> changed) {
  auto state = std::make_shared<State>();
  const std::filesystem::path path = std::filesystem::absolute(file);
  state->file = file;
  state->name = path.filename().string();
  state->changed = std::move(changed);
  auto watch = net::FileWatch::open(loop, path.parent_path().string());
  if (!watch) return std::unexpected(std::move(watch).error());
  state->watch = std::move(*watch);
  if (auto done = state->read(); !done) return std::unexpected(std::move(done).error());
  loop.spawn(State::follow(state));
  return std::unique_ptr<Callers>(new Callers(std::move(state)));
}

std::optional<std::string> Callers::node_of(const rpc::ServerCall& call) const {
  return state_->tokens.node_of(call.metadata("authorization"));
}

}  // namespace culvert::controlplane
