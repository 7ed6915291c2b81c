{{/* What the charts share; helm/assemble puts it into each of them. */}}

{{/* The image of a program: culvert.image (dict "root" $ "name" "culvertd"). A name with a slash in it is whole already. */}}
{{- define "culvert.image" -}}
{{- if contains "/" .name -}}
{{ .name }}
{{- else -}}
{{ .root.Values.hub | default .root.Values.global.hub }}/{{ .name }}:{{ .root.Values.tag | default .root.Values.global.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* The namespace of the control plane, which is also the root namespace of policy unless that is said. */}}
{{- define "culvert.systemNamespace" -}}
{{ .Values.global.istioNamespace | default .Release.Namespace }}
{{- end -}}

{{- define "culvert.revision" -}}
{{ .Values.revision | default "default" }}
{{- end -}}

{{/* "culvertd", or "culvertd-canary" of the revision canary. */}}
{{- define "culvert.controlplane" -}}
culvertd{{ with .Values.revision }}-{{ . }}{{ end }}
{{- end -}}

{{/* Labels of every object: culvert.labels (dict "root" $ "app" "culvertd"). */}}
{{- define "culvert.labels" -}}
app: {{ .app }}
app.kubernetes.io/name: {{ .app }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/part-of: culvert
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version | replace "+" "_" }}
istio.io/rev: {{ include "culvert.revision" .root }}
{{- with .root.Values.global.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Annotations of an object: nothing when there are none. culvert.annotations (dict "root" $ "more" .Values.serviceAnnotations). */}}
{{- define "culvert.annotations" -}}
{{- with merge (dict) (.more | default dict) .root.Values.global.annotations }}
{{- dict "annotations" . | toYaml | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What makes Prometheus's usual configuration scrape a pod: culvert.scrape (dict "root" $ "port" 15020). */}}
{{- define "culvert.scrape" -}}
{{- if .root.Values.scrapeAnnotations -}}
prometheus.io/scrape: "true"
prometheus.io/port: {{ .port | quote }}
prometheus.io/path: /metrics
{{- end }}
{{- end -}}

{{/* The nodes that a pod of ours can run on: culvert.nodes (dict "root" $ "more" .Values.nodeSelector). */}}
{{- define "culvert.nodes" -}}
{{- $nodes := dict "kubernetes.io/os" "linux" }}
{{- with .root.Values.global.arch }}{{ $_ := set $nodes "kubernetes.io/arch" . }}{{ end -}}
nodeSelector:
  {{- toYaml (merge (dict) .more $nodes) | nindent 2 }}
{{- end -}}

{{/* Who a container is that needs no rights. OpenShift has a range of numbers for each namespace, and gives one of them itself. */}}
{{- define "culvert.nobody" -}}
runAsNonRoot: true
{{- if ne .Values.global.platform "openshift" }}
runAsUser: 65532
runAsGroup: 65532
{{- end }}
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Where a pod may run, how important it is, and who may pull its image. */}}
{{- define "culvert.placement" -}}
{{- with .Values.priorityClassName | default .Values.global.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{ include "culvert.nodes" (dict "root" . "more" .Values.nodeSelector) }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.imagePullSecrets | default .Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "culvert.pullPolicy" -}}
{{ .Values.global.imagePullPolicy | default "IfNotPresent" }}
{{- end -}}

{{/* Environment that the user adds: env {NAME: value} and envVarFrom, as Kubernetes writes it. */}}
{{- define "culvert.env" -}}
{{- $all := list }}
{{- range $name, $value := .Values.env }}
{{- $all = append $all (dict "name" $name "value" (toString $value)) }}
{{- end }}
{{- with concat $all .Values.envVarFrom }}
{{- toYaml . | nindent 12 }}
{{- end }}
{{- end -}}

