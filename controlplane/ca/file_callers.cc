#include "controlplane/ca/file_callers.h"

#include <algorithm>
#include <filesystem>
#include <utility>
#include <vector>

#include "common/base/log.h"
#include "common/net/file_watch.h"
#include "controlplane/ca/files.h"

namespace culvert::controlplane {

struct FileCallers::State {
  std::string file;
  std::string name;
  std::function<void()> changed;
  net::FileWatch watch;
  Tokens tokens;
  bool unread = false;  // as it stands now
  bool closed = false;

  Status read() {
    auto text = read_secret(file);
    if (!text) return std::unexpected(std::move(text).error());
    if (text->find_first_not_of(" \t\r\n") == std::string::npos)  // cut short by a writer or a full disk, more likely than meant
      return failure(file + " is empty (write a line TOKEN NODE for each node; a comment alone stands for: nobody)");
    auto parsed = Tokens::parse(*text);
    if (!parsed) return std::unexpected(std::move(parsed).error().during(file));
    tokens = std::move(*parsed);
    return {};
  }

  void read_again() {
    const auto done = read();
    unread = !done;
    if (!done) {
      log::error("ca", "the last good tokens stay in force: " + done.error().text);
      return;
    }
    log::info("ca", "read the tokens again", {log::field("nodes", tokens.size())});
    if (tokens.size() == 0) log::warn("ca", "there is no token left in " + file + ": nobody may connect");
    changed();
  }

  static net::Task<> follow(std::shared_ptr<State> self) {
    while (!self->closed) {
      const std::vector<net::FileChange> events = co_await self->watch.next();
      if (self->closed || events.empty()) break;
      const bool ours = std::ranges::any_of(events, [&](const net::FileChange& event) {
        return event.kind == net::FileChange::kLost || event.name.starts_with("..") ||
               (event.kind == net::FileChange::kChanged && event.name == self->name) ||
               // A file that was moved here readable for others is refused until its mode is mended.
               (event.kind == net::FileChange::kAttributes && event.name == self->name && self->unread);
      });
      if (ours) self->read_again();
    }
  }
};

FileCallers::FileCallers(std::shared_ptr<State> state) : state_(std::move(state)) {}

FileCallers::~FileCallers() {
  state_->closed = true;
  state_->watch.close();
}

Result<std::unique_ptr<FileCallers>> FileCallers::open(net::Loop& loop, const std::string& file, std::function<void()> changed) {
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
  return std::unique_ptr<FileCallers>(new FileCallers(std::move(state)));
}

std::optional<std::string> FileCallers::node_of(const rpc::ServerCall& call) const {
  return state_->tokens.node_of(call.metadata("authorization"));
}

std::set<std::string> FileCallers::nodes() const { return state_->tokens.nodes(); }

void FileCallers::prove(std::string_view authorization, const IpAddress& /*from*/, Then then) {
  auto node = state_->tokens.node_of(authorization);
  if (node == Tokens::kAuthority) return then(Caller{.node = "", .own = {}, .any = true});
  if (node) return then(Caller{.node = std::move(*node), .own = {}, .operates = true});
  then(failure("no token, or none of the file"));
}

}  // namespace culvert::controlplane
