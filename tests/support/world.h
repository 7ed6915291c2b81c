#pragma once
// A mesh on this machine, for tests: real programs, real kernel hooks, real sockets. What `culvert local` brings up, told as a story:
//
//   World world;
//   auto& client = world.node("node1").pod("client");
//   auto& server = world.node("node2").pod("server", {.command = World::peer_server(), .port = kPeerPort});
//   world.up();
//   EXPECT_TRUE(client.peer("echo", server.v4(), 1000).ok);
//
// The world is written as YAML into a folder of its own and edited there, as its user would. It ends with the object, and with the test, however
// that ends. What goes wrong on the way up fails the running test and prints the logs.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/process.h"

namespace culvert::testing {

inline constexpr int kPeerPort = 7000;
inline constexpr int kLoadPort = 7001;

struct PodOptions {
  std::string service_account = {};  // default: the pod's name
  std::string name_space = "mesh";   // "mesh" is ambient, "outside" is not
  std::vector<std::string> command = {"sleep", "infinity"};
  int port = 0;           // ready when something listens there
  std::string path = {};  // and answers for this over HTTP
  std::map<std::string, std::string> labels = {};
  std::map<std::string, std::string> env = {};
  bool host_network = false;
};

// What tests/support/peer.cc printed.
struct PeerOutcome {
  bool ok = false;
  long bytes = 0, ms = 0;
  std::string end, text;
};

// What `culvert local status` says of a pod.
struct PodState {
  bool ready = false;
  long restarts = -1;
  std::string mesh;
};

class World;
class Node;

class Pod {
 public:
  const std::string& name() const { return name_; }
  std::string v4() const;
  std::string v6() const;
  std::string address(bool v6) const { return v6 ? this->v6() : v4(); }

  Ran run(const std::vector<std::string>& command, Seconds patience = 60s);
  Process start(const std::vector<std::string>& command);
  Ran shell(const std::string& script, Seconds patience = 60s) { return run({"sh", "-c", script}, patience); }
  // With every capability: what a privileged container could do.
  Ran privileged(const std::string& script);
  PeerOutcome peer(const std::string& what, const std::string& host, long bytes = 0, int port = kPeerPort,
                   Seconds patience = 60s);
  std::string logs() const;
  PodState state() const;

 private:
  friend class World;
  friend class Node;
  World* world_ = nullptr;
  std::string name_, node_;
  PodOptions options_;
};

// What passes a node's wire to the others, from now on, a line a packet. There is no silence by a capture that saw nothing: it ends with a
// packet of our own that has to show.
class Wire {
 public:
  Wire(Node& node, const std::string& filter);
  // Everything so far.
  const std::string& packets();

 private:
  Node& node_;
  Process capture_;
};

class Node {
 public:
  Pod& pod(const std::string& name, PodOptions options = {});
  Pod* find(const std::string& name);  // a pod that was told before
  Ran shell(const std::string& script, Seconds patience = 60s);
  Process start(const std::vector<std::string>& command);
  std::string address(bool v6) const;
  std::string ztunnel_logs() const;
  std::string ztunnel_errors() const;  // the lines of it that complain, the last of them
  // "ztunnel", "culvert-node"
  void kill(const std::string& program);  // SIGKILL; stays down
  void start_program(const std::string& program);
  pid_t pid_of(const std::string& program) const;  // as seen from here
  long resident_kib(const std::string& program) const;

 private:
  friend class World;
  World* world_ = nullptr;
  std::string name_;
};

struct WorldOptions {
  int nodes = 2;
  bool mesh = true;
  std::vector<std::string> env = {};  // for the mesh's programs
};

class World {
 public:
  explicit World(WorldOptions options = {});
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  Node& node(const std::string& name);
  // A Service over the pods with label app=APP (a pod's own name is its app).
  void service(const std::string& name, const std::string& app, int port, int target, bool headless = false,
               const std::string& name_space = "mesh");
  // A file of the folder. Takes effect at once; wait for what it changes.
  void write(const std::string& file, const std::string& yaml);
  void remove(const std::string& file);
  const std::string& folder() const { return folder_; }
  void set_ambient(const std::string& name_space, bool ambient);

  // Writes what was told so far; brings the world up the first time, and waits until all is ready and enrolled.
  void up(Seconds patience = 60s);
  bool settle(Seconds patience = 30s);
  void crash();  // SIGKILL for whoever brought it up; what is left of it, `down` removes

  Ran culvert(std::vector<std::string> words, Seconds patience = 60s);
  Process start_culvert(std::vector<std::string> words);
  // `culvert WORDS... --world US`: commands that ask a running mesh.
  Ran ask(std::vector<std::string> words, Seconds patience = 60s);
  std::string logs(const std::string& target);
  void stop(const std::string& program, int signal);
  void start_program(const std::string& program);
  std::string service_address(const std::string& name, bool v6);

  static std::vector<std::string> peer_server();
  static std::vector<std::string> load_server();
  static std::string program(const std::string& name);  // beside the test: build/<preset>/bin/NAME

 private:
  friend class Pod;
  friend class Node;
  std::string objects() const;
  std::string status();
  const std::vector<std::string>& addresses_of(const std::string& kind, const std::string& name);

  WorldOptions options_;
  std::string name_, folder_;
  std::optional<Process> process_;
  std::map<std::string, std::unique_ptr<Node>> nodes_;
  std::vector<std::unique_ptr<Pod>> pods_;
  std::map<std::string, bool> ambient_ = {{"mesh", true}, {"outside", false}};
  std::string services_;
  std::map<std::string, std::vector<std::string>> addresses_;
};

}  // namespace culvert::testing
