#pragma once
// One pod from its namespace to its end: its place, the files of its volumes, its containers kept running, their probes.
// Lives in the world's first process, on its loop.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cli/local/ground.h"
#include "cli/local/kept.h"
#include "cli/local/layout.h"
#include "cli/local/loop.h"
#include "cli/local/render.h"

namespace culvert::local {

class PodLife {
 public:
  // Makes the namespace. The containers wait for start(): a pod of the mesh is enrolled first. `changed` is called whenever state() may be another.
  static Result<std::unique_ptr<PodLife>> make(Loop& loop, const std::string& world, const PodPlan& plan, const Layout& layout,
                                               const Place& node, std::function<void()> changed);
  ~PodLife();  // ends all that runs in it and removes it

  void start();
  bool started() const { return !containers_.empty(); }
  // True when the process was one of ours.
  bool ended(pid_t pid, int status);

  // New labels, annotations, owner; the spec is the same.
  void relabel(const PodPlan& plan) { plan_.metadata = plan.metadata; }
  // Makes the volumes what their ConfigMaps are now. What cannot be written stays as it was.
  Status refresh(const Layout& layout);

  const PodPlan& plan() const { return plan_; }
  PodState state() const;
  int restarts() const;
  std::string trouble() const;  // why it is not ready, as far as it is known; empty when it is
  const Place& place() const { return place_; }
  std::string log_path(const std::string& container) const;
  std::map<std::string, std::string> environment_of(const config::Container& container) const;

 private:
  struct Container {
    const config::Container* spec = nullptr;  // of plan_
    std::unique_ptr<Kept> kept;
    pid_t prober = 0;
    Fd verdicts;                  // what the prober writes to
    Loop::Timer next_prober = 0;  // after one that ended, or could not be made
    bool ready = false;
  };

  PodLife(Loop& loop, std::string world, const PodPlan& plan, std::function<void()> changed);
  Status write_volumes(const Layout& layout);
  static Status fill(const std::string& folder, const std::map<std::string, std::string>& files);
  Result<pid_t> run_container(const config::Container& spec);
  void container_changed(Container& container);
  void begin_probe(Container& container);
  void probe_later(Container& container);
  void end_probe(Container& container);
  void read_verdicts(Container& container);

  Loop& loop_;
  std::string world_, uid_;
  PodPlan plan_;
  std::function<void()> changed_;
  Place place_, kubelet_;
  bool made_ = false;
  std::vector<std::unique_ptr<Container>> containers_;
};

std::string random_uid();

}  // namespace culvert::local
