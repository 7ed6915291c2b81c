#include "cni/agent/settings.h"

namespace culvert::agent {

settings::Table Settings::table() {
  settings::Table table("culvert-node",
                        "decides which pods of this node belong to the mesh and captures their traffic for ztunnel");
  table.add(node_name, {.env = "NODE_NAME", .flag = "--node-name", .doc = "the node that we run on; only its pods concern us"});
  table.add(config_dir, {.env = "CULVERT_CONFIG_DIR",
                         .flag = "--config-dir",
                         .doc = "folder of YAML with Pods and Namespaces, instead of a Kubernetes API; status/ in it is ours"});
  table.add(kubeconfig, {.flag = "--kubeconfig",
                         .doc = "how to reach the Kubernetes API; without it and --config-dir, as a pod of the cluster"});
  table.add(context, {.flag = "--context", .doc = "context of the kubeconfig, when not the current one"});
  table.add(own_namespace, {.env = "POD_NAMESPACE",
                            .flag = "--namespace",
                            .doc = "where Culvert is installed: what the mesh is made of starts there before it"});
  table.add(pin_dir, {.env = "CULVERT_PIN_DIR",
                      .flag = "--pin-dir",
                      .doc = "folder on a bpffs in which what is in force outlives this process"});
  table.add(ztunnel_socket,
            {.env = "ZTUNNEL_UDS_ADDRESS", .flag = "--ztunnel-socket", .doc = "unix socket that ztunnel connects to (ZDS)"});
  table.add(agent_socket,
            {.env = "CULVERT_AGENT_SOCKET",
             .flag = "--agent-socket",
             .doc = "unix socket that the CNI plugin asks; empty: /var/run/culvert/agent.sock, or none with --config-dir"});
  table.add(
      add_patience,
      {.env = "CULVERT_ADD_PATIENCE",
       .doc = "how long a pod that starts may take to get into the mesh before it is refused, and tried again by the kubelet"});
  table.add(cni_bin_dir, {.env = "CULVERT_CNI_BIN_DIR",
                          .flag = "--cni-bin-dir",
                          .doc = "the node's folder of CNI plugins, as we see it; empty: the CNI plugin is not installed"});
  table.add(
      cni_net_dir,
      {.env = "MOUNTED_CNI_NET_DIR", .flag = "--cni-net-dir", .doc = "the node's folder of CNI configuration, as we see it"});
  table.add(cni_program,
            {.env = "CULVERT_CNI_PROGRAM", .doc = "the CNI plugin to install; empty: culvert-cni beside this program"});
  table.add(cni_conf_name,
            {.env = "CNI_CONF_NAME", .doc = "CNI configuration that the plugin is added to; empty: the first that can be read"});
  table.add(
      cni_chained,
      {.env = "CHAINED_CNI_PLUGIN",
       .doc =
           "whether the plugin follows others in their configuration; false: one of its own for Multus, named by CNI_CONF_NAME"});
  table.add(
      cni_own_config,
      {.env = "CULVERT_OWNED_CNI_CONFIG",
       .doc = "whether the plugin is added to a copy of the node's configuration, 00-culvert.conflist, which comes before it "
              "and is there when the node boots; false: in the file of its owner"});
  table.add(
      own_pods,
      {.env = "CULVERT_OWN_PODS",
       .doc = "beginnings of names of pods in our own namespace which start before the agent does: what the mesh is made of"});
  table.add(
      daemonset,
      {.env = "CULVERT_DAEMONSET",
       .doc = "our DaemonSet: an agent that is told to end while this is being deleted takes its pods out of the mesh first"});
  table.add(leave_patience, {.env = "CULVERT_LEAVE_PATIENCE", .doc = "how long that may take"});
  table.add(startup_taint,
            {.env = "CULVERT_STARTUP_TAINT",
             .doc = "key of a taint that is taken off our node once pods can be brought into the mesh; empty: of none"});
  table.add(cgroup_root, {.env = "CULVERT_CGROUP_ROOT",
                          .flag = "--cgroup-root",
                          .doc = "cgroup2 folder at which connections are captured; empty: the root in /proc/self/mountinfo"});
  table.add(kubelet_cgroups, {.env = "CULVERT_KUBELET_CGROUPS",
                              .flag = "--kubelet-cgroups",
                              .doc = "cgroup2 folders, absolute or below the root, whose own processes may probe pods past "
                                     "ztunnel; none named, on Kubernetes: "
                                     "the kubelet's, found in /proc"});
  table.add(rules.excluded_namespaces,
            {.env = "EXCLUDE_NAMESPACES", .flag = "--exclude-namespaces", .doc = "namespaces whose pods are never enrolled"});
  table.add(rules.dns_capture, {.env = "AMBIENT_DNS_CAPTURE",
                                .flag = "--dns-capture",
                                .doc = "whether DNS of pods goes through ztunnel where the pod does not say"});
  table.add(metrics_port, {.env = "MONITORING_PORT", .flag = "--monitoring-port", .doc = "port of /metrics"});
  table.add(readiness_port, {.env = "CULVERT_READINESS_PORT", .flag = "--readiness-port", .doc = "port of /readyz and /healthz"});
  table.add(
      admin_port,
      {.env = "CULVERT_ADMIN_PORT", .flag = "--admin-port", .doc = "port of /pods, /settings and /logging, on localhost only"});
  table.add(finish_grace, {.env = "CULVERT_FINISH_GRACE",
                           .doc = "how long connections through ztunnel may end by themselves when a pod leaves the mesh"});
  table.add(socket_grace,
            {.env = "CULVERT_SOCKET_GRACE", .doc = "how long a leaving pod's routes wait for its last captured socket"});
  table.add(upgrade_patience,
            {.env = "CULVERT_UPGRADE_PATIENCE",
             .doc = "how long an agent of another version waits for every captured pod to be ready before it takes over"});
  table.add(log_level, {.env = "LOG_LEVEL",
                        .flag = "--log-level",
                        .doc = "trace, debug, info, warn, error or off; scope=level,... for single scopes"});
  table.choice(log_format, {.env = "LOG_FORMAT", .doc = "format of log lines"}, {{"plain", "plain"}, {"json", "json"}});
  table.add(unload,
            {.env = {},
             .flag = "--unload",
             .doc = "take everything out of the CNI folders, the kernel and the pods, then end: pods leave the mesh at once"});
  return table;
}

}  // namespace culvert::agent
