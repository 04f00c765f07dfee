{{- define "llmsim.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "llmsim.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "llmsim.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "llmsim.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "llmsim.selectorLabels" -}}
app.kubernetes.io/name: {{ include "llmsim.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "llmsim.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "llmsim.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "llmsim.valkey" -}}
{{- printf "%s-valkey" (include "llmsim.fullname" . | trunc 56 | trimSuffix "-") -}}
{{- end -}}

{{- define "llmsim.valkeySelectorLabels" -}}
app.kubernetes.io/name: {{ include "llmsim.name" . | trunc 56 | trimSuffix "-" }}-valkey
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "llmsim.stateUrl" -}}
{{- if and .Values.valkey.enabled .Values.state.url -}}
{{- fail "state.url and valkey.enabled: name a server, or have one of the release's own, not both" -}}
{{- else if .Values.valkey.enabled -}}
redis://{{ include "llmsim.valkey" . }}:6379/0
{{- else -}}
{{- .Values.state.url -}}
{{- end -}}
{{- end -}}
