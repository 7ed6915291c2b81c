#include "common/xds/local_file.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <utility>

#include "common/base/file.h"
#include "common/net/file_watch.h"
#include "common/net/timer.h"

namespace culvert::xds {
namespace {

Result<LocalConfig> load(const std::string& path) {
  auto text = read_file(path);
  if (!text) return std::unexpected(text.error());
  return parse_local(*text, path);
}

std::string name_of(const model::Workload& workload) { return workload.uid; }
std::string name_of(const model::Service& service) { return service.key(); }
std::string name_of(const model::Policy& policy) { return policy.key(); }

template <class T>
void compare(const std::vector<T>& before, const std::vector<T>& after, std::vector<T>& changed,
             std::vector<std::string>& removed) {
  std::map<std::string, const T*> old;
  for (const T& value : before) old.emplace(name_of(value), &value);
  for (const T& value : after) {
    const auto found = old.find(name_of(value));
    if (found == old.end() || *found->second != value) changed.push_back(value);
    if (found != old.end()) old.erase(found);
  }
  for (const auto& [name, value] : old) removed.push_back(name);
}

}  // namespace

Update difference(const LocalConfig& before, const LocalConfig& after) {
  Update update;
  compare(before.workloads, after.workloads, update.workloads, update.removed_addresses);
  compare(before.services, after.services, update.services, update.removed_addresses);
  compare(before.policies, after.policies, update.policies, update.removed_policies);
  return update;
}

namespace {

constexpr std::chrono::milliseconds kPause{200};  // between looks for a folder that is gone

std::string folder_of(const std::string& path) {
  const auto parent = std::filesystem::path(path).parent_path();
  return parent.empty() ? "." : parent.string();
}

}  // namespace

// The watch is on the folder: editors replace files.
struct LocalFile::State {
  net::Loop& loop;
  std::string path;
  OnUpdate on_update;
  OnProblem on_problem;
  net::FileWatch watch;
  LocalConfig current;
  bool closed = false;

  void look() {
    auto next = load(path);
    if (!next) return on_problem(next.error());
    Update update = difference(current, *next);
    current = std::move(*next);
    if (!update.empty()) on_update(std::move(update));
  }

  // Our file by its name, or a Kubernetes volume's link beside it.
  bool concerns_us(const net::FileChange& change, const std::string& name) const {
    return change.name == name || change.name == "..data" || change.kind == net::FileChange::kLost;
  }

  static net::Task<> follow(std::shared_ptr<State> state) {
    const std::string name = std::filesystem::path(state->path).filename();
    while (!state->closed) {
      const auto changes = co_await state->watch.next();
      if (state->closed || changes.empty()) co_return;
      const bool gone =
          std::ranges::any_of(changes, [](const auto& change) { return change.kind == net::FileChange::kFolderGone; });
      if (gone || std::ranges::any_of(changes, [&](const auto& change) { return state->concerns_us(change, name); }))
        state->look();
      if (gone) co_await find_folder(state);
    }
  }

  // Until the folder, or another in its place, can be watched.
  static net::Task<> find_folder(std::shared_ptr<State> state) {
    state->watch.close();
    while (!state->closed) {
      if (auto watch = net::FileWatch::open(state->loop, folder_of(state->path))) {
        state->watch = std::move(*watch);
        state->look();
        co_return;
      }
      co_await net::sleep_for(state->loop, kPause);
    }
  }
};

LocalFile::LocalFile(std::shared_ptr<State> state) : state_(std::move(state)) {}
LocalFile::LocalFile(LocalFile&&) noexcept = default;

LocalFile::~LocalFile() {
  if (!state_) return;
  state_->closed = true;
  state_->watch.close();
}

Result<LocalFile> LocalFile::open(net::Loop& loop, std::string path, OnUpdate on_update, OnProblem on_problem) {
  auto watch = net::FileWatch::open(loop, folder_of(path));
  if (!watch) return std::unexpected(watch.error());
  auto first = load(path);
  if (!first) return std::unexpected(first.error());
  auto state = std::make_shared<State>(
      State{loop, std::move(path), std::move(on_update), std::move(on_problem), std::move(*watch), std::move(*first)});
  state->on_update(difference({}, state->current));
  loop.spawn(State::follow(state));
  return LocalFile(state);
}

}  // namespace culvert::xds
