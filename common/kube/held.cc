#include "common/kube/held.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace culvert::kube {
namespace {

using Sizes = std::array<std::uint32_t, 4>;

}  // namespace

Held::Object Held::Object::of(const Key& key, std::string_view uid, std::string_view version, std::uint32_t list) {
  const std::array<std::string_view, 4> parts = {key.ns, key.name, uid, version};
  Sizes sizes;
  std::size_t size = sizeof sizes;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    sizes[i] = static_cast<std::uint32_t>(parts[i].size());
    size += parts[i].size();
  }
  Object out{.block = std::make_unique_for_overwrite<char[]>(size), .list = list};
  char* place = out.block.get();
  std::memcpy(place, sizes.data(), sizeof sizes);
  place += sizeof sizes;
  for (const std::string_view part : parts) place = std::ranges::copy(part, place).out;
  return out;
}

std::string_view Held::Object::part(std::size_t index) const {
  Sizes sizes;
  std::memcpy(sizes.data(), block.get(), sizeof sizes);
  const char* place = block.get() + sizeof sizes;
  for (std::size_t i = 0; i < index; ++i) place += sizes[i];
  return {place, sizes[index]};
}

Held::Before Held::put(const Key& key, std::string_view uid, std::string_view version) {
  Before before;
  const auto found = objects_.find(View{key.ns, key.name});
  if (found == objects_.end()) {
    objects_.insert(Object::of(key, uid, version, list_));
    return before;
  }
  found->list = list_;
  const bool other = found->uid() != uid;
  before.same = !other && !version.empty() && found->version() == version;
  if (before.same) return before;
  if (other) before.uid = found->uid();
  objects_.erase(found);
  objects_.insert(Object::of(key, uid, version, list_));
  return before;
}

void Held::unreadable(const Key& key, const std::string& uid) {
  if (uid.empty()) doubt_ = true;
  const auto found = objects_.find(View{key.ns, key.name});
  if (found == objects_.end()) {
    if (!uid.empty()) objects_.insert(Object::of(key, uid, "", list_));
    return;
  }
  Object now = Object::of(key, found->uid(), "", uid.empty() ? found->list : list_);
  objects_.erase(found);
  objects_.insert(std::move(now));
}

std::vector<Gone> Held::end() {
  std::vector<Gone> gone;
  if (doubt_) return gone;
  std::erase_if(objects_, [&](const Object& object) {
    if (object.list == list_) return false;
    const View key = object.key();
    gone.push_back({{.ns = std::string(key.ns), .name = std::string(key.name)}, std::string(object.uid())});
    return true;
  });
  std::ranges::sort(gone, {}, &Gone::key);
  return gone;
}

bool Held::remove(const Key& key, std::string& uid) {
  const auto found = objects_.find(View{key.ns, key.name});
  if (found == objects_.end()) return false;
  uid = found->uid();
  objects_.erase(found);
  return true;
}

std::optional<std::string> Held::version(const Key& key) const {
  const auto found = objects_.find(View{key.ns, key.name});
  if (found == objects_.end()) return std::nullopt;
  return std::string(found->version());
}

}  // namespace culvert::kube
