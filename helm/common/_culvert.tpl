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

{{/* Where a pod may run, how important it is, and who may pull its image. */}}
{{- define "culvert.placement" -}}
{{- with .Values.priorityClassName | default .Values.global.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
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

{{/* One that is asked for by name: culvert.podMonitor (dict "root" $ "app" "ztunnel" "port" 15020). Pods need no Service to be scraped. */}}
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
    - portNumber: {{ .port }}
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

{{/* A Job that runs `culvertd --uninstall=WHAT` and waits until that is done. It may run anywhere. */}}
{{- define "culvert.job" -}}
backoffLimit: 4
activeDeadlineSeconds: {{ .deadline }}
template:
  metadata:
    labels:
      app: {{ .name }}
      istio.io/dataplane-mode: none
      sidecar.istio.io/inject: "false"
  spec:
    serviceAccountName: {{ .name }}
    restartPolicy: Never
    terminationGracePeriodSeconds: 1
    tolerations:
      - {operator: Exists}
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
          requests: {cpu: 10m, memory: 32Mi}
          limits: {memory: 256Mi}
        securityContext:
          runAsUser: 65532
          runAsGroup: 65532
          readOnlyRootFilesystem: true
          allowPrivilegeEscalation: false
          capabilities: {drop: [ALL]}
{{- end -}}
