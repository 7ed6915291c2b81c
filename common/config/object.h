#pragma once
// Kubernetes and Istio objects as plain values: only the fields that Culvert reads. Made by parse.h, compared by value, never changed
// after they are made. No YAML, no JSON, no API server here. Strings are as written; addresses and numbers are already checked.

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/base/address.h"
#include "common/config/shared.h"

namespace google::protobuf {
class Message;
}

namespace culvert::config {

enum class Kind : std::uint8_t {
  kNamespace,
  kNode,
  kServiceAccount,
  kPod,
  kService,
  kEndpointSlice,
  kConfigMap,
  kDeployment,
  kStatefulSet,
  kPeerAuthentication,
  kAuthorizationPolicy,
  // Those that are a Custom; each has a line in kinds.cc.
  kRequestAuthentication,
  kVirtualService,
  kDestinationRule,
  kIstioGateway,
  kServiceEntry,
  kSidecar,
  kWorkloadEntry,
  kWorkloadGroup,
  kEnvoyFilter,
  kProxyConfig,
  kTelemetry,
  kWasmPlugin,
  kGatewayClass,
  kGateway,
  kHttpRoute,
  kGrpcRoute,
  kTlsRoute,
  kTcpRoute,
  kReferenceGrant,
  kBackendTlsPolicy,
  kListenerSet,
};
std::string_view name(Kind kind);  // "Pod"; "Gateway" is the Gateway API's, Istio's is "Gateway.networking.istio.io"
bool is_namespaced(Kind kind);     // all but Namespace, Node and GatewayClass
bool is_policy(Kind kind);         // PeerAuthentication, AuthorizationPolicy
bool is_custom(Kind kind);         // read by its proto and kept whole, as a Custom
bool has_status(Kind kind);        // we say in its status what became of it

// What an object is called. `name_space` is empty for kinds that have none.
struct Key {
  Kind kind{};
  std::string name_space;
  std::string name;

  std::string text() const;  // "Pod shop/web-0", "Namespace shop"
  friend auto operator<=>(const Key&, const Key&) = default;
};

using Labels = std::map<std::string, std::string>;

// True when every pair of `wanted` is among `labels`. An empty `wanted` selects everything.
bool selects(const Labels& wanted, const Labels& labels);
// labels.at(name), or "" when there is none.
std::string_view value_of(const Labels& labels, std::string_view name);

struct OwnerReference {
  std::string kind;
  std::string name;
  bool controller = false;

  friend bool operator==(const OwnerReference&, const OwnerReference&) = default;
};

struct Metadata {
  std::string name;
  std::string name_space;  // "default" when the document names none and the kind is namespaced
  std::string uid;
  Shared<Labels> labels;
  Shared<Labels> annotations;
  Shared<std::vector<OwnerReference>> owners;
  std::int64_t created = 0;  // seconds since 1970, 0 when not given
  bool deleting = false;     // deletionTimestamp is set

  friend bool operator==(const Metadata&, const Metadata&) = default;
};

struct Namespace {
  Metadata metadata;

  friend bool operator==(const Namespace&, const Namespace&) = default;
};

struct Node {
  Metadata metadata;

  friend bool operator==(const Node&, const Node&) = default;
};

struct ServiceAccount {
  Metadata metadata;

  friend bool operator==(const ServiceAccount&, const ServiceAccount&) = default;
};

enum class Transport : std::uint8_t { kTcp, kUdp, kSctp };

// A port by number or by the name it has in the pod.
struct PortRef {
  std::uint16_t number = 0;  // 0: by name
  std::string name;

  friend bool operator==(const PortRef&, const PortRef&) = default;
};

struct ContainerPort {
  std::string name;
  std::uint16_t port = 0;
  Transport transport = Transport::kTcp;

  friend bool operator==(const ContainerPort&, const ContainerPort&) = default;
};

struct EnvVar {
  std::string name;
  std::string value;
  std::string field_path;  // valueFrom.fieldRef.fieldPath, else empty

  friend bool operator==(const EnvVar&, const EnvVar&) = default;
};

struct Probe {
  struct HttpGet {
    std::string path = "/";
    PortRef port;
    std::string scheme = "HTTP";
    std::string host;

    friend bool operator==(const HttpGet&, const HttpGet&) = default;
  };
  std::optional<HttpGet> http_get;
  std::optional<PortRef> tcp_socket;
  std::vector<std::string> exec;  // exec.command
  int initial_delay_seconds = 0;
  int period_seconds = 10;
  int timeout_seconds = 1;
  int success_threshold = 1;
  int failure_threshold = 3;

