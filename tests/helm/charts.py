"""What the tests of charts share: the real helm, and the profiles."""
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
PROFILES = ("default", "ambient", "demo", "minimal", "production", "remote", "external", "openshift")
PARTS = ("base", "controlplane", "cni", "ztunnel")
# What a profile cannot know.
NEEDED = {"remote": ("--set", "global.remotePilotAddress=192.0.2.7"), "external": ("--set", "global.remotePilotAddress=culvertd.example.com")}

# Everything that is off by default, at once.
FULL = """
global:
  hub: registry.example.com/mesh
  tag: v1
  imagePullPolicy: Always
  imagePullSecrets: [pull]
  platform: k3s
  network: net-1
  multiCluster: {clusterName: east}
  proxy: {clusterDomain: example.internal}
  logAsJson: true
  networkPolicy: {enabled: true}
  resourceQuotas: {enabled: true}
  labels: {team: mesh}
  annotations: {contact: mesh@example.com}
  arch: ""
  priorityClassName: mesh
controlplane:
  revision: canary
  revisionTags: [prod]
  autoscaleMin: 3
  memory: {targetAverageUtilization: 70}
  streams: {targetAverageValue: 500}
  autoscaleBehavior: {scaleDown: {stabilizationWindowSeconds: 600}}
  meshConfig: {trustDomain: example.com, rootNamespace: mesh-root}
  trustedZtunnelNamespace: mesh-nodes
  signer: {name: example.com/mesh, rootsConfigMap: signer-roots}
  env: {MAX_WORKLOAD_CERT_TTL: 48h}
  envVarFrom: [{name: SECRET, valueFrom: {secretKeyRef: {name: s, key: k}}}]
  labels: {tier: control}
  podLabels: {pod: label}
  podAnnotations: {pod: annotation}
  serviceAnnotations: {service: annotation}
  serviceAccountAnnotations: {account: annotation}
  nodeSelector: {pool: control}
  tolerations: [{key: control, operator: Exists}]
  affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, podAffinityTerm: {topologyKey: zone, labelSelector: {matchLabels: {app: culvertd}}}}]}}
  topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]
  serviceMonitor: {enabled: true, interval: 15s, labels: {release: prometheus}}
cni:
  privileged: true
  cniConfFileName: 05-mine.conflist
  ambient: {dnsCapture: false, shareHostNetworkNamespace: true}
  cgroupRoot: /sys/fs/cgroup/unified
  startupTaint: {enabled: true}
  affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: type, operator: NotIn, values: [virtual-kubelet]}]}]}}}
  uninstall: {nodeSelector: {pool: control}, tolerations: [{key: control, operator: Exists}]}
  podMonitor: {enabled: true}
ztunnel:
  revision: prod
  seccompProfile: {type: Localhost, localhostProfile: culvert/ztunnel.json}
  resourceName: ztunnel-canary
  env: {POOL_MAX_STREAMS_PER_CONNECTION: 50}
  meshConfig: {defaultConfig: {proxyMetadata: {SECRET_TTL: 12h}}}
  volumes: [{name: more, emptyDir: {}}]
  volumeMounts: [{name: more, mountPath: /more}]
  podMonitor: {enabled: true, interval: 30s}
"""

# The version of the charts, and the tag of the images, that a cluster is upgraded from. before.tar.xz is the folder helm/ of that version: by a release,
# `git archive TAG helm | xz -9`.
BEFORE = "0.0.9"


def previous(charts):
    """The charts of the version before."""
    return charts.parent / "previous"


def images_of(charts):
    """What says which images: those that a test has brought onto the nodes."""
    tag = BEFORE if charts.name == "previous" else "test"
    return ("--set", f"global.hub=culvert.test,global.tag={tag},global.imagePullPolicy=Never")


def home():
    """Where tests/kubernetes/build has put helm. Who cannot have it skips."""
    folder = subprocess.check_output([HERE.parent / "kubernetes/build", "--where"], text=True).strip()
    if not (pathlib.Path(folder) / "bin/helm").exists():
        print("skipped: helm is not built (tests/kubernetes/build)")
        sys.exit(77)
    return pathlib.Path(folder)


def helm(*words, **more):
    """Its exit code, output, and what it complained about. Knows no cluster unless `more` says one."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/tmp/helm-test", "KUBECONFIG": "/dev/null"} | more
    run = subprocess.run([home() / "bin/helm", *map(str, words)], capture_output=True, text=True, env=environment, timeout=100)
    return run.returncode, run.stdout, run.stderr


def profile(charts, name):
    return ("-f", charts / f"culvert/profiles/{name}.yaml", *NEEDED.get(name, ()))
