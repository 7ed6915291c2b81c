{{/* What a platform keeps elsewhere than the rest of the world, as a dictionary. Values that are set win. */}}
{{- define "cni.platform" -}}
{{- $platforms := dict
  "k3s" (dict "cniBinDir" "/var/lib/rancher/k3s/data/cni" "cniConfDir" "/var/lib/rancher/k3s/agent/etc/cni/net.d")
  "k3d" (dict "cniBinDir" "/bin" "cniConfDir" "/var/lib/rancher/k3s/agent/etc/cni/net.d")
  "microk8s" (dict "cniBinDir" "/var/snap/microk8s/current/opt/cni/bin" "cniConfDir" "/var/snap/microk8s/current/args/cni-network")
  "gke" (dict "cniBinDir" "/home/kubernetes/bin")
  "openshift" (dict "cniBinDir" "/var/lib/cni/bin" "cniConfDir" "/etc/cni/multus/net.d" "chained" false "cniConfFileName" "culvert-cni.conf") }}
{{- $all := dict "cniBinDir" "/opt/cni/bin" "cniConfDir" "/etc/cni/net.d" "chained" true "cniConfFileName" "" }}
{{- $all = merge (dict) (get $platforms .Values.global.platform | default dict) $all }}
{{- range $name, $_ := $all }}
{{- $value := get $.Values $name }}
{{- if and (not (kindIs "invalid" $value)) (ne (toString $value) "") }}{{ $_ := set $all $name $value }}{{ end }}
{{- end }}
{{- toYaml $all }}
{{- end -}}

{{/* Of each object of the Job that runs around `helm uninstall`: cni.uninstall.metadata (dict "root" $ "cluster" true), where that is what it belongs to.
A weight follows. */}}
{{- define "cni.uninstall.metadata" -}}
{{- if .cluster -}}
name: culvert-node-uninstall-{{ .root.Release.Namespace }}
{{- else -}}
name: culvert-node-uninstall
namespace: {{ .root.Release.Namespace }}
{{- end }}
labels:
  {{- include "culvert.labels" (dict "root" .root "app" "culvert-node-uninstall") | nindent 2 }}
annotations:
  helm.sh/hook: pre-delete
  {{- include "culvert.hook" . | nindent 2 }}
{{- end }}
