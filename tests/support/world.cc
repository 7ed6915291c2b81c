#include "tests/support/world.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <ranges>
#include <set>

#include "common/base/format.h"

namespace culvert::testing {
namespace {

namespace json = boost::json;
namespace fs = std::filesystem;

// YAML takes JSON's strings.
std::string in_quotes(const std::string& text) { return json::serialize(json::value(text)); }

std::string words(const std::vector<std::string>& list) {
  std::string text;
  for (const auto& word : list) text += (text.empty() ? "" : ", ") + in_quotes(word);
  return "[" + text + "]";
}

std::string pairs(const std::map<std::string, std::string>& map) {
  std::string text;
  for (const auto& [name, value] : map) text += (text.empty() ? "" : ", ") + in_quotes(name) + ": " + in_quotes(value);
  return "{" + text + "}";
}

std::string last_line(const std::string& text) {
  const auto end = text.find_last_not_of('\n');
  if (end == text.npos) return {};
  const auto begin = text.rfind('\n', end);
  return text.substr(begin == text.npos ? 0 : begin + 1, end - (begin == text.npos ? 0 : begin + 1) + 1);
}

// Worlds of tests that were killed: all that ran in them went with the test, their cgroups did not.
void remove_the_dead() {
  constexpr std::string_view kOurs = "culvert.local.test-";
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/sys/fs/cgroup", ignored)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with(kOurs)) continue;
    const auto owner = static_cast<pid_t>(std::atoi(name.c_str() + kOurs.size()));
    if (owner > 0 && kill(owner, 0) != 0 && errno == ESRCH)
      (void)run({World::program("culvert"), "local", "down", "--name", name.substr(kOurs.size() - 5)});
  }
}

}  // namespace

// --- Pod ---

std::string Pod::v4() const { return world_->addresses_of("pods", name_).at(0); }
std::string Pod::v6() const { return world_->addresses_of("pods", name_).at(1); }

Ran Pod::run(const std::vector<std::string>& command, Seconds patience) {
  auto process = start(command);
  process.finish();
  return process.wait(patience);
}

Process Pod::start(const std::vector<std::string>& command) {
  std::vector<std::string> line = {"exec", options_.name_space + "/" + name_, "--"};
  line.insert(line.end(), command.begin(), command.end());
  return world_->start_culvert(line);
}

Ran Pod::privileged(const std::string& script) {
  return world_->culvert({"exec", "--privileged", options_.name_space + "/" + name_, "--", "sh", "-c", script});
}

PeerOutcome Pod::peer(const std::string& what, const std::string& host, long bytes, int port, Seconds patience) {
  const auto ran = run({World::program("peer"), what, host, std::to_string(port), std::to_string(bytes)}, patience);
  PeerOutcome outcome{.ok = false, .bytes = 0, .ms = 0, .end = "none", .text = ran.out};
  boost::system::error_code failed;
  const auto value = json::parse(last_line(ran.out), failed);
  if (failed || !value.is_object()) return outcome;
  const auto& object = value.as_object();
  if (const auto* ok = object.if_contains("ok")) outcome.ok = ok->as_bool();
  if (const auto* ms = object.if_contains("ms")) outcome.ms = ms->as_int64();
  if (const auto* count = object.if_contains("bytes")) outcome.bytes = count->as_int64();  // "last" may have nothing to tell yet
  if (const auto* end = object.if_contains("end")) outcome.end = end->as_string();
  return outcome;
}

std::string Pod::logs() const { return world_->logs(options_.name_space + "/" + name_); }

PodState Pod::state() const {
  boost::system::error_code failed;
  const auto value = json::parse(world_->status(), failed);
  if (failed || !value.is_object()) return {};
  for (const auto& one : value.as_object().at("pods").as_array()) {
    const auto& pod = one.as_object();
    if (pod.at("name").as_string() != name_ || pod.at("namespace").as_string() != options_.name_space) continue;
    return {.ready = pod.at("ready").as_bool(),
            .restarts = pod.at("restarts").as_int64(),
            .mesh = std::string(pod.at("mesh").as_string())};
  }
  return {};
}

// --- Node ---

Pod& Node::pod(const std::string& name, PodOptions options) {
  auto& pod = *world_->pods_.emplace_back(std::make_unique<Pod>());
  pod.world_ = world_;
  pod.name_ = name;
  pod.node_ = name_;
  pod.options_ = std::move(options);
  if (pod.options_.service_account.empty()) pod.options_.service_account = name;
  return pod;
}

Pod* Node::find(const std::string& name) {
  for (const auto& pod : world_->pods_) {
    if (pod->name_ == name && pod->node_ == name_) return pod.get();
  }
  ADD_FAILURE() << "no pod " << name << " on " << name_;
  return nullptr;
}

Ran Node::shell(const std::string& script, Seconds patience) {
  return world_->culvert({"exec", name_, "--", "sh", "-c", script}, patience);
}

Process Node::start(const std::vector<std::string>& command) {
  std::vector<std::string> line = {"exec", name_, "--"};
  line.insert(line.end(), command.begin(), command.end());
  return world_->start_culvert(line);
}

