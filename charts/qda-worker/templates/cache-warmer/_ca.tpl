{{- /* The CA certificates of the warmer: from a value, a ConfigMap or a Secret. */}}
{{- define "qda-worker.hasCa" -}}
{{- with .Values.hub }}{{ if or .caBundle .caConfigMap .caSecret }}true{{ end }}{{ end }}
{{- end }}

{{- define "qda-worker.caConfigMap" -}}
{{- include "qda-worker.suffixed" (dict "root" . "suffix" "ca") }}
{{- end }}

{{- /* Mounted without a bundle too, so that setting hub.caBundle does not change the pod template. */}}
{{- define "qda-worker.caVolume" -}}
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
    optional: true
  {{- end }}
{{- end }}
