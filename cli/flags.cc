#include "cli/flags.h"

namespace culvert::cli {

void add_cluster_flags(CLI::App& command, ClusterFlags& options) {
  command.add_option("-c,--kubeconfig", options.kubeconfig,
                     "a kubeconfig (default: $KUBECONFIG, ~/.kube/config, or the pod's own account)");
  command.add_option("--context", options.context, "of the kubeconfig (default: its current one)");
  command.add_option("-i,--istioNamespace", options.system_namespace, "where the mesh itself is installed")
      ->capture_default_str();
}

void add_plane_flags(CLI::App& command, PlaneOptions& options) {
  auto* url = command.add_option(
      "--url", options.urls,
      "culvertd's monitoring port, http://HOST:15014, once for each replica (default: every replica of the cluster)");
  command.add_option("--world", options.world, "the control plane of this world of culvert local")->excludes(url);
  command
      .add_option("--token-file", options.token_file,
                  "file with a service account's token, when --url is not asked from culvertd's own host")
      ->needs(url);
  add_cluster_flags(command, options.cluster);
}

}  // namespace culvert::cli
