# shellcheck shell=bash disable=SC2034,SC2154
# The commands of a control plane, for apiserver and world: `etcd`, `apiserver` and `controllers`. Sourced after lib.sh, with
# $state (the database's folder) and $pki (the keys' folder) set. The database listens on sockets in its folder and nowhere else.

controllers_off=(node-lifecycle-controller pod-garbage-collector-controller taint-eviction-controller device-taint-eviction-controller)
bundles=ClusterTrustBundle=true,ClusterTrustBundleProjection=true

etcd=("$KUBE_HOME/bin/etcd" --data-dir="$state/etcd" --unsafe-no-fsync --log-level=warn --heartbeat-interval=50 --election-timeout=250
  --listen-client-urls="unix://$state/etcd.sock" --listen-peer-urls="unix://$state/peer.sock"
  --advertise-client-urls=http://localhost:2379) # told to other members, of which there are none

apiserver=("$KUBE_HOME/bin/kube-apiserver" --etcd-servers="unix://$state/etcd.sock" --advertise-address="$api_ip" --secure-port="$api_port"
  --service-cluster-ip-range="$service_cidr" --allow-privileged --authorization-mode="Node,RBAC"
  --enable-admission-plugins=NodeRestriction --enable-aggregator-routing --kubelet-preferred-address-types=InternalIP
  --feature-gates="$bundles" --runtime-config="certificates.k8s.io/v1beta1/clustertrustbundles=true"
  --client-ca-file="$pki/ca.crt" --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key"
  --kubelet-certificate-authority="$pki/ca.crt"
  --kubelet-client-certificate="$pki/apiserver-kubelet-client.crt" --kubelet-client-key="$pki/apiserver-kubelet-client.key"
  --requestheader-client-ca-file="$pki/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client
  --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group
  --requestheader-extra-headers-prefix=X-Remote-Extra-
  --proxy-client-cert-file="$pki/front-proxy-client.crt" --proxy-client-key-file="$pki/front-proxy-client.key"
  --service-account-issuer="https://kubernetes.default.svc.$domain"
  --service-account-key-file="$pki/sa.pub" --service-account-signing-key-file="$pki/sa.key")

# Its own limit of 20 requests a second would cost it four seconds to start.
controllers=("$KUBE_HOME/bin/kube-controller-manager" --kubeconfig="$pki/controller-manager.conf" --leader-elect=false
  --kube-api-qps=500 --kube-api-burst=500 --feature-gates="$bundles"
  --use-service-account-credentials --service-account-private-key-file="$pki/sa.key" --root-ca-file="$pki/ca.crt"
  --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key" --cluster-cidr="$pod_cidr")
