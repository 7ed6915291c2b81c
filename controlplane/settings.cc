#include "controlplane/settings.h"

#include <unistd.h>

#include <algorithm>

namespace culvert::controlplane {

std::string own_name() {
  char host[65] = {};
  ::gethostname(host, sizeof host - 1);
  return std::string(host) + "-" + std::to_string(::getpid());
}

settings::Table Settings::table() {
  settings::Table table("culvertd",
                        "turns Kubernetes and Istio objects into configuration for proxies, and signs their certificates");
  table.add(
      config_dir,
      {.env = "CULVERT_CONFIG_DIR",
       .flag = "--config-dir",
       .doc = "folder of YAML to take the configuration from, instead of the Kubernetes API; status/ in it is the node agents'"});
  table.add(kubeconfig, {.flag = "--kubeconfig",
                         .doc = "how to reach the Kubernetes API; without it and --config-dir, as a pod of the cluster"});
  table.add(context, {.flag = "--context", .doc = "context of the kubeconfig, when not the current one"});
  table.add(system_namespace, {.env = "POD_NAMESPACE",
                               .flag = "--namespace",
                               .doc = "namespace of culvertd's own objects: the CA's Secret, the leader's Lease"});
  table.add(pod_name,
            {.env = "POD_NAME",
             .flag = "--name",
             .doc = "our own name among the replicas, one of which leads; else made of the host's name and the process id"});
  table.add(token_audiences, {.env = "TOKEN_AUDIENCES", .doc = "audiences of service account tokens that are meant for us"});
  table.add(trusted_node_accounts,
            {.env = "CA_TRUSTED_NODE_ACCOUNTS",
             .doc = "service accounts (namespace/name) whose pods may act for the other pods of their node: ztunnel's"});
  table.add(token_review_ttl, {.env = "CULVERT_TOKEN_REVIEW_TTL",
                               .doc = "how long a token that the API server called good is not shown to it again; while it "
                                      "cannot be asked, such a token counts until its end"});
  table.add(data_dir, {.env = "CULVERT_DATA_DIR",
                       .flag = "--data-dir",
                       .doc = "folder of the CA's key and certificates; root-cert.pem in it is what clients trust"});
  table.add(tokens, {.env = "CULVERT_TOKENS",
                     .flag = "--tokens",
                     .doc = "file, mode 0600, with a line TOKEN NODE for each node that may connect; needed with --config-dir"});
  table.add(names, {.env = "CULVERT_DNS_NAMES",
                    .flag = "--dns-names",
                    .doc = "host names and addresses that the server's certificate carries"});
  table.add(address,
            {.env = "CULVERT_XDS_ADDRESS", .flag = "--address", .doc = "address of discovery and certificate signing, TLS only"});
  table.add(
      plaintext_address,
      {.env = "CULVERT_PLAINTEXT_ADDRESS",
       .flag = "--plaintext-address",
       .doc = "address of the same without TLS, as istiod's port 15010, for callers that something else protects; empty: none. "
              "Tokens and configuration are in the clear there"});
  table.add(metrics_port, {.env = "MONITORING_PORT", .flag = "--monitoring-port", .doc = "port of /metrics"});
  table.add(debug_port,
            {.env = "CULVERT_DEBUG_PORT", .flag = "--debug-port", .doc = "port of /ready and /debug, on localhost only"});
  table.add(debug_on_localhost, {.env = "CULVERT_DEBUG_ON_LOCALHOST",
                                 .doc = "show /debug to whoever asks from this machine (this pod); else to tokens alone"});
  table.add(webhook_port, {.env = "CULVERT_WEBHOOK_PORT",
                           .flag = "--webhook-port",
                           .doc = "port of the validating webhook on Kubernetes, TLS; 0 for none"});
  table.add(webhook_url, {.env = "CULVERT_WEBHOOK_URL",
                          .flag = "--webhook-url",
                          .doc = "where the API server finds the webhook, when not by the Service culvertd of our namespace"});
  table.add(bundle_port,
            {.env = "CULVERT_BUNDLE_PORT",
             .flag = "--bundle-port",
             .doc = "port of the SPIFFE bundle with --config-dir, TLS; 0 for none (on Kubernetes it is on the webhook's)"});
  table.add(cluster_id, {.env = "CLUSTER_ID", .flag = "--cluster-id", .doc = "name of the cluster in workloads' uids"});
  table.add(trust_domain, {.env = "TRUST_DOMAIN",
                           .flag = "--trust-domain",
                           .doc = "first part of every identity, where neither the CA's root nor MeshConfig says one"});
  table.add(cluster_domain,
            {.env = "CULVERT_CLUSTER_DOMAIN", .flag = "--cluster-domain", .doc = "last part of services' host names"});
  table.add(root_namespace,
            {.env = "ROOT_NAMESPACE", .flag = "--root-namespace", .doc = "namespace whose policies apply to the whole mesh"});
  table.add(dry_run_policies, {.env = "AMBIENT_ENABLE_DRY_RUN_AUTHORIZATION_POLICY",
                               .doc = "send policies marked istio.io/dry-run; old proxies would enforce them"});
  table.add(default_lifetime,
            {.env = "DEFAULT_WORKLOAD_CERT_TTL", .doc = "lifetime of a certificate when the request names none"});
  table.add(max_lifetime, {.env = "MAX_WORKLOAD_CERT_TTL",
                           .doc = "longest lifetime that is granted, whatever is asked for; 0: a day, or "
                                  "DEFAULT_WORKLOAD_CERT_TTL where that is longer"});
  table.add(
      root_overlap,
      {.env = "CULVERT_ROOT_OVERLAP",
       .doc = "how long a new root certificate is published before anything is signed under it; proxies that do not follow the "
              "published root get it when they renew, at half of a certificate's life"});
  table.add(root_lifetime, {.env = "CITADEL_SELF_SIGNED_CA_CERT_TTL", .doc = "lifetime of a root that culvertd makes"});
  table.add(root_check, {.env = "CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL",
                         .doc = "how often it is looked whether a root that culvertd made has to be replaced"});
  table.add(root_grace_percent, {.env = "CITADEL_SELF_SIGNED_ROOT_CERT_GRACE_PERIOD_PERCENTILE",
                                 .unit = "percent",
                                 .doc = "the last part of the life of a root that culvertd made, in which it is replaced"});
  table.add(
      trusted_authorities,
      {.env = "CULVERT_TRUSTED_AUTHORITIES",
       .doc = "service accounts (namespace/name) of CAs in front of this one, whose pods may ask for every identity of the trust "
              "domain"});
  table.add(k8s_signer, {.env = "K8S_SIGNER",
                         .doc = "signer of the Kubernetes API that signs workloads' certificates, instead of culvertd's own CA"});
  table.add(ca_addr,
            {.env = "CA_ADDR",
             .doc = "another CA, as https://host:port, that signs workloads' certificates by Istio's protocol, instead of "
                    "culvertd's own"});
  table.add(ca_root_ca,
            {.env = "CA_ROOT_CA", .doc = "what the certificate of CA_ADDR must chain to: a PEM file, the PEM text, or SYSTEM"});
  table.add(ca_token, {.env = "CULVERT_CA_TOKEN", .doc = "file with the bearer token for CA_ADDR, read again for every call"});
  table.add(signer_roots,
            {.env = "CULVERT_SIGNER_ROOTS",
             .doc = "PEM file with what the certificates of K8S_SIGNER or CA_ADDR chain to; published with culvertd's own "
                    "root"});
  table.add(max_connections, {.env = "CULVERT_MAX_CONNECTIONS",
                              .doc = "connections to the port of discovery and certificates, in all; a ztunnel has two"});
  table.add(max_connections_per_address,
            {.env = "CULVERT_MAX_CONNECTIONS_PER_ADDRESS", .doc = "of these, from one address: many nodes may be behind one"});
  table.add(
      max_unproved_connections,
      {.env = "CULVERT_MAX_UNPROVED_CONNECTIONS",
       .doc = "connections whose caller has not proved who it is; when there are more, the oldest of the address that has most "
              "of them ends"});
  table.add(max_unproved_per_address, {.env = "CULVERT_MAX_UNPROVED_PER_ADDRESS", .doc = "of these, from one address"});
  table.add(proof_timeout,
            {.env = "CULVERT_PROOF_TIMEOUT", .doc = "time in which a caller has to prove who it is; then its connection ends"});
  table.add(max_connection_age, {.env = "CULVERT_MAX_CONNECTION_AGE", .doc = "after this a client has to connect again"});
  table.add(log_level, {.env = "LOG_LEVEL",
                        .flag = "--log-level",
                        .doc = "trace, debug, info, warn, error or off; scope=level,... for single scopes"});
  table.choice(log_format, {.env = "LOG_FORMAT", .doc = "format of log lines"}, {{"plain", "plain"}, {"json", "json"}});
  table.choice(uninstall,
               {.flag = "--uninstall",
                .doc = "instead of serving, remove from the cluster what helm does not: agents, in order, before anything is "
                       "deleted; traces, "
                       "what culvertd has written, after that"},
               {{"none", Uninstall::kNone}, {"agents", Uninstall::kAgents}, {"traces", Uninstall::kTraces}});
  return table;
}

std::chrono::seconds Settings::longest_lifetime() const {
  return max_lifetime.count() > 0 ? max_lifetime : std::max<std::chrono::seconds>(std::chrono::hours(24), default_lifetime);
}

RotationPolicy Settings::rotation() const {
  return {.overlap = root_overlap,
          .grace_percent = root_grace_percent,
          .root_lifetime = root_lifetime,
          .longest_leaf = longest_lifetime(),
          .check = root_check};
}

Status Settings::check() const {
  if (!config_dir.empty() && tokens.empty())
    return failure("--config-dir needs --tokens FILE: with a folder of YAML nobody else says who may connect");
  if (!k8s_signer.empty() && !config_dir.empty())
    return failure("K8S_SIGNER needs the Kubernetes API, and --config-dir has none");
  if (bundle_port != 0 && config_dir.empty())
    return failure("--bundle-port is for --config-dir: on Kubernetes the SPIFFE bundle is on the webhook's port");
  if (!k8s_signer.empty() && !ca_addr.empty()) return failure("K8S_SIGNER and CA_ADDR are two signers: set one of them");
  if (!ca_addr.empty() && ca_root_ca.empty()) return failure("CA_ADDR needs CA_ROOT_CA: what its certificate must chain to");
  if (signs_elsewhere() && signer_roots.empty())
    return failure("K8S_SIGNER and CA_ADDR need CULVERT_SIGNER_ROOTS: what their certificates chain to, for proxies to trust");
  if (max_connections < 1 || max_connections_per_address < 1 || max_unproved_connections < 1 || max_unproved_per_address < 1)
    return failure("CULVERT_MAX_CONNECTIONS and its like must be at least 1, or nobody could connect");
  if (root_check.count() < 1) return failure("CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL must be at least 1s");
  if (root_grace_percent > 90)
    return failure("CITADEL_SELF_SIGNED_ROOT_CERT_GRACE_PERIOD_PERCENTILE must be at most 90: of a root's life, the last part");
  if (root_lifetime <= 2 * (root_overlap + 2 * root_check))
    return failure(
        "CITADEL_SELF_SIGNED_CA_CERT_TTL is too short: a root would be replaced all the time (take more than twice "
        "CULVERT_ROOT_OVERLAP and "
        "four times CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL)");
  return {};
}

}  // namespace culvert::controlplane
