#pragma once
// The whole configuration from one YAML file: LOCAL_XDS_PATH, in the format of Istio's ztunnel (workloads, services, policies).
// Read strictly: an unknown key, a wrong type or a bad value is an error with its line, and nothing of the file is used.

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/model/policy.h"
#include "common/model/service.h"
#include "common/model/workload.h"
#include "common/net/loop.h"
#include "common/xds/update.h"

namespace culvert::xds {

struct LocalConfig {
  std::vector<model::Workload> workloads{};
  std::vector<model::Service> services{};
  std::vector<model::Policy> policies{};

  friend bool operator==(const LocalConfig&, const LocalConfig&) = default;
};

// `origin` names the text in errors: "ORIGIN:LINE: workloads[0].protocol: \"FOO\" is neither HBONE nor TCP".
Result<LocalConfig> parse_local(std::string_view yaml, std::string_view origin);

// What has to change to get from one to the other.
Update difference(const LocalConfig& before, const LocalConfig& after);

// Follows one file. A version that cannot be read is reported and the last good one stays in force; so does it when the file vanishes, or
// its whole folder: a folder that comes in its place is followed from then on.
class LocalFile {
 public:
  using OnUpdate = std::function<void(Update)>;
  using OnProblem = std::function<void(const Error&)>;

  // Reads the file now: fails when that first version is bad. Later versions arrive by `on_update` on the loop.
  static Result<LocalFile> open(net::Loop& loop, std::string path, OnUpdate on_update, OnProblem on_problem);
  ~LocalFile();
  LocalFile(LocalFile&&) noexcept;

 private:
  struct State;
  explicit LocalFile(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace culvert::xds
