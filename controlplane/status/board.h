#pragma once
// What is known of objects beside the objects themselves, as far as their status needs it: what their status says now, and why the newest version of one
// cannot be read. And which of them have to be looked at again after a change. Plain data on one thread; no clock.

#include <map>
#include <set>
#include <span>
#include <string>

#include "common/config/folder.h"
#include "common/derive/objects.h"

namespace culvert::controlplane {

class Board {
 public:
  // One step of the source, in order.
  void note(const config::Diff& diff);
  // Their doubts are others than before: they are to be looked at, and nobody else because of them.
  void doubted(std::span<const config::Key> objects);
  // Those whose status may have to be another since the last call, with what reaches them through others: `objects` as they are now.
  struct Touched {
    std::set<config::Key> now;
    std::set<config::Key> counts;  // only say how many workloads they are bound to: pods come and go, and counting takes its time
  };
  Touched take(const derive::Objects& objects, const derive::Settings& settings);
  void forget();
  // Every object that has a status.
  std::set<config::Key> all() const;
  bool quiet() const { return changed_.empty() && doubted_.empty(); }

  // Null when it is not known: not there, or too large to be looked into.
  const config::Standing* standing(const config::Key& key) const;
  // What an answer of the API server has told, unless something newer is known.
  void written(const config::Key& key, const config::Standing& before, config::Standing after);
  // What is wrong with the newest version; empty when it is in force.
  const std::string& trouble(const config::Key& key) const;

 private:
  std::map<config::Key, config::Standing> standings_;
  std::map<config::Key, std::string> troubles_;
  std::set<config::Key> changed_;
  std::set<config::Key> doubted_;
};

}  // namespace culvert::controlplane
