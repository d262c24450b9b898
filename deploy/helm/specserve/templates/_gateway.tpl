{{- /* Seconds for running requests after SIGTERM: longer than the longest of them. */ -}}
{{- define "specserve.gateway.drain" -}}
{{- add .Values.gateway.streamSeconds 20 -}}
{{- end -}}

{{- define "specserve.gateway.config" -}}
{{- $gateway := .Values.gateway }}
{{- $config := dict "host" "0.0.0.0" "port" 8000 "metrics_host" "0.0.0.0" "metrics_port" 9090 }}
{{- $_ := set $config "total_timeout" $gateway.streamSeconds }}
{{- $_ := set $config "drain_timeout" (include "specserve.gateway.drain" . | int) }}
{{- if $gateway.keysSecret }}
{{- $_ := set $config "keys_file" "/etc/specserve-keys/keys.toml" }}
{{- else if $gateway.allowAnonymous }}
{{- $_ := set $config "allow_anonymous" true }}
{{- else if not $gateway.config.keys_secret }}
{{- fail "gateway.keysSecret is missing: a Secret with keys.toml; or set gateway.config.keys_secret, or gateway.allowAnonymous" }}
{{- end }}
{{- $replicas := list }}
{{- range $engine := .Values.engines }}
{{- range $i := until (int $engine.replicas) }}
{{- $host := printf "%s-%s-%d.%s-%s.%s.svc" $.Release.Name $engine.name $i $.Release.Name $engine.name $.Release.Namespace }}
{{- $replica := dict "name" (printf "%s-%d" $engine.name $i) "pool" $engine.pool "stack" $engine.stack "url" (printf "http://%s:8080" $host) }}
{{- if eq $engine.stack "nxdi" }}
{{- $_ := set $replica "plugin" $engine.plugin }}
{{- end }}
{{- if ne $engine.stack "cpu" }}
{{- $_ := set $replica "sampling" $engine.sampling }}
{{- end }}
{{- $replicas = append $replicas $replica }}
{{- end }}
{{- end }}
{{- $_ := set $config "replicas" $replicas }}
{{- merge $config $gateway.config | toToml | trim | replace "\n\n" "\n" -}}
{{- end -}}
