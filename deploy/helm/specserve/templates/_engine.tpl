{{- /* Parts of a pod that has an engine: a dict of root and engine. */ -}}

{{- define "specserve.engine.place" -}}
serviceAccountName: {{ .account }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- include "specserve.pullSecrets" .root }}
{{- with .engine.device }}
nodeSelector:
  node.kubernetes.io/instance-type: {{ .instance }}
tolerations:
  - {key: aws.amazon.com/neuron, operator: Exists, effect: NoSchedule}
{{- if eq $.root.Values.devices.api "dra" }}
resourceClaims:
  - name: chips
    resourceClaimTemplateName: {{ $.claim }}
{{- else if not (or .wholeNode (eq (int .chips) 1)) }}
schedulerName: {{ $.root.Values.devices.scheduler }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "specserve.engine.resources" -}}
requests:
  cpu: {{ .engine.resources.cpu | quote }}
  memory: {{ .engine.resources.memory }}
limits:
  memory: {{ .engine.resources.memory }}
{{- with .engine.device }}
{{- if eq $.root.Values.devices.api "dra" }}
claims:
  - name: chips
{{- else }}
  aws.amazon.com/neuron: {{ .chips }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* /nvme is of one image: what another SDK compiled for the same pair has the same folder. */ -}}
{{- define "specserve.engine.mounts" -}}
- {name: pair, mountPath: /etc/specserve, readOnly: true}
- {name: disk, mountPath: /models, subPath: models}
- {name: disk, mountPath: /nvme, subPath: {{ printf "nvme/%s" (include "specserve.image" (dict "root" .root "of" .engine.stack) | sha256sum | trunc 12) }}}
- {name: tmp, mountPath: /tmp}
- {name: shm, mountPath: /dev/shm}
{{- end -}}

{{- /* A pair is in its pod's annotation: a pod of an old version that starts again has the old one. */ -}}
{{- define "specserve.engine.volumes" -}}
- name: pair
  downwardAPI:
    items:
      - {path: pair.toml, fieldRef: {fieldPath: "metadata.annotations['specserve/pair']"}}
- name: disk
{{- if and .engine.device .root.Values.engine.hostPath }}
  hostPath: {path: {{ .root.Values.engine.hostPath }}, type: DirectoryOrCreate}
{{- else }}
  emptyDir: {sizeLimit: {{ .root.Values.engine.hostPathSize }}}
{{- end }}
- name: tmp
  emptyDir: {}
- name: shm
  emptyDir: {medium: Memory, sizeLimit: {{ .root.Values.engine.sharedMemory }}}
{{- end -}}

{{- define "specserve.engine.env" -}}
- {name: HOME, value: /tmp}
{{- with .root.Values.region }}
- {name: AWS_REGION, value: {{ . }}}
{{- end }}
{{- end -}}

{{- /* One init container for each thing that is pulled: verified, and nothing moves twice. */ -}}
{{- define "specserve.engine.pulls" -}}
{{- $store := .root.Values.store }}
{{- if or .engine.weights .engine.artefact }}
{{- $store = required "store is missing: the s3://BUCKET/PREFIX that engines pull from" $store }}
{{- end }}
{{- $pulls := list }}
{{- range .engine.weights }}
{{- $pulls = append $pulls (list "weights" "pull" .name "--to" .to) }}
{{- end }}
{{- if and .engine.artefact .artefact }}
{{- $pulls = append $pulls (concat (list "artefacts" "pull" "/etc/specserve/pair.toml") (ternary (list "--plain") list (eq .engine.pool "plain"))) }}
{{- end }}
{{- range $i, $pull := $pulls }}
- name: pull-{{ $i }}
  image: {{ include "specserve.image" (dict "root" $.root "of" $.engine.stack) }}
  command: {{ concat (list "neuron") $pull (list "--store" $store) | toJson }}
  env:
    {{- include "specserve.engine.env" $ | nindent 4 }}
  securityContext:
    {{- include "specserve.restricted" $ | nindent 4 }}
  resources:
    requests: {cpu: "1", memory: 2Gi}
    limits: {memory: 4Gi}
  volumeMounts:
    {{- include "specserve.engine.mounts" $ | nindent 4 }}
{{- end }}
{{- end -}}

{{- /* Chips that are neighbours, as AWS's DRA driver names them: of one engine's device. */ -}}
{{- define "specserve.engine.claim" -}}
spec:
  devices:
    requests:
      - name: chips
        exactly:
          deviceClassName: neuron.aws.com
          allocationMode: ExactCount
          count: {{ .chips }}
          selectors:
            - cel:
                expression: device.attributes['neuron.aws.com'].instanceType == '{{ .instance }}'
    {{- if gt (int .chips) 1 }}
    constraints:
      - requests: [chips]
        matchAttribute: resource.aws.com/devicegroup{{ .chips }}_id
    {{- end }}
    config:
      - requests: [chips]
        opaque:
          driver: neuron.aws.com
          parameters:
            apiVersion: neuron.aws.com/v1
            kind: NeuronConfig
            logicalNeuronCore: {{ .lnc }}
{{- end -}}
