#pragma once
// `culvert explain`: may a pod connect to that host and port, by which way, as whom, and which policy and rule decides. The exit code:
//   0 it may   1 could not say   2 it may not   3 it depends on the endpoint that is picked

#include <string>
#include <vector>

#include "cli/explain/source.h"
#include "cli/explain/words.h"
#include "common/model/explain.h"

namespace culvert::cli {

struct ExplainOptions {
  MeshOptions mesh;
  std::string from, to;
  std::string name_space;  // of `from`; empty: "default"
  bool json = false;
};
int explain(const ExplainOptions& options);

// One address of the destination, and every way to it.
struct Explained {
  Destination destination;
  std::vector<model::Route> routes;
};
enum class Answer : int { kMay = 0, kMayNot = 2, kDepends = 3 };
Answer answer_of(const std::vector<Explained>& all);
// What is printed. Pure.
std::string text_of(const KnownMesh& known, const model::Workload& source, const std::vector<Explained>& all);
std::string json_of(const KnownMesh& known, const model::Workload& source, const std::vector<Explained>& all);

}  // namespace culvert::cli
