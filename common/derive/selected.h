#pragma once
// How many workloads each selector selects, and how many there are in each namespace, kept in step one workload and one selector at a time, so that nobody has
// to look at all of them to say how many there are. Plain data on one thread.

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "common/derive/objects.h"

namespace culvert::derive {

class Selected {
 public:
  struct Count {
    std::size_t workloads = 0;  // Pods, WorkloadEntries and ServiceEntries, whatever became of them
    // What policies are for: those that are captured or come in a tunnel, endpoints of ServiceEntries as well; and Pods and WorkloadEntries that are there
    // and are neither.
    std::size_t bound = 0, outside = 0;
    std::map<std::string, std::size_t> ports{};  // of a Service: by targetPort's name, how many of them have such a port
  };

  // A Pod, WorkloadEntry or ServiceEntry (whose endpoints have its labels) comes or goes; other kinds are nothing here. `holders` have the selectors.
  // `turned` gets the holders whose count has become none or is none no more.
  void add(const config::Object& workload, const Objects& holders, const Settings& settings, std::set<config::Key>& turned);
  void remove(const config::Object& workload, const Objects& holders, const Settings& settings, std::set<config::Key>& turned);
  // A Service, ServiceEntry, AuthorizationPolicy or PeerAuthentication is new, changed or gone: looks at all workloads that it may select.
  void recount(const config::Key& holder, const Objects& holders, const Objects& workloads, const Settings& settings);

  const Count& of(const config::Key& holder) const;
  const Count& in(std::string_view name_space) const;  // all that is there; without `ports`
  const Count& everywhere() const { return everywhere_; }

  // Whether two versions of a holder select the same and count the same of it, so that there is nothing to recount. Null: none.
  static bool alike(const config::Object* before, const config::Object* now);

 private:
  void move(const config::Object& workload, int by, const Objects& holders, const Settings& settings,
            std::set<config::Key>* turned);
  void count(const config::Key& holder, const config::Object& workload, int by, const Objects& holders,
             std::set<config::Key>* turned);

  std::map<config::Key, Count> counts_;                   // without those that select nothing
  std::map<std::string, Count, std::less<>> namespaces_;  // without those that hold nothing
  Count everywhere_;
};

}  // namespace culvert::derive
