// What a running world answers to those who ask (control.h).

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/json.hpp>

#include "cli/local/control.h"
#include "cli/local/world.h"
#include "common/base/format.h"

namespace culvert::local {
namespace {

namespace json = boost::json;

void answer_error(int client, const std::string& text) { send_answer(client, json::serialize(json::object{{"error", text}})); }

std::string text_of(const json::object& request, std::string_view name) {
  const auto* value = request.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}

std::int64_t number_of(const json::object& request, std::string_view name, std::int64_t fallback) {
  const auto* value = request.if_contains(name);
  return value != nullptr && value->is_int64() ? value->as_int64() : fallback;
}

json::object program_status(const Kept& program) {
  json::object object{{"name", program.name()},
                      {"running", program.running()},
                      {"wanted", program.wanted()},
                      {"restarts", program.restarts()},
                      {"pid", program.pid()}};
  if (!program.running()) object["last_end"] = program.last_end();
  return object;
}

json::array texts(const Addresses& addresses) { return {addresses.v4.text(), addresses.v6.text()}; }

}  // namespace

void World::serve_control() {
  Fd client(accept4(control_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!client) return;
  auto request = read_request(client.get());
  if (!request) return say(request.error().text);
  if (request->empty()) return;
  answer(std::move(client), *request);
}

void World::answer(Fd client, const std::string& text) {
  boost::system::error_code failed;
  const auto value = json::parse(text, failed);
  if (failed || !value.is_object()) return answer_error(client.get(), "the request is not understood");
  const auto& request = value.as_object();
  const std::string what = text_of(request, "do"), target = text_of(request, "target");
  if (what == "status") return send_answer(client.get(), status());
  if (what == "enter") return answer_enter(client.get(), target, text_of(request, "container"));
  if (what == "logs") return answer_logs(client.get(), target, text_of(request, "container"));
  if (what == "start" || what == "stop")
    return answer_program(client.get(), target, what == "start", static_cast<int>(number_of(request, "signal", SIGTERM)));
  if (what == "settle")
    return await_settled(std::move(client), std::chrono::milliseconds(number_of(request, "patience_ms", 60'000)));
  answer_error(client.get(), "the world does not know how to " + what);
}

// A pod by "name", "namespace/name" or by the beginning of its name when there is but one such.
PodLife* World::find_pod(const std::string& target, std::string& error) {
  std::vector<PodLife*> found;
  for (auto& [name, pod] : pods_) {
    if (name.text() == target || name.name == target) return pod.get();
    if (name.text().starts_with(target) || name.name.starts_with(target)) found.push_back(pod.get());
  }
  if (found.size() == 1) return found.front();
  error = found.empty() ? "there is no pod " + target
                        : culvert::format("{} pods are called {}…: write more of the name", found.size(), target);
  return nullptr;
}

// "culvertd", "node1/ztunnel".
Kept* World::find_program(const std::string& target) {
  if (target == "culvertd") return control_plane_.get();
  for (auto& [number, node] : nodes_) {
    for (auto& [name, program] : node.programs) {
      if (program->name() == target) return program.get();
    }
  }
  return nullptr;
}

// "control" and "node1" are places to be in, too.
Result<Place> World::place_of_machine(const std::string& target) {
  if (target == "control") {
    auto group = cgroup(options_.name, "control");
    if (!group) return std::unexpected(group.error());
    auto place = in_cgroup(here_, *std::move(group));
    if (!place) return place;
    place->mount.reset(open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC));
    place->uts.reset(open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC));
    return place;
  }
  const auto number = node_number(target, options_.nodes);
  if (!number) return failure("no such node");
  auto group = cgroup(options_.name, target + "/exec");
  if (!group) return std::unexpected(group.error());
  return in_cgroup(nodes_[*number].place, *std::move(group));
}

void World::answer_enter(int client, const std::string& target, const std::string& container) {
  json::object answer{
      {"env", json::object{{"PATH", kPath}, {"HOME", "/root"}, {"LANG", "C.UTF-8"}}}, {"directory", "/"}, {"pod", false}};
  auto machine = place_of_machine(target);
  const Place* place = machine ? &*machine : nullptr;
  if (place == nullptr) {
    std::string error;
    PodLife* pod = find_pod(target, error);
    if (pod == nullptr) return answer_error(client, error);
    place = &pod->place();
    for (const auto& spec : pod->plan().spec.containers) {
      if (!container.empty() && spec.name != container) continue;
      json::object env;
      for (const auto& [name, value] : pod->environment_of(spec)) env[name] = value;
      answer["env"] = std::move(env);
      answer["directory"] = spec.working_dir.empty() ? "/" : spec.working_dir;
      break;
    }
    answer["pod"] = true;
  }
  // Which namespaces there are, in the order of the descriptors; the last two are the cgroup's folder and the process namespace.
  std::vector<int> fds;
  json::array names;
  const std::pair<const char*, const Fd*> spaces[] = {
      {"net", &place->net}, {"mount", &place->mount},         {"uts", &place->uts},
      {"ipc", &place->ipc}, {"cgroup_ns", &place->cgroup_ns}, {"cgroup", &place->cgroup},
      {"pid", &pid_space_}};
  for (const auto& [name, fd] : spaces) {
    if (!*fd) continue;
    names.emplace_back(name);
    fds.push_back(fd->get());
  }
  answer["spaces"] = std::move(names);
  send_answer(client, json::serialize(answer), fds);
}

void World::answer_logs(int client, const std::string& target, const std::string& container) {
  std::string path = world_path("logs/world.log"), error;
  if (const Kept* program = find_program(target)) {
    std::string name = program->name();
    std::ranges::replace(name, '/', '.');
    path = world_path("logs/" + name + ".log");
  } else if (target != "world") {
    const PodLife* pod = find_pod(target, error);
    if (pod == nullptr) return answer_error(client, error);
    path = pod->log_path(container.empty() ? pod->plan().spec.containers->front().name : container);
  }
  const Fd log(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!log) return answer_error(client, "nothing was written yet");
  send_answer(client, "{}", {log.get()});
}

void World::answer_program(int client, const std::string& target, bool start, int signal) {
  Kept* program = find_program(target);
  if (program == nullptr)
    return answer_error(client, "there is no program " + target + " (culvertd, node1/ztunnel, node1/culvert-node, ...)");
  start ? program->begin() : program->stop(signal);
  send_answer(client, "{}");
}

void World::await_settled(Fd client, std::chrono::milliseconds patience) {
  folder_.catch_up();  // whoever asks has just written something, and wants that to be seen
  read_texts();        // a pod that could not be made is tried again
  publish();
  Waiter waiter{.client = std::move(client)};
  const auto id = loop_.after(patience, [] {});
  loop_.cancel(id);
  waiter.timer = loop_.after(patience, [this, id] {
    const auto late = waiters_.find(id);
    if (late == waiters_.end()) return;
    send_answer(late->second.client.get(), status());
    waiters_.erase(late);
  });
  waiters_.emplace(id, std::move(waiter));
}

void World::tell_waiters() {
  if (waiters_.empty() || folder_.texts().deadline() || (!settled() && problems_.empty())) return;
  for (auto& [id, waiter] : waiters_) {
    loop_.cancel(waiter.timer);
    send_answer(waiter.client.get(), status());
  }
  waiters_.clear();
}

std::string World::mesh_state(const PodLife& pod) const {
  if (!options_.mesh) return "no mesh";
  const auto found = enrolment_.find(pod.plan().name());
  if (found != enrolment_.end() && found->second == "enabled") return "enrolled";
  if (const auto why = why_outside(layout_, pod.plan()); !why.empty()) return culvert::format("outside: {}", why);
  return found == enrolment_.end() ? "waiting for the node agent" : found->second;
}

bool World::settled() const {
  if (!problems_.empty() || !failed_.empty() || touched_ || folder_.texts().deadline()) return false;
  for (const auto& [name, pod] : pods_) {
    const bool enrolled = mesh_state(*pod) == "enrolled";
    if (!pod->state().ready || (options_.mesh && enrolled != wants_mesh(layout_, pod->plan()))) return false;
  }
  return pods_.size() == layout_.pods.size();
}

std::string World::status() const {
  json::array nodes, pods, problems, services;
  for (const auto& [number, node] : nodes_) {
    json::array programs;
    for (const auto& [name, program] : node.programs) programs.push_back(program_status(*program));
    nodes.push_back(json::object{
        {"name", node_name(number)}, {"addresses", texts(node_addresses(number))}, {"programs", std::move(programs)}});
  }
  for (const auto& [name, pod] : pods_) {
    const auto& plan = pod->plan();
    json::object object{
        {"namespace", name.name_space},
        {"name", name.name},
        {"node", node_name(plan.node)},
        {"addresses", texts(plan.addresses)},
        {"ready", pod->state().ready},
        {"restarts", pod->restarts()},
        {"mesh", mesh_state(*pod)},
        {"identity", culvert::format("spiffe://{}/ns/{}/sa/{}", kClusterDomain, name.name_space, plan.spec.service_account)}};
    if (!pod->state().ready) object["trouble"] = pod->started() ? pod->trouble() : "waits until it is enrolled";
    pods.push_back(std::move(object));
  }
  for (const auto& [name, plan] : layout_.services) {
    json::array addresses;
    for (const auto* address : {&plan.addresses.v4, &plan.addresses.v6}) {
      if (!address->is_none()) addresses.emplace_back(address->text());
    }
    services.push_back(json::object{{"namespace", name.name_space}, {"name", name.name}, {"addresses", std::move(addresses)}});
  }
  for (const auto& problem : problems_) problems.emplace_back(problem);
  for (const auto& [name, problem] : failed_) problems.emplace_back(problem);
  json::object object{{"world", options_.name},          {"folder", options_.folder},
                      {"mesh", options_.mesh},           {"settled", settled()},
                      {"nodes", std::move(nodes)},       {"pods", std::move(pods)},
                      {"services", std::move(services)}, {"problems", std::move(problems)}};
  if (control_plane_) object["culvertd"] = program_status(*control_plane_);
  return json::serialize(object);
}

}  // namespace culvert::local