  friend bool operator==(const Probe&, const Probe&) = default;
};

struct VolumeMount {
  std::string volume;
  std::string mount_path;
  std::string sub_path;
  bool read_only = false;

  friend bool operator==(const VolumeMount&, const VolumeMount&) = default;
};

struct Container {
  std::string name;
  std::string image;
  std::vector<std::string> command;
  std::vector<std::string> args;
  std::string working_dir;
  std::vector<EnvVar> env;
  std::vector<ContainerPort> ports;
  std::optional<Probe> readiness;
  std::vector<VolumeMount> mounts;

  friend bool operator==(const Container&, const Container&) = default;
};

struct Volume {
  std::string name;
  struct Item {
    std::string key;
    std::string path;

    friend bool operator==(const Item&, const Item&) = default;
  };
  std::string config_map;  // configMap.name, empty for other kinds of volume
  std::vector<Item> items;
  bool empty_dir = false;

  friend bool operator==(const Volume&, const Volume&) = default;
};

// A port that the kubelet dials for a container: for a probe of any kind, or a handler of its lifecycle.
struct Dialled {
  std::string container;
  std::uint16_t port = 0;
  std::string host;  // empty: the pod's own address

  friend bool operator==(const Dialled&, const Dialled&) = default;
};

struct PodSpec {
  std::string node_name;
  std::string service_account = "default";
  bool host_network = false;
  bool host_users = true;  // false: its processes have a user namespace of their own
  Shared<std::vector<Container>> containers;
  // What only its own node asks for.
  struct OnNode {
    std::string hostname;
    std::string subdomain;
    std::vector<Dialled> dialled;  // of all containers, initContainers as well
    std::vector<Volume> volumes;

    friend bool operator==(const OnNode&, const OnNode&) = default;
  };
  Boxed<OnNode> on_node;

  friend bool operator==(const PodSpec&, const PodSpec&) = default;
};

enum class PodPhase : std::uint8_t { kUnknown, kPending, kRunning, kSucceeded, kFailed };

struct Pod {
  Metadata metadata;
  PodSpec spec;
  PodPhase phase = PodPhase::kUnknown;
  bool ready = false;                // condition Ready is "True"
  std::vector<IpAddress> addresses;  // status.podIPs, else status.podIP

  bool is_terminal() const { return phase == PodPhase::kSucceeded || phase == PodPhase::kFailed; }
  friend bool operator==(const Pod&, const Pod&) = default;
};

struct ServicePort {
  std::string name;
  std::uint16_t port = 0;
  PortRef target;  // targetPort; the port itself when not given
  Transport transport = Transport::kTcp;
  std::string app_protocol;

  friend bool operator==(const ServicePort&, const ServicePort&) = default;
};

enum class IpFamily : std::uint8_t { kIpv4, kIpv6 };

struct Service {
  Metadata metadata;
  enum class Type : std::uint8_t { kClusterIp, kNodePort, kLoadBalancer, kExternalName };
  Type type = Type::kClusterIp;
  bool headless = false;                // clusterIP: None
  bool internal_traffic_local = false;  // internalTrafficPolicy: Local
  bool publish_not_ready = false;
  std::vector<IpAddress> cluster_ips;  // empty: headless, or none given yet
  Shared<Labels> selector;             // empty: no selector, endpoints come from EndpointSlices
  std::vector<ServicePort> ports;
  std::vector<IpFamily> ip_families;
  std::string traffic_distribution;

  friend bool operator==(const Service&, const Service&) = default;
};

struct EndpointSlice {
  Metadata metadata;
  struct Endpoint {
    // Of a Pod's endpoint the Pod says the same.
    struct Own {
      std::vector<IpAddress> addresses;
      bool ready = true;  // absent counts as ready, as the API says
      std::string node_name;
      std::string zone;

      friend bool operator==(const Own&, const Own&) = default;
    };
    Boxed<Own> own;
    enum class Target : std::uint8_t {
      kNone,  // or no Pod
      kPod,
      kForeignPod,  // of another namespace than the slice's: nobody is found by it
    };
    Target target = Target::kNone;  // targetRef
    std::string pod;                // its name

    friend bool operator==(const Endpoint&, const Endpoint&) = default;
  };
  struct Port {
    std::string name;
    std::uint16_t port = 0;
    Transport transport = Transport::kTcp;

    friend bool operator==(const Port&, const Port&) = default;
  };
  std::string service;  // label kubernetes.io/service-name
  std::vector<Endpoint> endpoints;
  std::vector<Port> ports;

  friend bool operator==(const EndpointSlice&, const EndpointSlice&) = default;
};

struct ConfigMap {
  Metadata metadata;
  std::map<std::string, std::string> data;

