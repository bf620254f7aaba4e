{{- /* The CA certificates of the warmer: from a value, a ConfigMap or a Secret. */}}
{{- define "qda-worker.hasCa" -}}
{{- with .Values.hub }}{{ if or .caBundle .caConfigMap .caSecret }}true{{ end }}{{ end }}
{{- end }}

{{- /* The name contains the hash of the bundle, so that another bundle creates another Job. */}}
{{- define "qda-worker.caConfigMap" -}}
{{- include "qda-worker.suffixed" (dict "root" . "suffix" (printf "ca-%s" (sha256sum .Values.hub.caBundle | trunc 8))) }}
{{- end }}

{{- define "qda-worker.caVolume" -}}
{{- if include "qda-worker.hasCa" . }}
- name: ca
  {{- if .Values.hub.caSecret }}
  secret:
    secretName: {{ .Values.hub.caSecret }}
    items:
      - key: {{ .Values.hub.caSecretKey }}
        path: ca.crt
  {{- else if .Values.hub.caConfigMap }}
  configMap:
    name: {{ .Values.hub.caConfigMap }}
    items:
      - key: {{ .Values.hub.caConfigMapKey }}
        path: ca.crt
  {{- else }}
  configMap:
    name: {{ include "qda-worker.caConfigMap" . }}
  {{- end }}
{{- end }}
{{- end }}
