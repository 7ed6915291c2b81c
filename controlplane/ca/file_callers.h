#pragma once
// Callers by a token file, read again when it changes. A file that becomes unreadable or empty leaves the last good tokens in force, loudly.
// On the control thread.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/net/loop.h"
#include "common/rpc/server.h"
#include "controlplane/ca/callers.h"
#include "controlplane/ca/tokens.h"

namespace culvert::controlplane {

class FileCallers final : public Callers {
 public:
  // Fails when the file cannot be read, is not 0600, or is mistaken. `changed` is called after each reading that worked.
  static Result<std::unique_ptr<FileCallers>> open(net::Loop& loop, const std::string& file, std::function<void()> changed);
  ~FileCallers() override;

  void prove(std::string_view authorization, const IpAddress& from, Then then) override;
  std::set<std::string> nodes() const override;
  std::set<std::string> ready_nodes() const override { return {}; }  // no folder says

  // The node that a call's token stands for.
  std::optional<std::string> node_of(const rpc::ServerCall& call) const;

 private:
  struct State;
  explicit FileCallers(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace culvert::controlplane
