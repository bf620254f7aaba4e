{{- /* The Grafana dashboard of one release. A panel is a list: title, unit, query, and the label that names its lines. */}}
{{- define "qda-worker.dashboardPanels" -}}
{{- $s := include "qda-worker.metricsSelector" . }}
- [Calls, reqps, 'sum by (grpc_method) (rate(grpc_server_call_started_total{ {{- $s -}} }[$__rate_interval]))', grpc_method]
- [Duration of calls (95th percentile), s, 'histogram_quantile(0.95, sum by (grpc_method, le) (rate(grpc_server_call_duration_seconds_bucket{ {{- $s -}} }[$__rate_interval])))', grpc_method]
- [Calls without answer, reqps, 'sum by (reason) (rate(qda_calls_without_answer_total{ {{- $s -}} }[$__rate_interval]))', reason]
- [Calls in flight, short, 'sum by (pod) (qda_calls_under_way{ {{- $s -}} })', pod]
- [Texts, ops, 'sum by (model) (rate(qda_texts_total{ {{- $s -}} }[$__rate_interval]))', model]
- [Texts refused, ops, 'sum by (reason) (rate(qda_texts_refused_total{ {{- $s -}} }[$__rate_interval]))', reason]
- [Time in the queue (95th percentile), s, 'histogram_quantile(0.95, sum by (model, le) (rate(qda_queue_seconds_bucket{ {{- $s -}} }[$__rate_interval])))', model]
- [Texts waiting or being computed, short, 'sum by (model) (qda_queue_texts{ {{- $s -}} })', model]
- [Computation of a batch (95th percentile), s, 'histogram_quantile(0.95, sum by (model, le) (rate(qda_compute_seconds_bucket{ {{- $s -}} }[$__rate_interval])))', model]
- [Texts in a batch (mean), short, 'sum by (model) (rate(qda_batch_items_sum{ {{- $s -}} }[$__rate_interval])) / sum by (model) (rate(qda_batch_items_count{ {{- $s -}} }[$__rate_interval]))', model]
- [CPU (main process), short, 'rate(process_cpu_seconds_total{ {{- $s -}} }[$__rate_interval])', pod]
- [Memory (main process), bytes, 'process_resident_memory_bytes{ {{- $s -}} }', pod]
- [Workers that serve a model, short, 'sum by (model) (qda_model_loaded{ {{- $s -}} })', model]
- [Workers with a complete cache, short, 'sum by (namespace) (qda_cache_complete{ {{- $s -}} })', namespace]
- [Problems of the cache, short, 'max by (reason) (qda_cache_problems{ {{- $s -}} })', reason]
- [Bytes that the warmer has fetched, percentunit, 'max by (namespace) (qda_cache_warm_done_bytes{ {{- $s -}} }) / (max by (namespace) (qda_cache_warm_wanted_bytes{ {{- $s -}} }) > 0)', namespace]
- [Workers that need a restart, short, 'sum by (model) (qda_cache_restart_needed{ {{- $s -}} })', model]
- [Certificate expires in, s, 'qda_tls_certificate_expiry_timestamp_seconds{ {{- $s -}} } - time()', pod]
{{- end }}

{{- define "qda-worker.dashboardJson" -}}
{{- $source := dict "type" "prometheus" "uid" "${datasource}" }}
{{- $panels := list }}
{{- range $i, $panel := include "qda-worker.dashboardPanels" . | fromYamlArray }}
{{- $query := dict "refId" "A" "datasource" $source "expr" (index $panel 2) "legendFormat" (printf "{{%s}}" (index $panel 3)) }}
{{- $place := dict "x" (mul 12 (mod $i 2)) "y" (mul 8 (div $i 2)) "w" 12 "h" 8 }}
{{- $look := dict "defaults" (dict "unit" (index $panel 1) "min" 0) "overrides" list }}
{{- $panels = append $panels (dict "id" (add1 $i) "type" "timeseries" "title" (index $panel 0) "datasource" $source "gridPos" $place "fieldConfig" $look "targets" (list $query)) }}
{{- end }}
{{- $variable := dict "name" "datasource" "label" "Data source" "type" "datasource" "query" "prometheus" }}
{{- $name := printf "%s/%s" .Release.Namespace (include "qda-worker.fullname" .) }}
{{- dict "uid" (printf "qda-%s" (sha256sum $name | trunc 12)) "title" (printf "qda-worker: %s" $name) "tags" (list "qda-worker") "schemaVersion" 39 "editable" true "refresh" "30s" "time" (dict "from" "now-3h" "to" "now") "templating" (dict "list" (list $variable)) "panels" $panels | toPrettyJson }}
{{- end }}
