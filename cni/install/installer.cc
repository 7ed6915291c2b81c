#include "cni/install/installer.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "cni/install/files.h"
#include "common/base/format.h"
#include "common/base/log.h"
#include "common/net/file_watch.h"
#include "common/net/timer.h"

namespace culvert::install {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kScope = "install";
constexpr auto kAgain = 2s;         // after what could not be done, and without a watch
constexpr auto kLook = 30s;         // whatever the watches say
constexpr std::size_t kStrife = 5;  // so often in a row: somebody else wants it otherwise
constexpr auto kStrifePause = 1s;
constexpr auto kPeace = 60s;

bool is_program(const std::filesystem::path& path) { return ::access(path.c_str(), X_OK) == 0; }

// Whether pods are held as it is now. What cannot be read, or has no primary, says nothing.
std::optional<bool> in_force(const Places& places, const Wish& wish) {
  if (!is_program(places.binaries / kPlugin)) return false;
  const auto folder = read_folder(places.configuration);
  if (!folder) return std::nullopt;
  const auto changes = install(*folder, wish);
  return changes ? std::optional(changes->empty()) : std::nullopt;
}

// Whether there is nothing that pods could be connected by without us. What cannot be read says nothing.
bool primary_is_gone(const Places& places, const Wish& wish) {
  const auto folder = read_folder(places.configuration);
  return folder && !install(*folder, wish);
}

}  // namespace

Result<bool> put(const Places& places, const Wish& wish) {
  const auto copied = copy_program(places.program, places.binaries / kPlugin);
  // One that is there and cannot be replaced is still asked: without the entry pods would start past it.
  if (!copied && !is_program(places.binaries / kPlugin)) return std::unexpected(copied.error());
  const auto folder = read_folder(places.configuration);
  if (!folder) return std::unexpected(folder.error());
  const auto changes = install(*folder, wish);
  if (!changes) return std::unexpected(changes.error().during(places.configuration.string()));
  for (const auto& change : *changes) {
    if (auto done = apply(places.configuration, change); !done) return std::unexpected(done.error());
    log::info(kScope, change.text ? "written" : "deleted", {log::field("file", (places.configuration / change.name).string())});
  }
  if (!copied) return std::unexpected(copied.error());
  return *copied || !changes->empty();
}

// Out of the configuration.
static Status take_out(const Places& places, const Wish& wish) {
  const auto folder = read_folder(places.configuration);
  if (!folder) return std::unexpected(folder.error());
  for (const auto& change : uninstall(*folder, wish)) {
    if (auto done = apply(places.configuration, change); !done) return done;
    log::info(kScope, change.text ? "taken out of" : "deleted",
              {log::field("file", (places.configuration / change.name).string())});
  }
  return {};
}

Status remove(const Places& places, const Wish& wish) {
  if (auto done = take_out(places, wish); !done) return done;
  const auto program = places.binaries / kPlugin;
  if (::unlink(program.c_str()) != 0 && errno != ENOENT) return failure_errno("deleting " + program.string());
  return {};
}

struct Installer::State : std::enable_shared_from_this<Installer::State> {
  State(net::Loop& its_loop, Places its_places, Wish its_wish, Trouble its_trouble, net::Clock::duration its_grace)
      : loop(its_loop),
        places(std::move(its_places)),
        wish(std::move(its_wish)),
        trouble(std::move(its_trouble)),
        grace(its_grace),
        timer(its_loop) {}

  net::Task<> follow(std::shared_ptr<State> self, net::FileWatch& watch, std::filesystem::path folder);
  void look();
  void failed(const Error& error, net::Clock::time_point now);

  net::Loop& loop;
  Places places;
  Wish wish;
  Trouble trouble;
  net::Clock::duration grace;
  net::Timer timer;  // when to look again
  net::FileWatch binaries, configuration;
  std::uint64_t restored = 0;
  bool installed = false;
  bool begun = false;  // it has been
  bool ended = false;
  std::size_t strife = 0;
  net::Clock::time_point last{};
  net::Clock::time_point bereft{};  // since when the primary is gone; none: it is there
};

net::Task<> Installer::State::follow(std::shared_ptr<State> self, net::FileWatch& watch, std::filesystem::path folder) {
  while (!self->ended) {
    auto opened = net::FileWatch::open(self->loop, folder.string());
    if (!opened) {
      co_await net::sleep_for(self->loop, kAgain);
      continue;
    }
    watch = *std::move(opened);
    self->look();
    while (!self->ended) {
      const auto changes = co_await watch.next();
      if (self->ended || changes.empty()) co_return;
      // What we write beside, and take away when the disk is full, would have us try again at once, and for ever.
      if (!std::ranges::all_of(changes, [](const auto& change) { return change.name.starts_with('.'); })) self->look();
      if (std::ranges::any_of(changes, [](const auto& change) { return change.kind == net::FileChange::kFolderGone; })) break;
    }
    co_await net::sleep_for(self->loop, kAgain);
  }
}

void Installer::State::look() {
  if (ended) return;
  const auto now = net::Clock::now();
  if (now - last > kPeace) strife = 0;
  if (strife >= kStrife && now - last < kStrifePause) return timer.arm(kStrifePause, [this] { look(); });
  const auto changed = put(places, wish);
  timer.arm(changed ? net::Clock::duration(kLook) : net::Clock::duration(kAgain), [this] { look(); });
  if (!changed) return failed(changed.error(), now);
  bereft = {};
  installed = true;
  if (std::exchange(begun, true) && *changed) {
    ++restored;
    ++strife;
    last = now;
    log::warn(kScope, "somebody has changed the node's CNI configuration: the plugin is in it again",
              {log::field("times", restored)});
  }
  trouble(strife < kStrife
              ? ""
              : culvert::format("{}: something else takes the plugin out again and again (Cilium with cni.exclusive=true?)",
                                places.configuration.string()));
}

// Ours must not stand in for what is gone for good. Whatever else has failed, what is there goes on holding the pods of the mesh.
void Installer::State::failed(const Error& error, net::Clock::time_point now) {
  if (!primary_is_gone(places, wish)) bereft = {};
  else if (bereft == net::Clock::time_point{}) bereft = now;
  if (const auto holds = in_force(places, wish)) installed = *holds;
  auto text = error.text;
  if (bereft != net::Clock::time_point{} && now - bereft >= grace) {
    installed = begun = false;
    if (auto done = take_out(places, wish); !done) text += "; " + done.error().text;
  }
  trouble(text);
}

Installer::Installer(net::Loop& loop, Places places, Wish wish, Trouble trouble, net::Clock::duration grace)
    : state_(std::make_shared<State>(loop, std::move(places), std::move(wish), std::move(trouble), grace)) {
  loop.spawn(state_->follow(state_, state_->configuration, state_->places.configuration));
  loop.spawn(state_->follow(state_, state_->binaries, state_->places.binaries));
}

Installer::~Installer() {
  state_->ended = true;
  state_->timer.cancel();
  state_->binaries.close();
  state_->configuration.close();
}

std::uint64_t Installer::restored() const { return state_->restored; }
bool Installer::installed() const { return state_->installed; }

}  // namespace culvert::install
