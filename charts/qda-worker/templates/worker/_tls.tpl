{{- /* The Secret with the certificate of the workers; empty: plain text. */}}
{{- define "qda-worker.tlsSecret" -}}
{{- with .Values.worker.tls }}
{{- if .secretName }}{{ .secretName }}{{ else if .certificate.enabled }}{{ include "qda-worker.suffixed" (dict "root" $ "suffix" "tls") }}{{ end }}
{{- end }}
{{- end }}

{{- /* The names of the services, from the shortest to the longest. */}}
{{- define "qda-worker.serviceNames" -}}
{{- $names := list (include "qda-worker.fullname" .) (include "qda-worker.suffixed" (dict "root" . "suffix" "headless")) }}
{{- if .Values.worker.http.enabled }}{{ $names = append $names (include "qda-worker.suffixed" (dict "root" . "suffix" "http")) }}{{ end }}
{{- range $name := $names }}
{{- range list "" (printf ".%s" $.Release.Namespace) (printf ".%s.svc" $.Release.Namespace) (printf ".%s.svc.cluster.local" $.Release.Namespace) }}
- {{ printf "%s%s" $name . }}
{{- end }}
{{- end }}
{{- end }}
