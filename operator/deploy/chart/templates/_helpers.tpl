{{- define "operator.labels" -}}
app.kubernetes.io/name: tenantry-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: tenantry
{{- end }}

{{- define "operator.selector" -}}
app.kubernetes.io/name: tenantry-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "operator.cell" -}}
{{- $cell := required "the cell file is missing: --set-file cell=cell.yaml" .Values.cell | fromYaml -}}
{{- if $cell.Error }}{{ fail (printf "the cell file is no YAML: %s" $cell.Error) }}{{ end -}}
{{- if not (dig "spec" "operator" false $cell) }}{{ fail "the cell file must say spec.operator: true" }}{{ end -}}
{{- if ne .Release.Namespace "tenantry-system" }}{{ fail "install it into the namespace tenantry-system" }}{{ end -}}
{{- toYaml $cell -}}
{{- end }}

{{- define "operator.image" -}}
{{- .Values.image.repository -}}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end -}}
{{- end }}
