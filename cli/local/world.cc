#include "cli/local/world.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>

#include "common/base/format.h"
#include "common/config/folder.h"

namespace culvert::local {
namespace {

constexpr std::string_view kConfig = "config";

// The YAML files of a folder: name -> text.
std::map<std::string, std::string> read_yaml(const std::string& folder) {
  std::map<std::string, std::string> files;
  DIR* entries = opendir(folder.c_str());
  if (entries == nullptr) return files;
  while (const dirent* entry = readdir(entries)) {
    const std::string name = entry->d_name;
    if (!config::Folder::reads(name)) continue;
    if (auto text = read_file(folder + "/" + name)) files[name] = *std::move(text);
  }
  closedir(entries);
  return files;
}

void drain(int fd) {
  std::array<char, 4096> events;
  while (read(fd, events.data(), events.size()) > 0) {}
}

}  // namespace

void say(const std::string& line) {
  const auto now = std::time(nullptr);
  std::array<char, 32> stamp{};
  std::strftime(stamp.data(), stamp.size(), "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&now));
  std::fprintf(stderr, "%s\t%s\n", stamp.data(), line.c_str());
}

World::World(WorldOptions options, Fd control, Fd folder)
    : options_(std::move(options)),
      control_(std::move(control)),
      folder_(loop_, options_.folder, std::move(folder), [this] { read_texts(); }) {}
World::~World() = default;

Status World::run() {
  if (auto up = bring_up(); !up) return up;
  {
    const Fd log(open(world_path("logs/world.log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
    if (dup2(log.get(), 2) < 0) return failure_errno("opening the world's log");
  }
  // From here on nothing is the caller's: whoever reads his standard error sees its end.
  read_texts();
  publish();
  if (options_.mesh) start_mesh();
  read_children();
  while (!ending_) {
    loop_.turn();
    if (touched_) publish();
    tell_waiters();
  }
  return {};
}

Status World::bring_up() {
  sigset_t mask;
  sigemptyset(&mask);
  for (const int number : {SIGCHLD, SIGTERM, SIGINT, SIGHUP}) sigaddset(&mask, number);
  sigprocmask(SIG_BLOCK, &mask, nullptr);
  signals_.reset(signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK));
  if (auto grounded = ground_world(options_.name); !grounded) return grounded;
  pid_space_.reset(open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC));

  if (auto opened = folder_.open(); !opened) return opened;
  status_watch_.reset(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  constexpr auto kEvents = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE;
  if (inotify_add_watch(status_watch_.get(), world_path("config/status/pods").c_str(), kEvents) < 0)
    return failure_errno("watching enrolment");

  if (auto started = start_nodes(); !started) return started;
  loop_.watch(signals_.get(), [this] { read_children(); });
  loop_.watch(status_watch_.get(), [this] {
    drain(status_watch_.get());
    read_enrolment();
  });
  if (listen(control_.get(), 64) != 0) return failure_errno("listening for control");
  loop_.watch(control_.get(), [this] { serve_control(); });
  return {};
}

Status World::start_nodes() {
  if (auto made = make_tokens(); !made) return made;
  here_.net.reset(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  for (int number = 1; number <= options_.nodes; ++number) {
    auto place = make_node(options_.name, number, options_.nodes);
    if (!place) return std::unexpected(place.error());
    nodes_[number].place = *std::move(place);
  }
  if (auto written = write_file(world_path("zone"), ""); !written) return written;
  for (auto& [number, node] : nodes_) {
    const auto dns = cluster_dns(options_.self);
    node.programs[dns.name] = keep(node.place, node_name(number) + "/" + dns.name, dns);
  }
  return {};
}

Status World::make_tokens() {
  std::map<int, std::string> tokens;
  for (int number = 1; number <= options_.nodes; ++number) {
    tokens[number] = random_uid() + random_uid();
    if (auto written = write_file(token_path(number), tokens[number], 0600); !written) return written;
  }
  return write_file(world_path("tokens/all"), render_tokens(tokens), 0600);
}

void World::start_mesh() {
  control_plane_ = keep(here_, "control/culvertd", control_plane(options_.programs));
  for (auto& [number, node] : nodes_) {
    const auto agent = node_agent(options_.programs, number);
    node.programs[agent.name] = keep(node.place, node_name(number) + "/" + agent.name, agent);
  }
  start_ztunnels();
}

// They need to know whom to trust: the control plane writes that when it starts for the first time.
void World::start_ztunnels() {
  if (access(root_certificate().c_str(), R_OK) != 0) {
    loop_.after(std::chrono::milliseconds(10), [this] { start_ztunnels(); });
    return;
  }
  for (auto& [number, node] : nodes_) {
    const auto program = ztunnel(options_.programs, number);
    node.programs[program.name] = keep(node.place, node_name(number) + "/" + program.name, program);
  }
}

std::unique_ptr<Kept> World::keep(const Place& place, const std::string& below, const Program& program) {
  const auto start = [this, &place, below, program]() -> Result<pid_t> {
    auto group = cgroup(options_.name, below);
    if (!group) return std::unexpected(group.error());
    auto where = in_cgroup(place, *std::move(group));
    if (!where) return std::unexpected(where.error());
    std::string name = below;
    std::ranges::replace(name, '/', '.');
    const Fd log(open(world_path("logs/" + name + ".log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
    Command command{.argv = program.argv, .env = program.env};
    command.output = command.error = log.get();
    return spawn(*where, command);
  };
  return std::make_unique<Kept>(loop_, below, start, [this] { touch(); });
}

void World::read_children() {
  signalfd_siginfo signal;
  while (read(signals_.get(), &signal, sizeof signal) == sizeof signal) {
    if (signal.ssi_signo != SIGCHLD) ending_ = true;
  }
  int status = 0;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
    if (control_plane_ && control_plane_->pid() == pid) {
      say(culvert::format("culvertd ended"));
      control_plane_->ended(status);
    }
    for (auto& [number, node] : nodes_) {
      for (auto& [name, program] : node.programs) {
        if (program->pid() == pid) program->ended(status);
      }
    }
    for (auto& [name, pod] : pods_) {
      if (pod->ended(pid, status)) break;
    }
  }
}

void World::read_texts() {
  const Texts& texts = folder_.texts();
  kept_files_.clear();
  for (const auto& [name, text] : texts.all()) {
    if (texts.away(name)) continue;  // culvertd waits for it itself
    if (auto kept = keep_policies(name, text); !kept.empty()) kept_files_[name] = std::move(kept);
  }
  touch();
  const auto folder = read_folder(texts.all());
  auto plan = lay_out(folder, options_.nodes, layout_);
  std::vector<std::string> problems;
  for (const auto& [name, why] : folder_.unreadable()) problems.push_back(why);
  for (const auto* list : {&std::as_const(folder.problems), &std::as_const(plan.problems)}) {
    for (const auto& problem : *list) problems.push_back(problem.text());
  }
  if (!problems.empty() && texts.deadline())
    return;  // a file that is renamed stands there twice until its old name counts no more
  problems_ = std::move(problems);
  for (const auto& problem : problems_) say("not in force: " + problem);
  if (problems_.empty()) apply(plan.layout);
}

void World::apply(const Layout& layout) {
  remove_stale(layout);
  layout_ = layout;
  add_missing();
  start_enrolled();
}

// Pods that are not wanted any more, or not as they are. They leave the endpoints first.
void World::remove_stale(const Layout& layout) {
  std::vector<PodName> stale;
  for (const auto& [name, pod] : pods_) {
    const auto wanted = layout.pods.find(name);
    if (wanted == layout.pods.end() || wanted->second.spec != pod->plan().spec ||
        wanted->second.addresses != pod->plan().addresses)
      stale.push_back(name);
  }
  if (stale.empty()) return;
  std::map<PodName, std::unique_ptr<PodLife>> leaving;
  for (const auto& name : stale) {
    leaving[name] = std::move(pods_[name]);
    pods_.erase(name);
  }
  publish();
}

void World::add_missing() {
  failed_.clear();
  for (const auto& [name, plan] : layout_.pods) {
    if (const auto old = pods_.find(name); old != pods_.end()) {
      old->second->relabel(plan);
      if (auto written = old->second->refresh(layout_); !written) {
        failed_[name] = written.error().text;
        say(written.error().text);
      }
      continue;
    }
    if (enrolment_.contains(name)) continue;  // of its predecessor: wait until the node agent has taken that back
    auto life = PodLife::make(loop_, options_.name, plan, layout_, nodes_[plan.node].place, [this] { touch(); });
    if (life) {
      pods_[name] = *std::move(life);
    } else {
      failed_[name] = life.error().text;
      say(life.error().text);
    }
  }
  read_children();  // of what was set up
}

// The node agents' annotations: "enabled" when a pod is enrolled.
void World::read_enrolment() {
  enrolment_.clear();
  const std::string folder = world_path("config/status/pods");
  for (const auto& [file, text] : read_yaml(folder)) {
    for (const auto& parsed : config::parse_yaml(file, text).objects) {
      const auto* pod = std::get_if<config::Pod>(parsed.object.get());
      if (pod == nullptr) continue;
      const auto state = config::value_of(pod->metadata.annotations, "ambient.istio.io/redirection");
      if (!state.empty()) enrolment_[{pod->metadata.name_space, pod->metadata.name}] = state;
    }
  }
  if (pods_.size() < layout_.pods.size()) add_missing();
  start_enrolled();
  touch();
}

// A pod that belongs to the mesh starts in it or not at all.
void World::start_enrolled() {
  for (auto& [name, pod] : pods_) {
    if (pod->started()) continue;
    const auto enrolled = enrolment_.find(name);
    if (!options_.mesh || !wants_mesh(layout_, pod->plan()) || (enrolled != enrolment_.end() && enrolled->second == "enabled")) {
      pod->start();
      touch();
    }
  }
}

void World::touch() { touched_ = true; }

void World::publish() {
  touched_ = false;
  publish_files();
  std::set<PodName> ready;
  for (const auto& [name, pod] : pods_) {
    if (pod->state().ready) ready.insert(name);
  }
  publish_network(ready);
}

void World::publish_files() {
  PodStates states;
  for (const auto& [name, pod] : pods_) states[name] = pod->state();
  auto files = render_objects(layout_, states);
  files.insert(kept_files_.begin(), kept_files_.end());
  const std::string folder = world_path(kConfig) + "/";
  for (const auto& [name, text] : files) {
    const auto old = published_.find(name);
    if (old != published_.end() && old->second == text) continue;
    if (auto written = write_file(folder + name, text); !written) say(written.error().text);
  }
  for (const auto& [name, text] : published_) {
    if (!files.contains(name)) unlink((folder + name).c_str());
  }
  published_ = std::move(files);
}

void World::publish_network(const std::set<PodName>& ready) {
  if (auto zone = render_zone(layout_, ready); zone != published_zone_) {
    if (auto written = write_file(world_path("zone"), zone); !written) say(written.error().text);
    published_zone_ = std::move(zone);
  }
  auto rules = render_services(layout_, ready);
  if (rules == published_rules_) return;
  published_rules_ = std::move(rules);
  for (const auto& [number, node] : nodes_) {
    if (auto done = local::run(node.place, {"nft", "-f", "-"}, published_rules_); !done) say(done.error().text);
  }
}

}  // namespace culvert::local
