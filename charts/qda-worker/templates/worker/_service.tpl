{{- define "qda-worker.ipFamilies" -}}
{{- with .Values.worker.service.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .Values.worker.service.ipFamilies }}
ipFamilies:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* Gateways and meshes take the protocol of the workers from it. */}}
{{- define "qda-worker.appProtocol" -}}
{{- $own := .Values.worker.service.appProtocol }}
{{- with kindIs "invalid" $own | ternary (ternary "https" "kubernetes.io/h2c" (ne (include "qda-worker.tlsSecret" .) "")) $own }}
appProtocol: {{ . }}
{{- end }}
{{- end }}
