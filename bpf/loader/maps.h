#pragma once
// Maps as typed values: keys and values are the structs of culvert_abi.h. Internal to the loader.

#include <bpf/bpf.h>

#include <cerrno>
#include <optional>
#include <string_view>
#include <vector>

#include "common/base/format.h"
#include "common/base/result.h"

namespace culvert::bpf {

template <class Key, class Value>
class Map {
 public:
  Map(int fd, std::string_view name) : fd_(fd), name_(name) {}

  Status put(const Key& key, const Value& value) const {
    if (bpf_map_update_elem(fd_, &key, &value, BPF_ANY) != 0) {
      const char* hint = errno == E2BIG ? " (the map is full: are there pods or cgroups that nobody removed?)" : "";
      return failure(culvert::format("writing to BPF map {}: {}{}", name_, errno_text(errno), hint));
    }
    return {};
  }

  // Succeeds when there is no such key.
  Status remove(const Key& key) const {
    if (bpf_map_delete_elem(fd_, &key) != 0 && errno != ENOENT)
      return failure(culvert::format("deleting from BPF map {}: {}", name_, errno_text(errno)));
    return {};
  }

  Result<std::optional<Value>> find(const Key& key) const {
    Value value{};
    if (bpf_map_lookup_elem(fd_, &key, &value) == 0) return value;
    if (errno == ENOENT) return std::nullopt;
    return failure(culvert::format("reading BPF map {}: {}", name_, errno_text(errno)));
  }

  // Nobody but this agent writes the maps that are listed, so no key is missed or seen twice.
  Result<std::vector<Key>> keys() const {
    std::vector<Key> out;
    Key next{};
    while (bpf_map_get_next_key(fd_, out.empty() ? nullptr : &out.back(), &next) == 0) out.push_back(next);
    if (errno != ENOENT) return failure(culvert::format("listing BPF map {}: {}", name_, errno_text(errno)));
    return out;
  }

 private:
  int fd_;
  std::string_view name_;
};

}  // namespace culvert::bpf
