// process_*: what the kernel knows about this program.
#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>

#include "common/telemetry/registry.h"

namespace culvert::telemetry {
namespace {

struct Stat {
  double threads = 0;
  double start_ticks = 0;
  double virtual_bytes = 0;
  double resident_bytes = 0;
};

// /proc/self/stat: the fields behind the command's name, which may hold anything but is the last thing in parentheses.
Stat read_stat() {
  std::ifstream file("/proc/self/stat");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  std::istringstream fields(text.substr(std::min(text.size(), text.rfind(')') + 2)));
  Stat stat;
  std::string field;
  for (int number = 3; fields >> field; ++number) {
    if (number == 20) stat.threads = std::stod(field);
    if (number == 22) stat.start_ticks = std::stod(field);
    if (number == 23) stat.virtual_bytes = std::stod(field);
    if (number == 24) stat.resident_bytes = std::stod(field) * static_cast<double>(::sysconf(_SC_PAGESIZE));
  }
  return stat;
}

double boot_time() {
  std::ifstream file("/proc/stat");
  for (std::string word; file >> word;)
    if (double seconds = 0; word == "btime" && file >> seconds) return seconds;
  return 0;
}

double open_fds() {
  DIR* folder = ::opendir("/proc/self/fd");
  if (folder == nullptr) return 0;
  double count = -3;  // ".", ".." and this one
  while (::readdir(folder) != nullptr) ++count;
  ::closedir(folder);
  return count;
}

double max_fds() {
  rlimit limit{};
  return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 ? static_cast<double>(limit.rlim_cur) : 0;
}

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

void Registry::add_process() {
  const double started = boot_time() + read_stat().start_ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
  collect([started](std::vector<Family>& families) {
    const auto add = [&](const char* name, const char* help, Kind kind, double value) {
      families.push_back({.name = name, .help = help, .kind = kind, .samples = {{.suffix = "", .labels = {}, .value = value}}});
    };
    const Stat stat = read_stat();
    add("process_cpu_seconds_total", "CPU time spent, user and system", Kind::kCounter, cpu_seconds());
    add("process_resident_memory_bytes", "Resident memory", Kind::kGauge, stat.resident_bytes);
    add("process_virtual_memory_bytes", "Virtual memory", Kind::kGauge, stat.virtual_bytes);
    add("process_threads", "Threads", Kind::kGauge, stat.threads);
    add("process_open_fds", "Open descriptors", Kind::kGauge, open_fds());
    add("process_max_fds", "Limit of open descriptors", Kind::kGauge, max_fds());
    add("process_start_time_seconds", "Start of the program, seconds since 1970", Kind::kGauge, started);
  });
}

}  // namespace culvert::telemetry
