#include "ztunnel/app.h"

#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <set>
#include <thread>
#include <utility>

#include "common/base/log.h"
#include "common/net/netns.h"
#include "common/net/signals.h"
#include "common/net/timer.h"
#include "ztunnel/identity/authority.h"
#include "ztunnel/pages.h"
#include "ztunnel/state/credentials.h"
#include "ztunnel/state/node.h"

namespace culvert::ztunnel {
namespace {

using namespace std::chrono_literals;

constexpr auto kLastBreath = 500ms;  // for connections that were forced to end to say so
// For what a pod's first connection needs. The node agent waits 5 s for an answer (zds::Server::kPatience).
constexpr auto kAhead = 4s;

// Each connection takes descriptors: we want all that we may have.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

App::App(const Settings& settings, const settings::Table& table)
    : settings_(settings), table_(table), quit_(control_), progress_(control_) {}

App::~App() = default;

template <class T>
net::Task<std::vector<T>> App::gather(std::function<T(Lane&)> ask) {
  struct Gathering {
    explicit Gathering(net::Loop& loop) : done(loop) {}
    std::vector<T> answers;
    net::Event done;
  };
  const auto gathering = std::make_shared<Gathering>(control_);
  const std::size_t count = lanes_.size();
  for (const auto& lane : lanes_) {
    lane->thread->loop().post([this, gathering, count, ask, lane = lane.get()] {
      control_.post([gathering, count, answer = ask(*lane)]() mutable {
        gathering->answers.push_back(std::move(answer));
        if (gathering->answers.size() == count) gathering->done.set();
      });
    });
  }
  co_await gathering->done.wait();
  co_return std::move(gathering->answers);
}

void App::on_each(const std::function<void(Lane&)>& act) {
  for (const auto& lane : lanes_) {
    lane->thread->loop().post([act, lane = lane.get()] { act(*lane); });
  }
}

Status App::run() {
  Status outcome;
  control_.spawn(live(&outcome));
  control_.run();
  return outcome;
}

Status App::start() {
  auto headers = extra_headers("CA_HEADER_", environment());
  if (!headers) return std::unexpected(std::move(headers).error());
  raise_descriptor_limit();
  state_ = std::make_unique<State>(control_, settings_, [this] {
    want_certificates();
    told();
    progress_.notify_all();
  });
  start_lanes();
  ca_ = std::make_shared<rpc::CaClient>(
      control_, rpc::CaOptions{.address = settings_.ca_address,
                               .name = settings_.alt_ca_hostname,
                               .credentials = credentials_for(settings_, settings_.ca_root_ca, *headers)});
  certificates_ = std::make_unique<Certificates>(
      control_, [this](const Identity& identity) { return fetch_certificate(ca_, identity, settings_.secret_ttl); },
      [this](const Identity& identity, Identities::Value value) {
        on_each([identity, value](Lane& lane) { lane.worker->set_identity(identity, value); });
        patient_ = patient_ || (value && *value);
        progress_.notify_all();
      });
  roots_ = std::make_unique<RootsFile>(control_, settings_.ca_root_ca, [this] {
    log::info("identity", "the trusted roots have changed: all certificates are renewed",
              {log::field("file", settings_.ca_root_ca)});
    certificates_->renew_all();
  });
  if (auto started = state_->start(); !started) return started;
  agent_ = std::make_unique<Agent>(control_, settings_.inpod_uds.string(),
                                   Agent::Hooks{.start = [this](zds::Client::Start start) { return start_pod(std::move(start)); },
                                                .stop = [this](const std::string& uid) { stop_pod(uid); },
                                                .changed = [this] { told(); }});
  pages_ = std::make_unique<Pages>(*this, settings_);
  if (auto listening = pages_->start(); !listening) return listening;
  agent_->start();
  return {};
}

void App::start_lanes() {
  const unsigned count = settings_.worker_threads.on(std::max(1U, std::thread::hardware_concurrency()));
  for (unsigned index = 0; index < count; ++index) {
    auto lane = std::make_unique<Lane>();
    lane->thread = std::make_unique<net::LoopThread>("worker-" + std::to_string(index));
    auto view = state_->mesh().view(lane->thread->loop());
    lane->thread->call([this, index, count, &lane, &view] {
      Worker::Parts parts;
      parts.loop = &lane->thread->loop();
      parts.settings = &settings_;
      parts.index = index;
      parts.count = count;
      parts.mesh = std::move(view);
      parts.ask_certificate = [this](const Identity& identity) {
        control_.post([this, identity] { certificates_->hurry(identity); });
      };
      lane->worker = std::make_unique<Worker>(std::move(parts));
      lane->proxies = std::make_unique<Proxies>(*lane->worker);
    });
    lanes_.push_back(std::move(lane));
  }
}

net::Task<> App::live(Status* outcome) {
  *outcome = start();
  if (!*outcome) {
    control_.stop();
    co_return;
  }
  net::Signals signals(control_, {SIGTERM, SIGINT});
  control_.spawn([](App* app, net::Signals* from) -> net::Task<> {
    for (int number = co_await from->next(); number != 0; number = co_await from->next()) {
      log::info("app", "told to end by a signal", {log::field("signal", number)});
      app->quit();
    }
  }(this, &signals));
  co_await quit_.wait();
  co_await drain();
  signals.close();
  control_.stop();
}

net::Task<> App::drain() {
  draining_ = true;
  agent_->close();
  const auto patience = settings_.drain_deadline();
  log::info("app", "draining", {log::field("patience_ms", patience.count())});
  on_each([](Lane& lane) {
    lane.proxies->stop_accepting();
    lane.worker->drain();
  });
  const auto deadline = net::Clock::now() + patience;
  std::size_t left = 0;
  do {
    const auto counts =
        co_await gather<std::size_t>([](Lane& lane) { return lane.worker->unfinished() + lane.proxies->dns_under_way(); });
    left = 0;
    for (const std::size_t count : counts) left += count;
    if (left != 0) co_await net::sleep_for(control_, 20ms);
  } while (left != 0 && net::Clock::now() < deadline);
  if (left != 0) log::warn("app", "connections are cut at the deadline", {log::field("connections", left)});
  co_await gather<bool>([](Lane& lane) {
    lane.worker->stop_all(Reason::kDraining);
    lane.proxies->stop_all(Reason::kDraining);
    return true;
  });
  if (left != 0) co_await net::sleep_for(control_, kLastBreath);
}

net::Task<Status> App::start_pod(zds::Client::Start start) {
  const auto cookie = net::netns_cookie(start.netns->get());
  if (!cookie) co_return std::unexpected(cookie.error());
  const Netns netns{start.netns, *cookie};
  const zds::Pod name = start.pod;
  const std::uint64_t number = ++tries_;
  starting_[name.uid] = {.number = number, .pod = name};
  const auto wanted = [&] {
    const auto here = starting_.find(name.uid);
    return here != starting_.end() && here->second.number == number;
  };
  co_await prepare(name);
  if (!wanted()) co_return failure("the pod left before its proxy was started");
  const auto outcomes = co_await gather<Status>([name, netns](Lane& lane) { return lane.proxies->start(name, netns); });
  if (!wanted()) co_return failure("the pod left while its proxy was started");
  starting_.erase(name.uid);
  const auto failed = std::ranges::find_if(outcomes, [](const Status& status) { return !status; });
  if (failed != outcomes.end()) {
    on_each([uid = name.uid](Lane& lane) { lane.proxies->stop(uid, Reason::kPodRemoved); });
    failing_[name.uid] = name;
    co_return *failed;
  }
  ++started_;
  failing_.erase(name.uid);
  pods_[name.uid] = name;
  want_certificates();
  co_return Status{};
}

net::Task<> App::prepare(const zds::Pod& pod) {
  const auto end = net::Clock::now() + kAhead;
  want_certificates();
  for (bool told = false; patient_ && !prepared(pod); told = true) {
    if (!told)
      log::info("inpod", "waiting for the configuration and the certificate of a pod",
                {log::field("uid", pod.uid), log::field("pod", pod.name_space + "/" + pod.name)});
    if (co_await progress_.wait_for(end - net::Clock::now())) continue;
    patient_ = false;
    log::warn("inpod", "pods are served as they are, their connections wait for what has not come",
              {log::field("waited_ms", std::chrono::milliseconds(kAhead).count())});
  }
}

// A pod that is just being made is unknown to the control plane until it runs.
bool App::prepared(const zds::Pod& pod) const {
  if (!state_->ready()) return false;
  const auto own = own_workload(*state_->mesh().get(), pod, settings_.node_name);
  return !own || certificates_->tried(own->identity());
}

void App::stop_pod(const std::string& uid) {
  on_each([uid](Lane& lane) { lane.proxies->stop(uid, Reason::kPodRemoved); });
  starting_.erase(uid);
  failing_.erase(uid);
  if (pods_.erase(uid) == 0) return;
  ++stopped_;
  log::info("inpod", "pod left, its proxy is stopped", {log::field("uid", uid)});
  want_certificates();
}

void App::want_certificates() {
  if (!certificates_) return;
  std::set<Identity> wanted;
  const auto& mesh = *state_->mesh().get();
  const auto want = [&](const zds::Pod& pod) {
    if (const auto own = own_workload(mesh, pod, settings_.node_name)) wanted.insert(own->identity());
  };
  for (const auto& [uid, pod] : pods_) want(pod);
  for (const auto& [uid, starting] : starting_) want(starting.pod);
  certificates_->set_wanted(wanted);
}

// Once everything was in place it is ready until it is told to end. Kubernetes ends one that is not before its follower serves, and neither an agent that
// is being replaced as well nor one pod that fails is a reason to have every pod of the node refused.
std::string App::not_ready() const {
  if (draining_) return "draining";
  if (was_ready_) return {};
  std::string out;
  const auto add = [&out](const std::string& task) { out.append(out.empty() ? "" : ", ").append(task); };
  if (!state_->ready()) add("state manager" + (state_->problem().empty() ? "" : " (" + state_->problem() + ")"));
  if (!agent_ || !agent_->ready())
    add("workload proxy manager" + (agent_ && !agent_->pending().empty() ? " (" + agent_->pending() + ")" : ""));
  return out;
}

void App::told() {
  if (was_ready_ || !agent_ || !not_ready().empty()) return;
  was_ready_ = true;
  log::info("app", "ready", {log::field("pods", pods_.size())});
}

net::Task<std::string> App::metrics() {
  auto mine = scrape_;
  if (!mine) {
    mine = scrape_ = std::make_shared<Scrape>(control_);
    control_.spawn(scrape(mine));
  }
  co_await mine->done.wait();
  co_return mine->text;
}

net::Task<> App::scrape(std::shared_ptr<Scrape> answer) {
  Figures figures;
  const auto counts = co_await gather<Counts>([](Lane& lane) { return lane.worker->counts(); });
  for (const Counts& each : counts) figures.counts += each;
  retired_.settle(figures.counts);
  figures.xds = state_->counters();
  figures.proxies_active = pods_.size();
  figures.proxies_pending = failing_.size();
  figures.proxies_started = started_;
  figures.proxies_stopped = stopped_;
  figures.log_lines_dropped = log::dropped();
  figures.workers = lanes_.size();
  answer->text = metrics_text(figures);
  scrape_.reset();
  answer->done.set();
}

net::Task<std::string> App::dump() {
  using Pods = std::map<std::string, PodState>;
  const auto parts = co_await gather<Pods>([](Lane& lane) {
    Pods pods;
    for (const auto& [uid, proxy] : lane.proxies->all()) {
      auto& pod = pods[uid];
      pod.name = proxy->pod().name;
      proxy->pod().live.each([&pod](const LiveSet::Entry& entry) { pod.connections.push_back(entry.connection()); });
    }
    return pods;
  });
  Dump dump;
  dump.mesh = state_->mesh().get();
  dump.from_file = !settings_.local_xds_path.empty();
  dump.settings = table_.shown();
  dump.certificates = certificates_->shown();
  for (const Pods& part : parts) {
    for (const auto& [uid, pod] : part) {
      auto& sum = dump.pods[uid];
      sum.name = pod.name;
      sum.connections.insert(sum.connections.end(), pod.connections.begin(), pod.connections.end());
    }
  }
  for (const auto& [uid, pod] : failing_) dump.pods[uid] = {.name = pod, .pending = true, .connections = {}};
  co_return config_dump(dump);
}

}  // namespace culvert::ztunnel
