#include "ztunnel/worker/tunnels.h"

#include <algorithm>

namespace culvert::ztunnel {

std::optional<Tunnels::Place> Tunnels::enter(const Pod& pod, const Identity& peer,
                                             std::shared_ptr<hbone::ServerControl> control) {
  const auto nearly = [](std::size_t limit) { return limit - limit / 4; };
  const auto found = groups_.find({&pod, peer});
  const std::size_t siblings = found == groups_.end() ? 0 : found->second;
  if (siblings >= nearly(limits_.of_peer)) drain_idle(&found->first);
  else if (entries_.size() >= nearly(limits_.of_all)) drain_idle(nullptr);
  if (siblings >= limits_.of_peer || entries_.size() >= limits_.of_all) return std::nullopt;
  const auto group = found != groups_.end() ? found : groups_.emplace(Group(&pod, peer), 0).first;
  ++group->second;
  return Place(*this, entries_.insert(entries_.end(), {group, std::move(control)}));
}

void Tunnels::drain_idle(const Group* of) {
  const auto idle = std::ranges::find_if(
      entries_, [of](const Entry& entry) { return (of == nullptr || &entry.group->first == of) && entry.control->idle(); });
  if (idle != entries_.end()) idle->control->drain();
}

void Tunnels::leave(std::list<Entry>::iterator entry) {
  if (--entry->group->second == 0) groups_.erase(entry->group);
  entries_.erase(entry);
}

}  // namespace culvert::ztunnel
