#include "tests/bpf/lab.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <stdexcept>

#include "bpf/loader/cgroup.h"
#include "cni/redirect/address_watch.h"
#include "cni/redirect/netns.h"
#include "cni/redirect/redirect.h"
#include "common/base/format.h"
#include "tests/bpf/network.h"
#include "tests/bpf/sockets.h"

namespace culvert::bpf_test {
namespace {

int child_stop_fd = -1;

std::pair<Fd, Fd> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe: " + errno_text(errno));
  return {Fd(ends[0]), Fd(ends[1])};
}

void enter(const Place& place) {
  if (!place.cgroup.empty()) {
    const Fd procs(::open((place.cgroup / "cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
    if (!procs || ::write(procs.get(), "0", 1) != 1)
      throw std::runtime_error("entering " + place.cgroup.string() + ": " + errno_text(errno));
  }
  if (place.netns >= 0 && ::setns(place.netns, CLONE_NEWNET) != 0) throw std::runtime_error("setns: " + errno_text(errno));
}

constexpr std::string_view kName = "culvert-bpf-test-";

void remove_cgroups(const std::filesystem::path& top) {
  std::vector<std::filesystem::path> folders{top};
  for (const auto& entry : std::filesystem::recursive_directory_iterator(top))
    if (entry.is_directory()) folders.push_back(entry.path());
  std::ranges::sort(folders, std::ranges::greater{});  // children before parents
  for (const auto& folder : folders)
    if (::rmdir(folder.c_str()) != 0) std::perror(folder.c_str());
}

// A test run that was killed leaves its cgroups; everything else of it the kernel has ended.
void remove_cgroups_of_the_dead(const std::filesystem::path& root) {
  for (const auto& entry : std::filesystem::directory_iterator(root)) {
    const auto name = entry.path().filename().string();
    if (name.starts_with(kName) && ::kill(std::atoi(name.c_str() + kName.size()), 0) != 0 && errno == ESRCH)
      remove_cgroups(entry.path());
  }
}

// The kernel gives it when the link is up, which takes it some milliseconds.
std::string wait_for_link_local(int netns) {
  auto watch = must(redirect::AddressWatch::open(netns));
  for (int round = 0; round < 100; round++) {
    for (const auto& address : must(redirect::own_addresses(netns)))
      if (address.is_link_local() && address.is_v6()) return address.text();
    pollfd poll{.fd = watch.fd(), .events = POLLIN, .revents = 0};
    ::poll(&poll, 1, 50);
    must(watch.changed());
  }
  throw std::runtime_error("no link-local address after 5 s");
}

}  // namespace

int stop_fd() { return child_stop_fd; }

Process::Process(const Place& place, const std::function<void(int report)>& work, bool ready) {
  auto [report_read, report_write] = make_pipe();
  auto [stop_read, stop_write] = make_pipe();
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error("fork: " + errno_text(errno));
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    stop_write.reset();
    child_stop_fd = stop_read.get();
    try {
      enter(place);
      work(report_write.get());
    } catch (const std::exception& error) {
      std::fprintf(stderr, "in a child: %s\n", error.what());
      ::_exit(1);
    }
    ::_exit(0);
  }
  report_ = std::move(report_read);
  stop_ = std::move(stop_write);
  report_write.reset();
  char byte = 0;
  if (ready && ::read(report_.get(), &byte, 1) != 1) {
    end();
    throw std::runtime_error("a child ended before it was ready");
  }
}

void Process::end() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

void Process::ask_to_stop() { (void)!::write(stop_.get(), "s", 1); }

std::string Process::finish() {
  std::string text;
  char buffer[256];
  for (ssize_t size = 0; (size = ::read(report_.get(), buffer, sizeof(buffer))) > 0;)
    text.append(buffer, static_cast<std::size_t>(size));
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
  return text;
}

Lab::Lab() {
  static int labs = 0;
  const auto name = culvert::format("{}{}-{}", kName, ::getpid(), labs++);
  const auto root = must(bpf::cgroup2_root());
  remove_cgroups_of_the_dead(root);
  cgroups_ = root / name;
  pins_ = std::filesystem::path("/sys/fs/bpf") / name;
  for (const char* node : {"node"}) {
    auto pod = std::make_unique<Pod>();
    pod->name = node;
    pod->netns = new_netns();
    pods_[node] = std::move(pod);
  }
  auto& node = *pods_.at("node");
  node.cookie = must(redirect::netns_cookie(node.netns.get()));
  node.v4 = "10.77.0.1";
  node.v6 = "fd77::1";
  add_bridge(node.netns.get(), "br0");
  add_address(node.netns.get(), "br0", node.v4, 24);
  add_address(node.netns.get(), "br0", node.v6, 64);
  add_pod("a", 2);
  add_pod("b", 3);
  add_pod("c", 4);
  add_address(pod("b").netns.get(), "eth0", "10.77.0.33", 24);
}

void Lab::add_pod(const std::string& name, int number) {
  auto pod = std::make_unique<Pod>();
  pod->name = name;
  pod->netns = new_netns();
  pod->cookie = must(redirect::netns_cookie(pod->netns.get()));
  pod->v4 = culvert::format("10.77.0.{}", number);
  pod->v6 = culvert::format("fd77::{}", number);
  const int netns = pod->netns.get();
  add_veth(pods_.at("node")->netns.get(), "to-" + name, "br0", netns, "eth0");
  add_address(netns, "eth0", pod->v4, 24);
  add_address(netns, "eth0", pod->v6, 64);
  add_default_route(netns, "10.77.0.1");
  add_default_route(netns, "fd77::1");
  pod->link_local = wait_for_link_local(netns);
  pods_[name] = std::move(pod);
}

Lab::~Lab() {
  if (const auto done = bpf::Datapath::unload(pins_); !done) std::fprintf(stderr, "%s\n", done.error().text.c_str());
  if (std::filesystem::exists(cgroups_)) remove_cgroups(cgroups_);
}

std::filesystem::path Lab::cgroup(const std::string& name) {
  const auto path = cgroups_ / name;
  std::filesystem::create_directories(path);
  return path;
}

std::unique_ptr<Process> Lab::serve(const std::string& pod_name, std::uint16_t port) {
  return std::make_unique<Process>(place(pod_name), [port](int report) { serve_app(port, report); }, true);
}

std::unique_ptr<Process> Lab::ztunnel(const std::string& pod_name, int workers) {
  return std::make_unique<Process>(place(pod_name, "ztunnel"), [workers](int report) { serve_ztunnel(workers, report); }, true);
}

std::string Lab::dial(const Place& from, const DialOptions& options) {
  Process process(
      from,
      [&](int report) {
        const auto line = dial_here(options);
        (void)!::write(report, line.data(), line.size());
      },
      false);
  return process.finish();
}

std::string Lab::query(const Place& from, const std::string& to) {
  Process process(
      from,
      [&](int report) {
        const auto line = query_here(to);
        (void)!::write(report, line.data(), line.size());
      },
      false);
  return process.finish();
}

bpf::Datapath Lab::load() {
  auto datapath = must(bpf::Datapath::load({.pin_dir = pins_, .cgroup_root = {}, .host_netns_cookie = pod("node").cookie}));
  const std::uint64_t exempt[] = {must(bpf::cgroup_id(cgroup("ztunnel")))};
  const std::uint64_t kubelet[] = {must(bpf::cgroup_id(cgroup("kubelet")))};
  must(datapath.set_exempt_cgroups(exempt));
  must(datapath.set_kubelet_cgroups(kubelet));
  return datapath;
}

void Lab::enrol(bpf::Datapath& datapath, const std::string& pod_name, bool dns) {
  auto& it = pod(pod_name);
  const bpf::Pod declared{.netns_cookie = it.cookie, .dns_capture = dns};
  must(redirect::prepare(it.netns.get(), must(redirect::primary_addresses(it.netns.get()))));
  must(datapath.set_own_addresses(it.cookie, must(redirect::own_addresses(it.netns.get()))));
  must(datapath.set_probe_ports(it.cookie, kProbed));
  must(datapath.refill_listeners());
  must(datapath.attach_lookup(it.netns.get(), declared));
  if (dns) must(redirect::capture_dns(it.netns.get(), true));
  must(datapath.enrol(declared));
}

std::uint64_t Lab::count(const bpf::Datapath& datapath, std::string_view program, std::string_view exit) const {
  for (const auto& counter : must(datapath.counters()))
    if (counter.program == program && counter.exit == exit) return counter.value;
  throw std::runtime_error(culvert::format("no counter {} {}", program, exit));
}

}  // namespace culvert::bpf_test
