#include "controlplane/xds/refusals.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace culvert::controlplane {
namespace {

struct Complaint {
  std::string_view name;  // empty: of none that we know
  std::string reason;
};

// "and 17 more": xds::Complaints leaves off what is too much.
bool is_rest(std::string_view piece) { return piece.starts_with("and ") && piece.ends_with(" more"); }

// A reason may hold a ";" itself: what begins with no name that we know belongs to the one before.
std::vector<Complaint> read(std::string_view text, const Table& table) {
  constexpr std::string_view kBetween = "; ", kAfterName = ": ";
  std::vector<Complaint> out;
  while (!text.empty()) {
    const auto end = text.find(kBetween);
    const std::string_view piece = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + kBetween.size());
    const auto colon = piece.find(kAfterName);
    const std::string_view name = colon == piece.npos ? "" : piece.substr(0, colon);
    if (!name.empty() && table.find(name)) out.push_back({name, std::string(piece.substr(colon + kAfterName.size()))});
    else if (out.empty() || is_rest(piece)) out.push_back({"", std::string(piece)});
    else out.back().reason.append(kBetween).append(piece);
  }
  if (out.empty()) out.push_back({"", "refused without a reason"});
  return out;
}

}  // namespace

void Refusals::add(std::string_view name, std::string_view reason, Epoch has, Epoch sent) {
  const bool room = refusals_.size() < kMost || refusals_.contains(std::string(name));
  const auto [place, fresh] = refusals_.try_emplace(room ? std::string(name) : "", Refusal{has, sent, "", false});
  Refusal& refusal = place->second;
  refusal.has = std::min(refusal.has, has);
  refusal.sent = std::max(refusal.sent, sent);
  refusal.error = reason.substr(0, kMostText);
  refusal.again = false;
}

void Refusals::refused(std::string_view text, Epoch has, Epoch sent, const Table& table) {
  const std::vector<Complaint> complaints = read(text, table);
  const bool all_named = std::ranges::none_of(complaints, [](const Complaint& one) { return one.name.empty(); });
  if (all_named) {  // what came again and is not complained of was taken
    std::erase_if(refusals_, [&](const auto& one) {
      return one.second.again && std::ranges::none_of(complaints, [&](const Complaint& c) { return c.name == one.first; });
    });
  }
  for (auto& [name, refusal] : refusals_) refusal.again = false;
  for (const Complaint& complaint : complaints) {
    const Resource* resource = complaint.name.empty() ? nullptr : table.find(complaint.name);
    // One that has changed since was what it was at some epoch before `sent`.
    add(complaint.name, complaint.reason, has, resource && resource->epoch <= sent ? resource->epoch : sent);
  }
}

void Refusals::sending(const Table& table, Epoch after) {
  for (auto& [name, refusal] : refusals_) {
    if (name.empty()) continue;
    const Resource* resource = table.find(name);
    refusal.again = !resource || resource->epoch > after;
  }
}

void Refusals::taken() {
  std::erase_if(refusals_, [](const auto& one) { return one.second.again; });
}

Epoch Refusals::applied(Epoch epoch) const {
  for (const auto& [name, refusal] : refusals_) epoch = std::min(epoch, refusal.has);
  return epoch;
}

const std::pair<const std::string, Refusals::Refusal>* Refusals::of(Epoch epoch) const {
  const auto found =
      std::ranges::find_if(refusals_, [&](const auto& one) { return one.second.has < epoch && epoch <= one.second.sent; });
  return found == refusals_.end() ? nullptr : &*found;
}

}  // namespace culvert::controlplane
