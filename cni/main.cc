// culvert-node: the node agent. Decides which pods of this node belong to the mesh, prepares their network namespaces, keeps the kernel
// programs in force and hands the pods to ztunnel.

#include <cstdio>
#include <string_view>

#include "cni/agent/app.h"
#include "cni/agent/settings.h"
#include "common/base/slice.h"
#include "common/node_facts/facts.h"

namespace {

// `culvert-node precheck [--root DIR]`: what this machine is like, as JSON for `culvert precheck`, which judges it.
int tell_facts(int argc, char** argv) {
  const bool rooted = argc == 4 && argv[2] == std::string_view("--root");
  if (argc != 2 && !rooted) return std::fprintf(stderr, "culvert-node precheck takes --root DIR and nothing else\n"), 1;
  std::puts(culvert::node_facts::to_json(culvert::node_facts::read_facts(rooted ? argv[3] : "/")).c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && argv[1] == std::string_view("precheck")) return tell_facts(argc, argv);
  culvert::agent::Settings settings;
  auto table = settings.table();
  if (const auto exit_code = table.read(argc, argv)) return *exit_code;
  culvert::ask_for_short_slices();
  return culvert::agent::run(settings, table);
}
