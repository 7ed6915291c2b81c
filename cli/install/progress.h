#pragma once
// How far a release is, said while helm waits in silence.

#include <memory>
#include <string>

#include "cli/install/helm.h"

namespace culvert::cli::install {

class Progress {
 public:
  explicit Progress(const Release& release);
  ~Progress();
  Progress(const Progress&) = delete;

  // Looks once and prints a line on standard error when it is another one than before: "culvertd 1/1, ztunnel 0/2".
  // Where the cluster does not answer us, says nothing: helm will.
  void look();

 private:
  struct State;
  std::unique_ptr<State> state_;  // null: the kubeconfig is not for us
};

// A line for Deployments and DaemonSets, as the API lists them.
std::string progress_of(const boost::json::array& deployments, const boost::json::array& daemon_sets);

}  // namespace culvert::cli::install
