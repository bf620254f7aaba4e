{{- /* Queries of the workers' metrics. Namespace and pod are labels that Prometheus adds when it scrapes pods. */}}

{{- define "qda-worker.metricsSelector" -}}
namespace="{{ .Release.Namespace }}",pod=~"{{ include "qda-worker.fullname" . }}-[a-z0-9]+-[a-z0-9]+"
{{- end }}

{{- /* The 95th percentile of the time in the queue, in seconds; 0 without calls, for which the quantile is not a number. */}}
{{- define "qda-worker.queueSecondsQuery" -}}
(histogram_quantile(0.95, sum by (le) (rate(qda_queue_seconds_bucket{ {{- include "qda-worker.metricsSelector" . -}} }[2m]))) >= 0) or vector(0)
{{- end }}
