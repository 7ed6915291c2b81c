#pragma once
// Who calls: the proof that a call carries, looked at by whoever knows how. On the control thread.

#include <functional>
#include <optional>
#include <string>

#include "common/base/identity.h"
#include "common/base/result.h"
#include "common/rpc/server.h"

namespace culvert::controlplane {

// A caller that has proved who it is.
struct Caller {
  std::string node;             // it may act for the pods of this node; empty: for none
  std::optional<Identity> own;  // what it is itself, when it is a pod
  bool any = false;             // an authority in front of us: it decides who may have what

  std::string text() const {
    const std::string who = own ? own->uri() : any ? "by token" : "nobody";
    return any ? "authority " + who : node.empty() ? who : "node " + node;
  }
};

class Callers {
 public:
  using Then = std::function<void(Result<Caller>)>;

  virtual ~Callers() = default;
  // Answers once, now or later, as long as this lives. The error is for our log; the caller is told nothing.
  virtual void prove(rpc::CallRef call, Then then) = 0;
};

}  // namespace culvert::controlplane
