{{- /* Parts of every pod that do not depend on the cache. They take the values of a component. */}}

{{- define "qda-worker.podOptions" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "qda-worker.tmpVolume" -}}
- name: tmp
  {{- if .tmpSizeLimit }}
  emptyDir:
    sizeLimit: {{ .tmpSizeLimit }}
  {{- else }}
  emptyDir: {}
  {{- end }}
{{- end }}

{{- /* Drain delay, shutdown grace and 10 s to exit: a worker must not be killed while calls are in flight. */}}
{{- define "qda-worker.gracePeriod" -}}
{{- $parts := add .Values.worker.drainDelaySeconds .Values.worker.shutdownGraceSeconds 10 }}
{{- $given := .Values.worker.terminationGracePeriodSeconds }}
{{- kindIs "invalid" $given | ternary $parts $given }}
{{- end }}

{{- /* The API server does not store a delay of 0, so that a rendered one would differ from the object for ever. */}}
{{- define "qda-worker.probeTimings" -}}
{{- toYaml (eq (int .initialDelaySeconds) 0 | ternary (omit . "initialDelaySeconds") .) }}
{{- end }}
