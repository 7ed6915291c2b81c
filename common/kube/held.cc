#include "common/kube/held.h"

#include <utility>

namespace culvert::kube {

std::string Held::put(const Key& key, const std::string& uid) {
  const auto [place, fresh] = objects_.try_emplace(key, Object{uid, list_});
  if (fresh) return {};
  place->second.list = list_;
  std::string before = std::exchange(place->second.uid, uid);
  return before == uid ? std::string() : before;
}

void Held::unreadable(const Key& key, const std::string& uid) {
  if (uid.empty()) doubt_ = true;
  else objects_.try_emplace(key, Object{uid, list_}).first->second.list = list_;
}

std::vector<Gone> Held::end() {
  std::vector<Gone> gone;
  if (doubt_) return gone;
  for (auto one = objects_.begin(); one != objects_.end();) {
    if (one->second.list == list_) {
      ++one;
      continue;
    }
    gone.push_back({one->first, std::move(one->second.uid)});
    one = objects_.erase(one);
  }
  return gone;
}

bool Held::remove(const Key& key, std::string& uid) {
  const auto found = objects_.find(key);
  if (found == objects_.end()) return false;
  uid = std::move(found->second.uid);
  objects_.erase(found);
  return true;
}

}  // namespace culvert::kube
