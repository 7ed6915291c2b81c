// The kernel's texts and CNI's files, and facts as JSON. Pure.
#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <ranges>
#include <sstream>

#include "common/node_facts/facts.h"

namespace culvert::node_facts {
namespace {

namespace json = boost::json;

std::vector<std::string> words_of(std::string_view line) {
  std::istringstream in{std::string(line)};
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(std::move(word));
  return words;
}

auto lines_of(std::string_view text) {
  return text | std::views::split('\n') |
         std::views::transform([](auto part) { return std::string_view(part.begin(), part.end()); });
}

std::string text_at(const json::value& in, std::string_view name) {
  const auto* found = in.is_object() ? in.as_object().if_contains(name) : nullptr;
  return found != nullptr && found->is_string() ? std::string(found->as_string()) : "";
}

const json::array& list_at(const json::value& in, std::string_view name) {
  static const json::array kNone;
  const auto* found = in.is_object() ? in.as_object().if_contains(name) : nullptr;
  return found != nullptr && found->is_array() ? found->as_array() : kNone;
}

bool flag_at(const json::value& in, std::string_view name) {
  const auto* found = in.is_object() ? in.as_object().if_contains(name) : nullptr;
  return found != nullptr && found->is_bool() && found->as_bool();
}

std::int64_t number_at(const json::value& in, std::string_view name) {
  const auto* found = in.is_object() ? in.as_object().if_contains(name) : nullptr;
  return found != nullptr && found->is_int64() ? found->as_int64() : 0;
}

json::array texts(const std::vector<std::string>& list) { return json::array(list.begin(), list.end()); }

std::vector<std::string> texts(const json::array& list) {
  std::vector<std::string> out;
  for (const json::value& each : list)
    if (each.is_string()) out.emplace_back(each.as_string());
  return out;
}

}  // namespace

// "36 35 98:0 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw": any number of words before the dash.
std::vector<Mount> mounts_in(std::string_view mountinfo) {
  std::vector<Mount> mounts;
  for (const std::string_view line : lines_of(mountinfo)) {
    const auto words = words_of(line);
    const auto dash = std::ranges::find(words, "-");
    if (words.size() > 4 && words.end() - dash > 1) mounts.push_back({words[4], *(dash + 1)});
  }
  return mounts;
}

// "0: 00000000:3A98 00000000:0000 0A ...": the second word is what it is bound to, the fourth its state.
std::vector<std::uint16_t> listening_in(std::string_view tcp) {
  constexpr std::string_view kListen = "0A";
  std::vector<std::uint16_t> ports;
  for (const std::string_view line : lines_of(tcp)) {
    const auto words = words_of(line);
    if (words.size() < 4 || words[3] != kListen) continue;
    const auto colon = words[1].rfind(':');
    std::uint16_t port = 0;
    const char* end = words[1].data() + words[1].size();
    if (colon != std::string::npos && std::from_chars(words[1].data() + colon + 1, end, port, 16).ptr == end)
      ports.push_back(port);
  }
  return ports;
}

// "eth0 00000000 0100000A 0003 ...": the second word is the destination.
std::string default_interface_in(std::string_view route) {
  for (const std::string_view line : lines_of(route)) {
    const auto words = words_of(line);
    if (words.size() > 1 && words[1] == "00000000") return words[0];
  }
  return "";
}

CniFile cni_file(std::string path, std::string_view text) {
  CniFile file{.path = std::move(path)};
  boost::system::error_code error;
  const json::value value = json::parse(text, error);
  if (error || !value.is_object()) {
    file.error = "is no JSON object";
    return file;
  }
  file.network = text_at(value, "name");
  file.version = text_at(value, "cniVersion");
  for (const json::value& plugin : list_at(value, "plugins")) file.plugins.push_back(text_at(plugin, "type"));
  if (file.plugins.empty()) file.plugins.push_back(text_at(value, "type"));
  if (std::ranges::contains(file.plugins, "")) file.error = "names no plugin";
  return file;
}

std::string to_json(const Facts& facts) {
  json::array cni, interfaces;
  for (const CniFile& file : facts.cni)
    cni.push_back({{"path", file.path},
                   {"network", file.network},
                   {"version", file.version},
                   {"plugins", texts(file.plugins)},
                   {"error", file.error}});
  for (const Interface& each : facts.interfaces)
    interfaces.push_back({{"name", each.name}, {"mtu", each.mtu}, {"default", each.is_default}});
  return json::serialize(json::object{{"kernel", facts.kernel},
                                      {"machine", facts.machine},
                                      {"btf", facts.btf},
                                      {"cgroup2", facts.cgroup2},
                                      {"bpffs", facts.bpffs},
                                      {"lockdown", facts.lockdown},
                                      {"selinux", facts.selinux},
                                      {"cni", std::move(cni)},
                                      {"listening", json::array(facts.listening.begin(), facts.listening.end())},
                                      {"interfaces", std::move(interfaces)}});
}

Result<Facts> from_json(std::string_view text) {
  boost::system::error_code error;
  const json::value value = json::parse(text, error);
  if (error || text_at(value, "kernel").empty()) return failure("these are no facts of a node");
  Facts facts{.kernel = text_at(value, "kernel"),
              .machine = text_at(value, "machine"),
              .btf = flag_at(value, "btf"),
              .cgroup2 = text_at(value, "cgroup2"),
              .bpffs = flag_at(value, "bpffs"),
              .lockdown = text_at(value, "lockdown"),
              .selinux = flag_at(value, "selinux")};
  for (const json::value& each : list_at(value, "cni"))
    facts.cni.push_back({.path = text_at(each, "path"),
                         .network = text_at(each, "network"),
                         .version = text_at(each, "version"),
                         .plugins = texts(list_at(each, "plugins")),
                         .error = text_at(each, "error")});
  for (const json::value& each : list_at(value, "listening"))
    if (each.is_int64()) facts.listening.push_back(static_cast<std::uint16_t>(each.as_int64()));
  for (const json::value& each : list_at(value, "interfaces"))
    facts.interfaces.push_back({text_at(each, "name"), static_cast<int>(number_at(each, "mtu")), flag_at(each, "default")});
  return facts;
}

}  // namespace culvert::node_facts
