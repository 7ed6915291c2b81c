#include "cli/local/pod_life.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <utility>

#include "cli/local/probe.h"
#include "common/base/format.h"

namespace culvert::local {
namespace {

constexpr auto kProberPause = std::chrono::seconds(1);

std::string volume_folder(const PodPlan& plan, const std::string& volume) { return pod_folder(plan) + "/volumes/" + volume; }

std::vector<Mount> mounts_of(const PodPlan& plan) {
  std::vector<Mount> mounts;
  for (const auto& container : plan.spec.containers) {
    for (const auto& mount : container.mounts) {
      const auto volume = std::ranges::find(plan.spec.on_node->volumes, mount.volume, &config::Volume::name);
      if (volume == plan.spec.on_node->volumes.end()) continue;
      const std::string from = volume_folder(plan, mount.volume) + (mount.sub_path.empty() ? "" : "/" + mount.sub_path);
      mounts.push_back({from, mount.mount_path, mount.read_only || !volume->empty_dir});
    }
  }
  return mounts;
}

}  // namespace

std::string random_uid() {
  std::array<unsigned char, 16> bytes{};
  if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    return "00000000-0000-4000-8000-000000000000";
  bytes[6] = static_cast<unsigned char>((bytes[6] & 0x0f) | 0x40);
  bytes[8] = static_cast<unsigned char>((bytes[8] & 0x3f) | 0x80);
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += culvert::format("{:02x}", bytes[i]);
  }
  return text;
}

PodLife::PodLife(Loop& loop, std::string world, const PodPlan& plan, std::function<void()> changed)
    : loop_(loop), world_(std::move(world)), uid_(random_uid()), plan_(plan), changed_(std::move(changed)) {}

Result<std::unique_ptr<PodLife>> PodLife::make(Loop& loop, const std::string& world, const PodPlan& plan, const Layout& layout,
                                               const Place& node, std::function<void()> changed) {
  std::unique_ptr<PodLife> life(new PodLife(loop, world, plan, std::move(changed)));
  auto group = cgroup(world, node_name(plan.node) + "/kubelet");
  if (!group) return std::unexpected(group.error());
  auto kubelet = in_cgroup(node, *std::move(group));
  if (!kubelet) return std::unexpected(kubelet.error());
  life->kubelet_ = *std::move(kubelet);
  life->made_ = true;
  if (auto written = life->write_volumes(layout); !written) return std::unexpected(written.error());
  auto place = make_pod(world, life->plan_, mounts_of(plan), node);
  if (!place) return std::unexpected(place.error());
  life->place_ = *std::move(place);
  return life;
}

PodLife::~PodLife() {
  for (auto& container : containers_) end_probe(*container);
  containers_.clear();
  place_ = Place();
  if (made_) remove_pod(world_, plan_);
}

Status PodLife::refresh(const Layout& layout) {
  auto written = write_volumes(layout);
  if (!written)
    return std::unexpected(written.error().during("bringing the volumes of pod " + plan_.name().text() + " up to date"));
  return {};
}

Status PodLife::write_volumes(const Layout& layout) {
  for (const auto& volume : plan_.spec.on_node->volumes) {
    const std::string folder = volume_folder(plan_, volume.name);
    if (auto made = make_folder(folder, volume.empty_dir ? 0777 : 0755); !made) return made;
    if (volume.empty_dir) continue;
    const auto config = layout.config_maps.find({plan_.metadata.name_space, volume.config_map});
    if (config == layout.config_maps.end()) continue;
    std::map<std::string, std::string> files;
    for (const auto& [key, text] : config->second.data) {
      const auto item = std::ranges::find(volume.items, key, &config::Volume::Item::key);
      if (!volume.items.empty() && item == volume.items.end()) continue;
      files[folder + "/" + (volume.items.empty() ? key : item->path)] = text;
    }
    if (auto filled = fill(folder, files); !filled) return filled;
  }
  return {};
}

// Path -> text: these and no others.
Status PodLife::fill(const std::string& folder, const std::map<std::string, std::string>& files) {
  std::error_code error;
  std::vector<std::string> others;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder, error)) {
    if (!entry.is_directory(error) && !files.contains(entry.path())) others.push_back(entry.path());
  }
  for (const auto& path : others) {
    if (unlink(path.c_str()) != 0) return failure_errno("removing " + path);
  }
  for (const auto& [path, text] : files) {
    if (const auto old = read_file(path); old && *old == text) continue;
    if (auto made = make_folder(std::filesystem::path(path).parent_path()); !made) return made;
    if (auto written = write_file(path, text); !written) return written;
  }
  return {};
}

