#pragma once
// A running world: the nodes, the programs of the mesh, the pods, and the folder that says what they are to be. Its first process runs this and
// nothing else; when that process ends, however it ends, the kernel ends the rest.
//
//   folder ──YamlFolder──> lay out ──> pods (PodLife) ──ready, ended──> publish: config/ (culvertd, node agents), nftables, DNS zone
//                                    └──> policies, as they stand there ─────────────┘
//   node agents ──> config/status/pods ──> enrolled: the pod's containers start

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cli/local/ground.h"
#include "cli/local/kept.h"
#include "cli/local/layout.h"
#include "cli/local/loop.h"
#include "cli/local/pod_life.h"
#include "cli/local/programs.h"
#include "cli/local/render.h"
#include "cli/local/yaml_folder.h"

namespace culvert::local {

struct WorldOptions {
  std::string name = "default";
  std::string folder;  // as the user wrote it, for messages
  int nodes = 2;
  bool mesh = true;  // false: only pods, services and DNS
  std::string self;  // this program
  Programs programs;
};

class World {
 public:
  // `control` listens already; `folder` is the open folder of YAML.
  World(WorldOptions options, Fd control, Fd folder);
  ~World();

  // Brings up what pods and programs stand on, moves standard error to the world's log, then runs until the process is told to end. An error
  // is one of bringing up.
  Status run();

 private:
  struct Node {
    Place place;
    std::map<std::string, std::unique_ptr<Kept>> programs;
  };
  struct Waiter {
    Fd client;
    Loop::Timer timer = 0;
  };

  // world.cc
  Status bring_up();
  Status start_nodes();
  Status make_tokens();
  void start_mesh();
  void start_ztunnels();
  std::unique_ptr<Kept> keep(const Place& place, const std::string& below, const Program& program);
  void read_children();
  void read_texts();
  void apply(const Layout& layout);
  void remove_stale(const Layout& layout);
  void add_missing();
  void read_enrolment();
  void start_enrolled();
  void touch();  // something changed: publish at the end of this turn
  void publish();
  void publish_files();
  void publish_network(const std::set<PodName>& ready);

  // requests.cc
  void serve_control();
  void answer(Fd client, const std::string& request);
  void answer_enter(int client, const std::string& target, const std::string& container);
  void answer_logs(int client, const std::string& target, const std::string& container);
  void answer_program(int client, const std::string& target, bool start, int signal);
  void await_settled(Fd client, std::chrono::milliseconds patience);
  void tell_waiters();
  bool settled() const;
  std::string status() const;
  std::string mesh_state(const PodLife& pod) const;
  PodLife* find_pod(const std::string& target, std::string& error);
  Kept* find_program(const std::string& target);
  Result<Place> place_of_machine(const std::string& target);

  WorldOptions options_;
  Fd control_, signals_, status_watch_, pid_space_;
  Loop loop_;
  YamlFolder folder_;
  bool ending_ = false;
  bool touched_ = false;

  Layout layout_;
  std::vector<std::string> problems_;              // why the folder as it is now is not in force
  std::map<std::string, std::string> kept_files_;  // policies by file
  std::map<PodName, std::unique_ptr<PodLife>> pods_;
  std::map<PodName, std::string> failed_;     // pods that could not be made, or not be made what they are to be, and why
  std::map<PodName, std::string> enrolment_;  // what the node agents say of them
  std::map<int, Node> nodes_;
  std::unique_ptr<Kept> control_plane_;
  Place here_;  // the control plane's

  std::map<std::string, std::string> published_;
  std::string published_rules_, published_zone_;
  std::map<Loop::Timer, Waiter> waiters_;
};

void say(const std::string& line);  // to the world's log

}  // namespace culvert::local
