#pragma once
// Puts the plugin onto the node and keeps it there: the program into the CNI folder, our entry into the CNI configuration (conflist.h), and both
// again when somebody else takes them away. On one loop's thread.

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "cni/install/conflist.h"
#include "common/base/result.h"
#include "common/net/loop.h"

namespace culvert::install {

struct Places {
  std::filesystem::path program;        // the plugin, where we have it
  std::filesystem::path binaries;       // the node's folder of CNI plugins, as we see it
  std::filesystem::path configuration;  // ... and of CNI configuration
};

class Installer {
 public:
  // Hears what is wrong now, and "" when nothing is.
  using Trouble = std::function<void(const std::string& text)>;

  // Begins at once. From then on pods of the node are refused while nobody answers the plugin: begin it when somebody does. `trouble` must not
  // destroy the installer. Ours is taken out when the configuration that it is made of has been gone for `grace`, in which its owner may have it whole again.
  Installer(net::Loop& loop, Places places, Wish wish, Trouble trouble, net::Clock::duration grace = std::chrono::seconds(10));
  ~Installer();
  Installer(const Installer&) = delete;
  Installer& operator=(const Installer&) = delete;

  std::uint64_t restored() const;  // times that somebody had taken away what was there
  bool installed() const;          // pods are held: false also when what somebody took away cannot be put back

  struct State;

 private:
  std::shared_ptr<State> state_;
};

// One look: the program and the configuration as they should be. True when something had to be changed. When there is nothing that pods could be
// connected by, ours stays as it is: its owner may be writing it.
Result<bool> put(const Places& places, const Wish& wish);

// Configuration first: nobody may be told to call what is not there.
Status remove(const Places& places, const Wish& wish);

}  // namespace culvert::install