void PodLife::start() {
  for (const auto& spec : plan_.spec.containers) {
    auto& container = *containers_.emplace_back(std::make_unique<Container>());
    container.spec = &spec;
    container.kept = std::make_unique<Kept>(
        loop_, spec.name, [this, &spec] { return run_container(spec); },
        [this, &container] {
          container_changed(container);
          changed_();
        });
    container_changed(container);
  }
}

Result<pid_t> PodLife::run_container(const config::Container& spec) {
  if (auto made = make_folder(world_path("logs/" + plan_.metadata.name_space + "." + plan_.metadata.name)); !made)
    return std::unexpected(made.error());
  const Fd log(open(log_path(spec.name).c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!log) return failure_errno("opening the log of " + spec.name);
  Command command{
      .argv = spec.command, .env = environment_of(spec), .directory = spec.working_dir.empty() ? "/" : spec.working_dir};
  command.argv.insert(command.argv.end(), spec.args.begin(), spec.args.end());
  for (auto& word : command.argv) word = expand(word, command.env);
  command.output = command.error = log.get();
  command.privilege = Privilege::kContainer;
  // In a cgroup of its own below the pod's: what an earlier run has left behind ends there before the next begins.
  const std::string below = pod_cgroup(plan_) + "/" + spec.name;
  end_cgroup(world_, below);
  auto group = cgroup(world_, below);
  if (!group) return std::unexpected(group.error());
  auto place = in_cgroup(place_, *std::move(group));
  if (!place) return std::unexpected(place.error());
  return spawn(*place, command);
}

void PodLife::container_changed(Container& container) {
  end_probe(container);
  container.ready = container.kept->running() && !container.spec->readiness;
  if (container.kept->running() && container.spec->readiness) begin_probe(container);
}

void PodLife::begin_probe(Container& container) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return probe_later(container);
  container.verdicts.reset(ends[0]);
  const Fd out(ends[1]);
  container.prober = fork();
  if (container.prober == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int number = 1; number < 32; ++number) signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    if (!enter(kubelet_)) _exit(1);
    probe_forever(*container.spec->readiness, plan_, *container.spec, place_, environment_of(*container.spec), out.get());
  }
  // Whoever cannot be made, as whoever ends, closes the other end.
  loop_.watch(container.verdicts.get(), [this, &container] { read_verdicts(container); });
}

void PodLife::probe_later(Container& container) {
  container.next_prober = loop_.after(kProberPause, [this, &container] {
    container.next_prober = 0;
    begin_probe(container);
  });
}

void PodLife::end_probe(Container& container) {
  if (container.prober > 0) kill(container.prober, SIGKILL);
  container.prober = 0;
  if (container.verdicts) loop_.forget(container.verdicts.get());
  container.verdicts.reset();
  loop_.cancel(std::exchange(container.next_prober, 0));
}

void PodLife::read_verdicts(Container& container) {
  std::array<char, 64> verdicts;
  const auto count = read(container.verdicts.get(), verdicts.data(), verdicts.size());
  if (count < 0) return;
  const bool ready = count > 0 && verdicts[static_cast<std::size_t>(count) - 1] == '1';
  if (count == 0) {
    end_probe(container);
    probe_later(container);
  }
  if (ready == container.ready) return;
  container.ready = ready;
  changed_();
}

bool PodLife::ended(pid_t pid, int status) {
  for (auto& container : containers_) {
    if (container->kept->pid() == pid) {
      container->kept->ended(status);
      return true;
    }
    if (container->prober == pid) {
      container->prober = 0;  // read_verdicts sees its end
      return true;
    }
  }
  return false;
}

PodState PodLife::state() const {
  const auto all = [&](auto&& holds) { return started() && std::ranges::all_of(containers_, holds); };
  return {.uid = uid_,
          .running = started(),
          .ready = all([](const auto& container) { return container->ready; }),
          .netns = plan_.spec.host_network ? "" : netns_path(plan_)};
}

int PodLife::restarts() const {
  int count = 0;
  for (const auto& container : containers_) count += container->kept->restarts();
  return count;
}

std::string PodLife::trouble() const {
  for (const auto& container : containers_) {
    if (container->ready) continue;
    const auto& end = container->kept->last_end();
    if (!container->kept->running())
      return culvert::format("{} ended: {}", container->kept->name(), end.empty() ? "it does not start" : end);
    return container->kept->name() + " is running and not ready yet";
  }
  return {};
}

std::string PodLife::log_path(const std::string& container) const {
  return world_path(culvert::format("logs/{}.{}/{}.log", plan_.metadata.name_space, plan_.metadata.name, container));
}

std::map<std::string, std::string> PodLife::environment_of(const config::Container& container) const {
  return environment(plan_, container, uid_);
}

}  // namespace culvert::local
