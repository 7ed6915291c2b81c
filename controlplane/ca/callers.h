#pragma once
// Who calls: the proof that a call carries, looked at by whoever knows how. On the control thread.

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "common/base/address.h"
#include "common/base/identity.h"
#include "common/base/result.h"

namespace culvert::controlplane {

// A caller that has proved who it is.
struct Caller {
  std::string node;             // it may act for the pods of this node; empty: for none
  std::optional<Identity> own;  // what it is itself, when it is a pod
  bool any = false;             // an authority in front of us: it decides who may have what
  bool operates = false;        // it may see the debug pages: the mesh's own accounts
  bool certified = false;       // proved by a certificate of the mesh, not by a token
  std::string proxy = {};       // a node proxy of which no more than the identity is proved: its name among the streams
  std::string name = {};        // for the log, when it is none of these

  // As what it gets the mesh's configuration; empty: it gets none.
  const std::string& subscriber() const { return node.empty() ? proxy : node; }

  std::string text() const {
    const std::string who = own ? own->uri() : any ? "by token" : name.empty() ? "nobody" : name;
    return any ? "authority " + who : node.empty() ? who : "node " + node;
  }
};

class Callers {
 public:
  using Then = std::function<void(Result<Caller>)>;

  virtual ~Callers() = default;
  // Answers once, now or later, as long as this lives. The error is for our log; the caller is told nothing. `authorization` is the header,
  // "Bearer TOKEN"; `from` where it came from.
  virtual void prove(std::string_view authorization, const IpAddress& from, Then then) = 0;
  // The nodes that should have a proxy which may act for them.
  virtual std::set<std::string> nodes() const = 0;
  // Of these, those whose proxy is known to be ready: it serves its node's pods, by whatever it has.
  virtual std::set<std::string> ready_nodes() const = 0;
};

}  // namespace culvert::controlplane
