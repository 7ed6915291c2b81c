#pragma once
// The CA of --data-dir, followed: what its owner changes there is taken up, and a root that culvertd made is replaced before it ends. On the control
// thread.

#include <functional>
#include <memory>
#include <string>

#include "common/net/loop.h"
#include "controlplane/ca/root.h"
#include "controlplane/ca/trust_domain.h"

namespace culvert::controlplane {

class CaFolder {
 public:
  struct Options {
    std::string folder;
    AskTrustDomain trust_domain;
    RotationPolicy rotation = {};
  };

  // `changed` is told what is there now, each time that it may be another. What cannot be read is logged, and stays what it was.
  static Result<std::unique_ptr<CaFolder>> open(net::Loop& loop, Options options, std::function<void(Ca)> changed);
  ~CaFolder();
  CaFolder(const CaFolder&) = delete;
  CaFolder& operator=(const CaFolder&) = delete;

 private:
  struct State;
  explicit CaFolder(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace culvert::controlplane
