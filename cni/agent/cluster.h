#pragma once
// Where the pods come from, and where goes what the agent has to say of them: a folder of YAML (folder_cluster.h) or a Kubernetes API server
// (kube_cluster.h). Of one loop's thread.

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <variant>

#include "common/base/result.h"
#include "common/config/object.h"
#include "common/net/task.h"

namespace culvert::agent {

// The value of the annotation ambient.istio.io/redirection.
enum class Redirection : std::uint8_t { kNone, kPending, kEnabled };
std::string_view name(Redirection redirection);  // "" for none

// What people hear of a pod where they look for it: an Event, as `kubectl describe pod` shows it.
struct News {
  bool warning = false;
  std::string_view reason;  // "Enrolled"
  std::string text;
};

// The object as what it is. Null when there is none.
template <class T>
std::shared_ptr<const T> as(const config::ObjectPtr& object) {
  return object ? std::shared_ptr<const T>(object, std::get_if<T>(object.get())) : nullptr;
}

// What there is now, past what has been told. A pod without its namespace cannot be.
struct Fresh {
  std::shared_ptr<const config::Pod> pod;  // null: there is none of that name
  std::shared_ptr<const config::Namespace> name_space;
};

class Cluster {
 public:
  virtual ~Cluster() = default;

  // Says it of this pod; nothing happens when that is what it says already. kPending is said when there is time, and fails never. A pod that is not
  // there any more is no failure.
  virtual net::Task<Status> say(std::shared_ptr<const config::Pod> pod, Redirection redirection) = 0;
  // Takes back what an earlier agent of this node said of other pods than these (namespace/name).
  virtual Status prune(const std::set<std::string>& pods) = 0;
  virtual void tell(const config::Pod& pod, News news) = 0;
  // Asks about one pod now. Fails when nobody can be asked, and where what has been told is all that there is.
  virtual net::Task<Result<Fresh>> look(std::string name_space, std::string pod) = 0;
};

}  // namespace culvert::agent
