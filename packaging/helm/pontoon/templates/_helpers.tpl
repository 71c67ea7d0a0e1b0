{{- define "pontoon.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "pontoon.labels" -}}
app.kubernetes.io/name: pontoon
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Settings as a file: keys without a section first, then sections. */}}
{{- define "pontoon.toml" -}}
{{- range $key, $value := . }}{{ if not (kindIs "map" $value) }}
{{ $key }} = {{ toJson $value }}
{{- end }}{{ end }}
{{- range $section, $keys := . }}{{ if kindIs "map" $keys }}
[{{ $section }}]
{{- range $key, $value := $keys }}
{{ $key }} = {{ toJson $value }}
{{- end }}
{{- end }}{{ end }}
{{- end }}

{{- define "pontoon.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
