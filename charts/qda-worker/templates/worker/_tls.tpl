{{- /* The Secret with the certificate of the workers; empty: plain text. */}}
{{- define "qda-worker.tlsSecret" -}}
{{- with .Values.worker.tls }}
{{- if .secretName }}{{ .secretName }}{{ else if .certificate.enabled }}{{ include "qda-worker.suffixed" (dict "root" $ "suffix" "tls") }}{{ end }}
{{- end }}
{{- end }}

{{- /* The names of both services, from the shortest to the longest. */}}
{{- define "qda-worker.serviceNames" -}}
{{- range $name := list (include "qda-worker.fullname" .) (include "qda-worker.suffixed" (dict "root" . "suffix" "headless")) }}
{{- range list "" (printf ".%s" $.Release.Namespace) (printf ".%s.svc" $.Release.Namespace) (printf ".%s.svc.cluster.local" $.Release.Namespace) }}
- {{ printf "%s%s" $name . }}
{{- end }}
{{- end }}
{{- end }}
