{{- define "specserve.labels" -}}
app.kubernetes.io/name: specserve
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- /* Of one part: a dict of root and part. */ -}}
{{- define "specserve.selector" -}}
app.kubernetes.io/name: specserve
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end -}}

{{- define "specserve.image" -}}
{{- index .root.Values.images .of | required (printf "images.%s is missing: the Dockerfile's target for it, by digest" .of) -}}
{{- end -}}

{{- define "specserve.restricted" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "specserve.pullSecrets" -}}
{{- with .Values.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}