std::string Node::address(bool v6) const { return world_->addresses_of("nodes", name_).at(v6 ? 1 : 0); }
std::string Node::ztunnel_errors() const {
  std::string errors;
  for (const auto& part : std::views::split(ztunnel_logs(), '\n')) {
    const std::string_view line(part);
    if (line.contains("error=") || line.contains("\twarn\t") || line.contains("\terror\t")) errors.append(line).append("\n");
  }
  return errors.substr(errors.size() > 6000 ? errors.size() - 6000 : 0);
}
std::string Node::ztunnel_logs() const { return world_->logs(name_ + "/ztunnel"); }
void Node::kill(const std::string& program) { world_->stop(name_ + "/" + program, SIGKILL); }
void Node::start_program(const std::string& program) { world_->start_program(name_ + "/" + program); }

// Inside the world everybody sees the same process numbers, so that one look at /proc from within finds it.
long Node::resident_kib(const std::string& program) const {
  const auto ran = world_->culvert({"exec", name_, "--", "sh", "-c", culvert::format("cat /proc/{}/status", pid_of(program))});
  const auto at = ran.out.find("VmRSS:");
  return at == ran.out.npos ? -1 : std::atol(ran.out.c_str() + at + 6);
}

pid_t Node::pid_of(const std::string& program) const {
  const auto value = json::parse(world_->status()).as_object();
  for (const auto& node : value.at("nodes").as_array()) {
    for (const auto& one : node.as_object().at("programs").as_array()) {
      if (one.as_object().at("name").as_string() == name_ + "/" + program)
        return static_cast<pid_t>(one.as_object().at("pid").as_int64());
    }
  }
  return 0;
}

// --- Wire ---

Wire::Wire(Node& node, const std::string& filter)
    : node_(node),
      capture_(
          node.start({"tcpdump", "-i", "eth0", "-Z", "root", "--immediate-mode", "-l", "-n", "(" + filter + ") or udp port 9"})) {
  EXPECT_TRUE(capture_.says("listening on")) << capture_.out();
}

const std::string& Wire::packets() {
  static int marks = 0;
  const std::string mark(static_cast<std::size_t>(200 + ++marks), '.');  // its length names it
  EXPECT_EQ(node_.shell("printf " + mark + " | socat -u - UDP:172.30.0.1:9").code, 0);
  EXPECT_TRUE(capture_.says(culvert::format("UDP, length {}", mark.size())))
      << "the capture does not see the wire: " << capture_.out();
  return capture_.out();
}

// --- World ---

World::World(WorldOptions options) : options_(std::move(options)), name_(culvert::format("test-{}", getpid())) {
  static int count = 0;
  if (count == 0) remove_the_dead();
  name_ += culvert::format("-{}", ++count);
  std::string pattern = "/tmp/culvert-world-XXXXXX";
  folder_ = mkdtemp(pattern.data());
  for (int number = 1; number <= options_.nodes; ++number) {
    auto& node = *(nodes_[culvert::format("node{}", number)] = std::make_unique<Node>());
    node.world_ = this;
    node.name_ = culvert::format("node{}", number);
  }
}

World::~World() {
  if (::testing::UnitTest::GetInstance()->Failed() && process_) {  // a suite's world ends after its tests
    std::cout << culvert({"status"}).out;
    std::vector<std::string> targets = {"world"};
    if (options_.mesh) targets.push_back("culvertd");
    for (const auto& [name, node] : nodes_) {
      if (options_.mesh) targets.insert(targets.end(), {name + "/culvert-node", name + "/ztunnel"});
    }
    for (const auto& target : targets) {
      const auto text = logs(target);
      std::cout << "--- " << target << " (the end)\n" << text.substr(text.size() > 6000 ? text.size() - 6000 : 0);
    }
  }
  (void)culvert({"down"});
  process_.reset();
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

Node& World::node(const std::string& name) { return *nodes_.at(name); }

std::string World::program(const std::string& name) {
  static const fs::path folder = [] {
    auto path = fs::read_symlink("/proc/self/exe");
    while (!fs::exists(path / "bin") && path != path.root_path()) path = path.parent_path();
    return path / "bin";
  }();
  return folder / name;
}

std::vector<std::string> World::peer_server() { return {program("peer"), "serve", std::to_string(kPeerPort)}; }
std::vector<std::string> World::load_server() { return {program("load"), "server", std::to_string(kLoadPort)}; }

Process World::start_culvert(std::vector<std::string> line) {
  line.insert(line.begin(), {program("culvert"), "local"});
  line.insert(line.begin() + 3, {"--name", name_});
  return Process(line);
}

Ran World::culvert(std::vector<std::string> line, Seconds patience) {
  auto process = start_culvert(std::move(line));
  process.finish();
  return process.wait(patience);
}

Ran World::ask(std::vector<std::string> words, Seconds patience) {
  words.insert(words.begin(), program("culvert"));
  words.insert(words.end(), {"--world", name_});
  Process process(words);
  process.finish();
  return process.wait(patience);
}

std::string World::objects() const {
  std::string text;
  std::set<std::pair<std::string, std::string>> accounts;
  for (const auto& [name, ambient] : ambient_) {
    text +=
        culvert::format("---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {}, labels: {{istio.io/dataplane-mode: {}}}}}\n",
                        name, ambient ? "ambient" : "none");
  }
  for (const auto& pod : pods_) {
    const auto& options = pod->options_;
    if (accounts.emplace(options.name_space, options.service_account).second) {
      text += culvert::format("---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {}, namespace: {}}}\n",
                              options.service_account, options.name_space);
    }
    auto labels = options.labels;
    labels.emplace("app", pod->name_);
    text += culvert::format(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {}, namespace: {}, labels: {}}}\nspec:\n  nodeName: {}\n  "
        "serviceAccountName: {}\n"
        "  hostNetwork: {}\n  containers:\n  - name: main\n    command: {}\n",
        pod->name_, options.name_space, pairs(labels), pod->node_, options.service_account, options.host_network,
        words(options.command));
    if (!options.env.empty()) text += "    env:\n";
    for (const auto& [name, value] : options.env)
      text += culvert::format("    - {{name: {}, value: {}}}\n", name, in_quotes(value));
    if (options.port != 0) {
      const auto asked = options.path.empty() ? std::string("tcpSocket: {") : "httpGet: {path: " + in_quotes(options.path) + ", ";
      text += culvert::format("    readinessProbe: {{{}port: {}}}, periodSeconds: 1}}\n", asked, options.port);
    }
  }
  return text + services_;
}

