#include "common/derive/allocate.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <set>
#include <tuple>
#include <unordered_set>
#include <utility>

#include "common/derive/service_entry.h"
#include "proto/istio/networking/v1alpha3/service_entry.pb.h"

namespace culvert::derive {
namespace {

using config::StatusAddress;
using istio::networking::v1alpha3::ServiceEntry;
using Entries = std::vector<std::pair<config::Key, const config::Custom*>>;

constexpr std::uint32_t kV4 = 240u << 24 | 240u << 16;
constexpr std::uint32_t kV4Hosts = 0xfffe;      // .0.1 to .255.254
constexpr std::uint32_t kV6Hosts = 0xffffffff;  // 2001:2::1 and upwards, which is enough

IpAddress v4(std::uint32_t index) { return IpAddress::v4(kV4 + 1 + index); }

IpAddress v6(std::uint32_t index) {
  std::array<std::uint8_t, 16> bytes{0x20, 0x01, 0x00, 0x02};
  const std::uint32_t host = index + 1;
  for (unsigned i = 0; i < 4; ++i) bytes[12 + i] = static_cast<std::uint8_t>(host >> (24 - 8 * i));
  return IpAddress::v6(bytes);
}

// FNV-1a, with its bits mixed: the place where a host's address is looked for first.
std::uint64_t place_of(const config::Key& entry, std::string_view host) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const std::string_view part : {std::string_view(entry.name_space), std::string_view(entry.name), host}) {
    for (const char c : part) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
    hash = (hash ^ '/') * 0x100000001b3ULL;
  }
  hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccdULL;
  return hash ^ (hash >> 29);
}

bool may_be_given(const config::Custom& entry, const ServiceEntry& spec) {
  std::string opted(config::value_of(entry.metadata.labels, "networking.istio.io/enable-autoallocate-ip"));
  std::ranges::transform(opted, opted.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return spec.resolution() != ServiceEntry::NONE && spec.addresses().empty() && opted != "false";
}

class Allocator {
 public:
  explicit Allocator(const Entries& entries) {
    for (const auto& [key, entry] : entries) {
      for (const std::string& text : dynamic_cast<const ServiceEntry&>(*entry->spec).addresses()) {
        const auto range = Cidr::parse(text);
        if (range && range->length == range->address.bytes().size() * 8) claimed_.insert(range->address);
      }
    }
    for (const auto& [key, entry] : entries) keep(key, *entry);
  }

  // What the entry should have: what it keeps, and what it lacks.
  std::vector<StatusAddress> of(const config::Key& key, const config::Custom& entry) {
    std::vector<StatusAddress> out;
    std::set<std::string_view> seen;
    for (const std::string& host : dynamic_cast<const ServiceEntry&>(*entry.spec).hosts()) {
      if (!wants_address(entry, host) || !seen.insert(host).second) continue;
      std::set<IpAddress> addresses = kept_[{key, host}];
      const auto has = [&](bool (IpAddress::*family)() const) { return std::ranges::any_of(addresses, family); };
      const std::uint64_t place = place_of(key, host);
      if (!has(&IpAddress::is_v4)) find(place, v4_, addresses);
      if (!has(&IpAddress::is_v6)) find(place, v6_, addresses);
      for (const bool first : {true, false}) {  // IPv4 comes first, as people expect
        for (const IpAddress& address : addresses)
          if (address.is_v4() == first) out.push_back({.type = "", .host = host, .value = address.text()});
      }
    }
    return out;
  }

 private:
  void keep(const config::Key& key, const config::Custom& entry) {
    const auto& hosts = dynamic_cast<const ServiceEntry&>(*entry.spec).hosts();
    for (const StatusAddress& stored : entry.addresses) {
      const auto address = IpAddress::parse(stored.value);
      if (!address || !std::ranges::contains(hosts, stored.host) || !wants_address(entry, stored.host)) continue;
      if (!used_.insert(*address).second) continue;
      kept_[{key, stored.host}].insert(*address);
    }
  }

  struct Block {
    std::uint32_t size = 0;
    IpAddress (*at)(std::uint32_t) = nullptr;
    std::uint32_t first = 0;  // all before it are in use, and stay so: nothing is freed here
  };

  bool take(const IpAddress& address, std::set<IpAddress>& out) {
    if (!used_.insert(address).second) return false;
    out.insert(address);
    return true;
  }

  // Near its place; where it is crowded, or all that there are is crowded, the first that is free. What authors claim is gone round where there is
  // room: it is not theirs, but two would answer to it.
  void find(std::uint64_t from, Block& block, std::set<IpAddress>& out) {
    constexpr std::uint32_t kNear = 32, kMost = kV4Hosts;  // enough for all of the smaller one
    for (std::uint32_t i = 0; i < kNear; ++i) {
      const IpAddress address = block.at(static_cast<std::uint32_t>((from + i) % block.size));
      if (!claimed_.contains(address) && take(address, out)) return;
    }
    for (; block.first < std::min(block.size, kMost); ++block.first) {
      if (take(block.at(block.first), out)) return;
    }
  }

  Block v4_{kV4Hosts, v4, 0}, v6_{kV6Hosts, v6, 0};
  std::unordered_set<IpAddress> used_;
  std::unordered_set<IpAddress> claimed_;  // that authors wrote into their own entries
  std::map<std::pair<config::Key, std::string>, std::set<IpAddress>> kept_;
};

bool same(std::vector<StatusAddress> a, std::vector<StatusAddress> b) {
  std::ranges::sort(a);
  std::ranges::sort(b);
  return a == b;
}

}  // namespace

bool in_automatic_block(const Cidr& range) {
  static const Cidr kV4Block{IpAddress::v4(kV4), 16}, kV6Block{masked({v6(0), 48})};
  const Cidr& block = range.address.is_v6() ? kV6Block : kV4Block;
  return block.contains(range.address) || range.contains(block.address);
}

bool wants_address(const config::Custom& entry, std::string_view host) {
  const auto& spec = dynamic_cast<const ServiceEntry&>(*entry.spec);
  if (!may_be_given(entry, spec) || !is_host(host)) return false;
  return !is_wildcard(host) || spec.resolution() == ServiceEntry::DYNAMIC_DNS;
}

Allocations allocate(const Objects& objects) {
  Entries entries;
  for (const std::string& name_space : objects.namespaces(config::Kind::kServiceEntry)) {
    for (const auto& [name, object] : objects.in(config::Kind::kServiceEntry, name_space))
      entries.emplace_back(config::key_of(*object), &std::get<config::Custom>(*object));
  }
  std::ranges::sort(entries, {}, [](const auto& entry) { return std::tie(entry.second->metadata.created, entry.first); });
  Allocations out;
  Allocator allocator(entries);
  for (const auto& [key, entry] : entries) {
    auto wanted = allocator.of(key, *entry);
    if (!same(wanted, entry->addresses)) out.emplace(key, std::move(wanted));
  }
  return out;
}

}  // namespace culvert::derive
