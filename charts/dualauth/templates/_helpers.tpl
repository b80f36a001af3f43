{{- define "dualauth.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The release's name, with the chart's unless that is in it. 10 characters are left for what is behind it: "-migrate", "-metrics". */}}
{{- define "dualauth.fullname" -}}
{{- $name := include "dualauth.name" . -}}
{{- $full := .Values.fullnameOverride | default (contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name)) -}}
{{- $full | trunc 53 | trimSuffix "-" -}}
{{- end -}}

{{/* What never changes, for selectors. Call with (list $ "server"). */}}
{{- define "dualauth.selectorLabels" -}}
app.kubernetes.io/name: {{ include "dualauth.name" (index . 0) }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "dualauth.labels" -}}
{{ include "dualauth.selectorLabels" . }}
{{- with index . 0 }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end -}}

{{- define "dualauth.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "dualauth.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (.Values.serviceAccount.create | ternary (include "dualauth.fullname" .) "default") -}}
{{- end -}}

{{- define "dualauth.secretFolder" -}}/run/secrets/dualauth{{- end -}}

{{/* The secret settings of the migrations' Job. */}}
{{- define "dualauth.migrationSecretFiles" -}}
{{- .Values.migrations.secretFiles | default (pick .Values.secretFiles "DATABASE_URL" "DATABASE_DIRECT_URL") | toYaml -}}
{{- end -}}

{{/* Numbers are integers here: a float, which Helm makes of each, would be written 1e+06. */}}
{{- define "dualauth.settingValue" -}}
{{- if kindIs "float64" . }}{{ int64 . | toString | quote }}{{ else }}{{ toString . | quote }}{{ end -}}
{{- end -}}

{{/* Settings, and the names of the files that hold secret ones. Call with (list $ secretFiles). */}}
{{- define "dualauth.env" -}}
{{- $files := index . 1 -}}
{{- with index . 0 -}}
- name: PUBLIC_URL
  value: {{ required "publicUrl is required: where clients reach the service, such as https://auth.example.com" .Values.publicUrl | quote }}
{{- range $name, $value := .Values.settings }}
- name: {{ $name }}
  value: {{ include "dualauth.settingValue" $value }}
{{- end }}
{{- range $name, $_ := $files }}
- name: {{ hasSuffix "_FILE" $name | ternary $name (printf "%s_FILE" $name) }}
  value: {{ include "dualauth.secretFolder" $ }}/{{ $name }}
{{- end }}
{{- if or .Values.databaseCa.secret .Values.databaseCa.configMap }}
- name: PGSSLROOTCERT
  value: {{ include "dualauth.secretFolder" $ }}/database-ca.crt
- name: PGSSLMODE
  value: verify-full
{{- end }}
{{- end -}}
{{- end -}}

{{/* The source of the volume with those files. Call with (list $ secretFiles). */}}
{{- define "dualauth.secretVolume" -}}
{{- $files := index . 1 -}}
{{- with index . 0 -}}
{{- $usual := .Values.existingSecret | default (include "dualauth.fullname" .) -}}
projected:
  # For the group, which is fsGroup.
  defaultMode: 0440
  sources:
    {{- range $name, $from := $files }}
    - secret:
        name: {{ $from.secret | default $usual }}
        items:
          - key: {{ $from.key | default $name }}
            path: {{ $name }}
    {{- end }}
    {{- with .Values.databaseCa }}
    {{- if or .secret .configMap }}
    - {{ empty .secret | ternary "configMap" "secret" }}:
        name: {{ .secret | default .configMap }}
        items:
          - key: {{ .key }}
            path: database-ca.crt
    {{- end }}
    {{- end }}
{{- end -}}
{{- end -}}

{{/* What every pod here has. Call with $. */}}
{{- define "dualauth.podBasics" -}}
automountServiceAccountToken: false
# Else each Service of the namespace adds variables, some of which look like settings.
enableServiceLinks: false
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "dualauth.containerBasics" -}}
image: {{ include "dualauth.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
{{- end -}}

{{/* Host and path of publicUrl, as YAML. */}}
{{- define "dualauth.publicUrl" -}}
{{- $url := urlParse .Values.publicUrl -}}
host: {{ regexReplaceAll ":[0-9]+$" $url.host "" | lower | quote }}
path: {{ trimSuffix "/" $url.path | quote }}
{{- end -}}

{{/* What fits together badly, and would be noticed late. */}}
{{- define "dualauth.check" -}}
{{- with .Values -}}
{{- $otel := or .settings.OTEL_EXPORTER_OTLP_ENDPOINT .settings.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT -}}
{{- if and .metrics.serviceMonitor.enabled (not .metrics.enabled) -}}
{{- fail "metrics.serviceMonitor.enabled needs metrics.enabled" -}}
{{- else if and .metrics.enabled .networkPolicy.enabled (not .networkPolicy.metricsFrom) -}}
{{- fail "metrics.enabled needs networkPolicy.metricsFrom: who may read /metrics, such as the namespace of Prometheus" -}}
{{- else if and $otel .networkPolicy.enabled (not .networkPolicy.extraEgress) -}}
{{- fail "the collector of OpenTelemetry needs a rule in networkPolicy.extraEgress" -}}
{{- else if and .databaseCa.secret .databaseCa.configMap -}}
{{- fail "databaseCa.secret and databaseCa.configMap are both set: leave one of them out" -}}
{{- else if and .httpRoute.enabled (not .httpRoute.parentRefs) -}}
{{- fail "httpRoute.enabled needs httpRoute.parentRefs: the Gateway" -}}
{{- else if and .autoscaling.enabled (lt (int .autoscaling.maxReplicas) (int .autoscaling.minReplicas)) -}}
{{- fail "autoscaling.maxReplicas is less than autoscaling.minReplicas" -}}
{{- end -}}
{{- end -}}
{{- end -}}