{{- define "culvert.ownPlace" -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: NODE_NAME
  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
- name: SERVICE_ACCOUNT
  valueFrom: {fieldRef: {fieldPath: spec.serviceAccountName}}
{{- end -}}

{{- define "culvert.logFormat" -}}
{{ ternary "json" "plain" (.Values.logAsJson | default .Values.global.logAsJson) }}
{{- end -}}

{{/* One that is asked for by name: culvert.podMonitor (dict "root" $ "app" "ztunnel" "port" "ztunnel-stats"). Pods need no Service to be scraped. */}}
{{- define "culvert.podMonitor" -}}
{{- if .root.Values.podMonitor.enabled }}
---
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "culvert.labels" . | nindent 4 }}
    {{- with .root.Values.podMonitor.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  selector:
    matchLabels:
      {{- toYaml .selector | nindent 6 }}
  podMetricsEndpoints:
    - port: {{ .port }}
      path: /metrics
      {{- with .root.Values.podMonitor.interval }}
      interval: {{ . }}
      {{- end }}
      relabelings:
        - sourceLabels: [__meta_kubernetes_pod_node_name]
          targetLabel: node
{{- end }}
{{- end -}}

{{/* Node-critical pods outside of kube-system need a quota where the cluster restricts that class (GKE does). */}}
{{- define "culvert.quota" -}}
{{- if .Values.global.resourceQuotas.enabled }}
---
apiVersion: v1
kind: ResourceQuota
metadata:
  name: {{ .Values.resourceQuotaName }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "culvert.labels" (dict "root" . "app" .Values.resourceQuotaName) | nindent 4 }}
spec:
  hard:
    pods: {{ .Values.global.resourceQuotas.pods | quote }}
  scopeSelector:
    matchExpressions:
      - operator: In
        scopeName: PriorityClass
        values: [system-node-critical]
{{- end }}
{{- end -}}

{{/* OpenShift runs what wants capabilities only for accounts that may use this constraint. */}}
{{- define "culvert.openshift" -}}
{{- if eq .root.Values.global.platform "openshift" }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ .account }}-privileged
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "culvert.labels" . | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: system:openshift:scc:privileged
subjects:
  - kind: ServiceAccount
    name: {{ .account }}
    namespace: {{ .root.Release.Namespace }}
{{- end }}
{{- end -}}

{{/* A Job that runs `culvertd --uninstall=WHAT` and waits until that is done: culvert.job (dict "root" $ "name" NAME "image" IMAGE "what" WHAT "values" .Values.cleanup
"nodes" {} "tolerations" []). It may run on any node that works: a toleration of all taints would let it wait on one that does not. */}}
{{- define "culvert.job" -}}
backoffLimit: 4
activeDeadlineSeconds: {{ .values.deadlineSeconds }}
template:
  metadata:
    labels:
      {{- include "culvert.labels" (dict "root" .root "app" .name) | nindent 6 }}
      istio.io/dataplane-mode: none
      sidecar.istio.io/inject: "false"
    {{- with .root.Values.global.annotations }}
    annotations:
      {{- toYaml . | nindent 6 }}
    {{- end }}
  spec:
    serviceAccountName: {{ .name }}
    restartPolicy: Never
    terminationGracePeriodSeconds: 1
    {{- with .root.Values.global.priorityClassName }}
    priorityClassName: {{ . }}
    {{- end }}
    {{- include "culvert.nodes" (dict "root" .root "more" .nodes) | nindent 4 }}
    tolerations:
      - {key: node-role.kubernetes.io/control-plane, operator: Exists}
      - {key: CriticalAddonsOnly, operator: Exists}
      - {key: node.kubernetes.io/unschedulable, operator: Exists}
      {{- with .tolerations }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- with .root.Values.imagePullSecrets | default .root.Values.global.imagePullSecrets }}
    imagePullSecrets:
      {{- range . }}
      - name: {{ . }}
      {{- end }}
    {{- end }}
    securityContext:
      runAsNonRoot: true
      seccompProfile: {type: RuntimeDefault}
    containers:
      - name: uninstall
        image: {{ include "culvert.image" (dict "root" .root "name" .image) }}
        imagePullPolicy: {{ include "culvert.pullPolicy" .root }}
        args: ["--uninstall={{ .what }}"]
        env:
          {{- include "culvert.ownPlace" . | nindent 10 }}
        resources:
          {{- toYaml .values.resources | nindent 10 }}
        securityContext:
          {{- include "culvert.nobody" .root | nindent 10 }}
{{- end -}}

{{/* What Helm says of a Job that runs around `helm uninstall`. Helm 4 prints what it said, too. */}}
{{- define "culvert.hook" -}}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
helm.sh/hook-output-log-policy: hook-succeeded,hook-failed
{{- end -}}
