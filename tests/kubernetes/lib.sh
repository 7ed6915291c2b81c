# shellcheck shell=bash disable=SC2034,SC2154
# Shared by the scripts here: where things are, and a few words.
#
#   KUBE_HOME      what build made: bin/ and images/. Named after what it was made from, so another version is another folder.
#   KUBE_WORLD     the running cluster: its process id, keys, logs and kubeconfig. Gone after down.
#   KUBE_PATIENCE  1; more on a slow (emulated) machine: all waiting takes that many times longer.
#   KUBE_FAMILY    dual, or ipv6: nodes, pods and Services have no IPv4 address then, but for 127.0.0.1.
#   KUBE_NODES     how many nodes, up to 9. Node i is "node<i>", 172.30.0.1<i>, its pods are in 10.244.<i>.0/24.

kube_cache=/cache/kubernetes
stamp() { (cd "$here" && sha256sum programs/go.mod programs/go.sum programs/*/main.go build image | sha256sum | cut -c1-16); }
export KUBE_HOME=${KUBE_HOME:-$kube_cache/$(stamp)}
export KUBE_WORLD=${KUBE_WORLD:-/var/tmp/culvert-kubernetes}
export KUBE_NODES=${KUBE_NODES:-$(cat "$KUBE_WORLD/nodes" 2>/dev/null || echo 2)}
export KUBE_PATIENCE=${KUBE_PATIENCE:-1}
export KUBE_FAMILY=${KUBE_FAMILY:-dual}

# Addresses, IPv4 and IPv6.
has_ipv4() { [[ $KUBE_FAMILY != ipv6 ]]; }
api_ip=${KUBE_API_IP:-172.30.0.1} api_ip6=fd00:172:30::1 api_port=${KUBE_API_PORT:-6443} api_host=$api_ip
service_cidr=10.96.0.0/16,fd00:10:96::/112
service_api_ip=10.96.0.1
service_dns_ip=10.96.0.10
pod_cidr=10.244.0.0/16,fd00:10:244::/48
domain=cluster.local
if ! has_ipv4; then
  api_ip=$api_ip6 api_host=[$api_ip6]
  service_cidr=${service_cidr#*,} pod_cidr=${pod_cidr#*,}
  service_api_ip=fd00:10:96::1 service_dns_ip=fd00:10:96::a
fi

node_ip() { echo "172.30.0.1$1"; }
node_ip6() { echo "fd00:172:30::1$1"; }
node_pods() { echo "10.244.$1.0/24"; }
node_pods6() { echo "fd00:10:244:$1::/64"; }
node_ips() { if has_ipv4; then echo "$(node_ip "$1"),$(node_ip6 "$1")"; else node_ip6 "$1"; fi; }

started=${EPOCHREALTIME/./}
say() {
  local ms=$(((${EPOCHREALTIME/./} - started) / 1000))
  printf '%4d.%d s  %s\n' $((ms / 1000)) $((ms % 1000 / 100)) "$*" >&2
}
die() {
  echo "${0##*/}: $*" >&2
  exit 1
}
# What cannot be tried on this machine: the test runner lists it.
skip() {
  echo "skipped: $*"
  exit 77
}

# until_true SECONDS WHAT command...: ask again every 100 ms.
until_true() {
  local tries=$(($1 * 10 * KUBE_PATIENCE)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    ((tries-- > 0)) || {
      echo "waited in vain for $what" >&2
      return 1
    }
    sleep 0.1
  done
}

# run NAME command...: keep a program running, its output in the log folder.
run() {
  local name=$1
  shift
  while :; do
    "$@" && echo "$name ended" || echo "$name ended with $?"
    sleep 1
  done >>"$KUBE_LOG/$name.log" 2>&1 </dev/null &
}

# Addresses are ours to give: no duplicate detection, so an IPv6 address is usable at once.
forward() {
  echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
  echo 1 >/proc/sys/net/ipv4/ip_forward
  echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
}

# The cgroup hierarchies that this process is in, one "options path" a line: one for cgroup v2, more for v1. Each can
# be mounted again with these options, whatever is mounted where on this machine.
cgroup_hierarchies() {
  local controllers path
  while IFS=: read -r _ controllers path; do
    echo "${controllers:-unified} $path"
  done </proc/self/cgroup
}

cgroup_mount() { # OPTIONS FOLDER
  case $1 in
    unified) mount -t cgroup2 cgroup2 "$2" ;;
    name=*) mount -t cgroup -o "none,$1" cgroup "$2" ;;
    *) mount -t cgroup -o "$1" cgroup "$2" ;;
  esac
}

# The machine keeps its controllers in cgroup v2 alone, as every distribution does now.
cgroup_pure() { [[ $(wc -l </proc/self/cgroup) == 1 ]]; }

# With v2, a cgroup hands controllers to its children or holds processes, not both.
cgroup_share() { sed 's/[a-z_]*/+&/g' "$1/cgroup.controllers" >"$1/cgroup.subtree_control"; }
