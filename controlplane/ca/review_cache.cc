#include "controlplane/ca/review_cache.h"

namespace culvert::controlplane {

const Review* ReviewCache::Shelf::find(const TokenHash& hash) {
  const auto found = index.find(hash);
  if (found == index.end()) return nullptr;
  order.splice(order.begin(), order, found->second);
  return &found->second->second;
}

void ReviewCache::Shelf::erase(const TokenHash& hash) {
  const auto found = index.find(hash);
  if (found == index.end()) return;
  order.erase(found->second);
  index.erase(found);
}

const Review* ReviewCache::find(const TokenHash& hash, net::Clock::time_point now) {
  if (const Review* good = good_.find(hash)) return good->until > now ? good : nullptr;
  const Review* refused = refused_.find(hash);
  if (refused == nullptr || refused->until > now) return refused;
  refused_.erase(hash);
  return nullptr;
}

const Review* ReviewCache::find_old(const TokenHash& hash) { return good_.find(hash); }

void ReviewCache::put(const TokenHash& hash, Review review) {
  erase(hash);
  Shelf& shelf = review.caller ? good_ : refused_;
  shelf.order.emplace_front(hash, std::move(review));
  shelf.index.emplace(hash, shelf.order.begin());
  if (shelf.index.size() > shelf.most) shelf.erase(TokenHash(shelf.order.back().first));
}

void ReviewCache::erase(const TokenHash& hash) {
  good_.erase(hash);
  refused_.erase(hash);
}

}  // namespace culvert::controlplane
