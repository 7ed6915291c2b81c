// culvert-node: the node agent. Decides which pods of this node belong to the mesh, prepares their network namespaces, keeps the kernel
// programs in force and hands the pods to ztunnel.

#include "cni/agent/app.h"
#include "cni/agent/settings.h"

int main(int argc, char** argv) {
  culvert::agent::Settings settings;
  auto table = settings.table();
  if (const auto exit_code = table.read(argc, argv)) return *exit_code;
  return culvert::agent::run(settings, table);
}