void World::service(const std::string& name, const std::string& app, int port, int target, bool headless,
                    const std::string& name_space) {
  services_ += culvert::format(
      "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {}, namespace: {}}}\nspec: {{{}selector: {{app: {}}}, ports: "
      "[{{name: tcp, port: {}, targetPort: {}}}]}}\n",
      name, name_space, headless ? "clusterIP: None, " : "", app, port, target);
}

void World::write(const std::string& file, const std::string& yaml) {
  const std::string path = folder_ + "/" + file;
  std::ofstream(path + ".new") << yaml;
  fs::rename(path + ".new", path);
}

void World::remove(const std::string& file) { fs::remove(folder_ + "/" + file); }

void World::set_ambient(const std::string& name_space, bool ambient) {
  ambient_[name_space] = ambient;
  write("objects.yaml", objects());
}

void World::up(Seconds patience) {
  write("objects.yaml", objects());
  addresses_.clear();
  if (!process_) {
    std::vector<std::string> line = {"up",        "--foreground",
                                     "--nodes",   std::to_string(options_.nodes),
                                     "--timeout", std::to_string(static_cast<int>(patience.count())),
                                     folder_};
    if (!options_.mesh) line.emplace_back("--no-mesh");
    for (const auto& pair : options_.env) line.insert(line.end(), {"--env", pair});
    process_.emplace(start_culvert(line));
    if (!process_->says("IDENTITY", patience + 10s)) {
      ADD_FAILURE() << "the world did not come up: " << process_->out();
      return;
    }
  }
  if (!settle(patience)) ADD_FAILURE() << "the world is not ready: " << culvert({"status"}).out;
}

void World::crash() {
  process_->signal(SIGKILL);
  EXPECT_NE(process_->wait(10s).code, -1);
}

bool World::settle(Seconds patience) {
  return culvert({"wait", "--timeout", std::to_string(static_cast<int>(patience.count()))}, patience + 5s).code == 0;
}

std::string World::logs(const std::string& target) { return culvert({"logs", target}).out; }

void World::stop(const std::string& program, int signal) {
  const auto ran = culvert({"stop", program, "--signal", std::to_string(signal)});
  EXPECT_EQ(ran.code, 0) << ran.out;
}

void World::start_program(const std::string& program) {
  const auto ran = culvert({"start", program});
  EXPECT_EQ(ran.code, 0) << ran.out;
}

std::string World::status() { return culvert({"status", "--output", "json"}).out; }

const std::vector<std::string>& World::addresses_of(const std::string& kind, const std::string& name) {
  const std::string key = kind + "/" + name;
  if (!addresses_.contains(key)) {
    const auto answer = status();
    boost::system::error_code failed;
    const auto value = json::parse(answer, failed);
    if (!failed) {
      for (const auto& one : value.as_object().at(kind).as_array()) {
        auto& list = addresses_[kind + "/" + std::string(one.as_object().at("name").as_string())];
        list.clear();
        for (const auto& address : one.as_object().at("addresses").as_array()) list.emplace_back(address.as_string());
      }
    }
  }
  auto& list = addresses_[key];
  if (list.empty()) {
    ADD_FAILURE() << "no addresses of " << key;
    list = {"0.0.0.0", "::"};
  }
  return list;
}

std::string World::service_address(const std::string& name, bool v6) { return addresses_of("services", name).at(v6 ? 1 : 0); }

}  // namespace culvert::testing