  friend bool operator==(const ConfigMap&, const ConfigMap&) = default;
};

struct PodTemplate {
  Metadata metadata;  // name and namespace stay empty
  PodSpec spec;

  friend bool operator==(const PodTemplate&, const PodTemplate&) = default;
};

struct Deployment {
  Metadata metadata;
  int replicas = 1;
  Labels selector;
  Boxed<PodTemplate> pods;

  friend bool operator==(const Deployment&, const Deployment&) = default;
};

struct StatefulSet {
  Metadata metadata;
  int replicas = 1;
  std::string service_name;
  Labels selector;
  Boxed<PodTemplate> pods;

  friend bool operator==(const StatefulSet&, const StatefulSet&) = default;
};

struct PeerAuthentication {
  enum class Mode : std::uint8_t { kUnset, kDisable, kPermissive, kStrict };
  Metadata metadata;
  Labels selector;  // empty: the whole namespace, or the whole mesh in the root namespace
  Mode mode = Mode::kUnset;
  std::map<std::uint16_t, Mode> ports;  // portLevelMtls

  friend bool operator==(const PeerAuthentication&, const PeerAuthentication&) = default;
};

struct AuthorizationPolicy {
  enum class Action : std::uint8_t { kAllow, kDeny, kAudit, kCustom };
  struct Source {
    std::vector<std::string> principals, not_principals;
    std::vector<std::string> request_principals, not_request_principals;
    std::vector<std::string> namespaces, not_namespaces;
    std::vector<std::string> service_accounts, not_service_accounts;
    std::vector<std::string> trust_domains, not_trust_domains;
    std::vector<Cidr> ip_blocks, not_ip_blocks;
    std::vector<Cidr> remote_ip_blocks, not_remote_ip_blocks;

    friend bool operator==(const Source&, const Source&) = default;
  };
  struct Operation {
    std::vector<std::uint16_t> ports, not_ports;
    std::vector<std::string> hosts, not_hosts;
    std::vector<std::string> methods, not_methods;
    std::vector<std::string> paths, not_paths;

    friend bool operator==(const Operation&, const Operation&) = default;
  };
  struct Condition {
    std::string key;
    std::vector<std::string> values, not_values;

    friend bool operator==(const Condition&, const Condition&) = default;
  };
  struct Rule {
    std::vector<Source> from;
    std::vector<Operation> to;
    std::vector<Condition> when;

    friend bool operator==(const Rule&, const Rule&) = default;
  };
  struct TargetRef {
    std::string group, kind, name;

    friend bool operator==(const TargetRef&, const TargetRef&) = default;
  };

  Metadata metadata;
  Shared<Labels> selector;
  std::vector<TargetRef> target_refs;  // targetRef and targetRefs
  Action action = Action::kAllow;
  bool dry_run = false;  // annotation istio.io/dry-run
  std::string provider;
  std::vector<Rule> rules;

  friend bool operator==(const AuthorizationPolicy&, const AuthorizationPolicy&) = default;
};

// One of status.addresses, where others write down what they gave to an object.
struct StatusAddress {
  std::string type;   // of a Gateway's: "IPAddress", "Hostname", ...
  std::string host;   // of a ServiceEntry's: the host that it is for
  std::string value;  // as written

  friend auto operator<=>(const StatusAddress&, const StatusAddress&) = default;
};

// An object of a kind that is defined by a proto: all of its spec, checked.
struct Custom {
  static constexpr std::size_t kMostAddresses = 1024;  // of one status; more are not read

  Metadata metadata;
  Kind kind = Kind::kRequestAuthentication;
  std::shared_ptr<const google::protobuf::Message>
      spec;                                   // of the type that kinds.h names; never null once parsed, empty when there was none
  std::vector<StatusAddress> addresses = {};  // status.addresses of a Gateway or ServiceEntry

  friend bool operator==(const Custom& a, const Custom& b);
};

// In the order of Kind, so that the index is the kind, but for those of Custom.
using Object = std::variant<Namespace, Node, ServiceAccount, Pod, Service, EndpointSlice, ConfigMap, Deployment, StatefulSet,
                            PeerAuthentication, AuthorizationPolicy, Custom>;
using ObjectPtr = std::shared_ptr<const Object>;
// Every object of whatever kind takes as much as the largest, and of Pods there may be a hundred thousand.
static_assert(sizeof(Object) <= 264);

Kind kind_of(const Object& object);
const Metadata& metadata_of(const Object& object);
Key key_of(const Object& object);

}  // namespace culvert::config
