{{- define "qda-worker.ipFamilies" -}}
{{- with .Values.worker.service.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .Values.worker.service.ipFamilies }}
ipFamilies:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* What the services of gRPC and HTTP have in common. */}}
{{- define "qda-worker.serviceSpec" -}}
type: {{ .Values.worker.service.type }}
{{- with .Values.worker.service.loadBalancerClass }}
loadBalancerClass: {{ . }}
{{- end }}
{{- with .Values.worker.service.loadBalancerSourceRanges }}
loadBalancerSourceRanges:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.worker.service.externalTrafficPolicy }}
externalTrafficPolicy: {{ . }}
{{- end }}
sessionAffinity: {{ .Values.worker.service.sessionAffinity }}
{{- include "qda-worker.ipFamilies" . | nindent 0 }}
selector:
  {{- include "qda-worker.selectorLabels" (dict "root" . "component" "worker") | nindent 2 }}
{{- end }}

{{- /* A number without an exponent, which the worker does not read. */}}
{{- define "qda-worker.plainNumber" -}}
{{- if eq (float64 .) (float64 (int64 .)) }}{{ int64 . }}{{ else }}{{ regexReplaceAll "[.]?0+$" (printf "%.6f" (float64 .)) "" }}{{ end }}
{{- end }}

{{- /* Gateways and meshes take the protocol of the workers from it. Of the dict: root, own (the value; null: by TLS), plain (the
       protocol without TLS). */}}
{{- define "qda-worker.appProtocol" -}}
{{- with kindIs "invalid" .own | ternary (ternary "https" .plain (ne (include "qda-worker.tlsSecret" .root) "")) .own }}
appProtocol: {{ . }}
{{- end }}
{{- end }}
