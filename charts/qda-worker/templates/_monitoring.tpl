{{- /* Queries of the workers' metrics. Namespace and pod are labels that Prometheus adds when it scrapes pods. */}}

{{- define "qda-worker.metricsSelector" -}}
namespace="{{ .Release.Namespace }}",pod=~"{{ include "qda-worker.podPattern" . }}"
{{- end }}

{{- /* Names of the workers: <fullname>-<hash of up to 10 characters>-<5 characters>. Kubernetes truncates all before the last 5
       characters to 58, so the names of a long release have no second hyphen, or not even the whole fullname. */}}
{{- define "qda-worker.podPattern" -}}
{{- $prefix := printf "%s-" (include "qda-worker.fullname" .) | trunc 58 }}
{{- if gt (len $prefix) 47 }}{{ $prefix }}[a-z0-9]+(-[a-z0-9]+)?{{ else }}{{ $prefix }}[a-z0-9]+-[a-z0-9]+{{ end }}
{{- end }}

{{- /* The 95th percentile of the time in the queue, in seconds; 0 without calls, for which the quantile is not a number. */}}
{{- define "qda-worker.queueSecondsQuery" -}}
(histogram_quantile(0.95, sum by (le) (rate(qda_queue_seconds_bucket{ {{- include "qda-worker.metricsSelector" . -}} }[2m]))) >= 0) or vector(0)
{{- end }}
