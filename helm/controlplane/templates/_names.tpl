{{/* The names of the Services that lead to this revision, one a line: its own, and those of its tags. */}}
{{- define "controlplane.services" -}}
{{- $suffixes := list (ternary "" (printf "-%s" .Values.revision) (empty .Values.revision)) }}
{{- range .Values.revisionTags }}
{{- $suffixes = append $suffixes (ternary "" (printf "-%s" .) (eq . "default")) }}
{{- end }}
{{- range uniq $suffixes }}
culvertd{{ . }}
istiod{{ . }}
{{- end }}
{{- end -}}

{{/* Of a Service, by its name: those that do not have a revision's name go over from one to another, so who goes last takes them away (cleanup.yaml). */}}
{{- define "controlplane.keep" -}}
{{- if has . (list "culvertd" "istiod") }}helm.sh/resource-policy: keep{{ end }}
{{- end -}}

{{/* "true" for the revision that the Service culvertd leads to. */}}
{{- define "controlplane.isDefault" -}}
{{- if or (empty .Values.revision) (has "default" .Values.revisionTags) }}true{{ end }}
{{- end -}}

{{/* How many there are at least. */}}
{{- define "controlplane.replicas" -}}
{{ ternary .Values.autoscaleMin .Values.replicaCount .Values.autoscaleEnabled }}
{{- end -}}

{{/* host names in culvertd's certificate: all its Services, as DNS and as short as clients write them. */}}
{{- define "controlplane.dnsNames" -}}
{{- $names := list }}
{{- range splitList "\n" (include "controlplane.services" . | trim) }}
{{- $names = append $names (printf "%s.%s.svc" . $.Release.Namespace) }}
{{- end }}
{{- with .Values.global.remotePilotAddress }}{{ $names = append $names . }}{{ end }}
{{- join "," (concat $names (list "localhost" "127.0.0.1" "::1")) }}
{{- end -}}

{{- define "controlplane.selector" -}}
app: culvertd
istio.io/rev: {{ include "culvert.revision" . }}
{{- end -}}

{{/* Of each object of the Job that runs around `helm uninstall`; a weight follows. */}}
{{- define "controlplane.cleanup.metadata" -}}
labels:
  {{- include "culvert.labels" (dict "root" . "app" "culvertd-cleanup") | nindent 2 }}
annotations:
  helm.sh/hook: post-delete
  {{- include "culvert.hook" . | nindent 2 }}
{{- end }}
