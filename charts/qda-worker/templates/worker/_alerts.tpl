{{- /* The alerts of one release. The descriptions name the command that tells more; docs/monitoring.md has the remedies. */}}
{{- define "qda-worker.alerts" -}}
{{- $limits := .Values.worker.prometheusRule }}
{{- $s := include "qda-worker.metricsSelector" . }}
{{- /* Health checks are calls too. */}}
{{- $calls := printf "%s,grpc_method=~\"qda[.].+\"" $s }}
{{- $pod := "{{ $labels.pod }}" }}
{{- $model := "{{ $labels.model }}" }}
{{- $reason := "{{ $labels.reason }}" }}
{{- $kubectl := printf "kubectl -n %s" .Release.Namespace }}
{{- $check := printf "%s exec %s -- cache-check" $kubectl $pod }}
{{- $warmer := printf "%s describe job -l app.kubernetes.io/instance=%s,app.kubernetes.io/component=warmer" $kubectl .Release.Name }}
{{- /* No worker is intended without workers: `worker.replicas=0`, or KEDA that may scale to zero. */}}
{{- if not (eq (include "qda-worker.minWorkers" .) "0") }}
- alert: QdaWorkerAbsent
  expr: absent(qda_worker_build_info{ {{- $s -}} })
  for: 10m
  severity: critical
  summary: No worker of {{ .Release.Name }} is scraped.
  description: {{ printf "%s describe pods -l app.kubernetes.io/instance=%s,app.kubernetes.io/component=worker" $kubectl .Release.Name | quote }}
{{- end }}
- alert: QdaModelNotLoaded
  expr: qda_model_loaded{ {{- $s -}} } == 0 unless on (namespace) max by (namespace) (qda_cache_warm_running{ {{- $s -}} }) == 1
  for: 15m
  severity: critical
  summary: {{ printf "Worker %s does not serve %s." $pod $model | quote }}
  description: {{ printf "%s exec %s -- qda-client models" $kubectl $pod | quote }}
- alert: QdaCacheIncomplete
  expr: qda_cache_complete{ {{- $s -}} } == 0 unless on (namespace) max by (namespace) (qda_cache_warm_running{ {{- $s -}} }) == 1
  for: 15m
  severity: warning
  summary: {{ printf "The cache of %s is not complete, and no warmer fills it." $pod | quote }}
  description: {{ $check | quote }}
- alert: QdaCacheCorrupt
  expr: sum by (namespace, pod, model) (qda_cache_problems{ {{- $s -}} ,reason="CACHE_CORRUPT"}) > 0
  for: 1m
  severity: critical
  summary: {{ printf "The cache of %s has damaged files of %s." $pod $model | quote }}
  description: {{ printf "%s names the files and the command that repairs them" $check | quote }}
- alert: QdaDeepCheckFailed
  expr: sum by (namespace, model) (max by (namespace, model, reason) (qda_cache_deep_check_bad_files{ {{- $s -}} })) > 0
  for: 1m
  severity: critical
  summary: {{ printf "The last deep check found bad files of %s in the cache." $model | quote }}
  description: {{ printf "%s exec deploy/%s -- cache-check --deep names the files and the command that repairs them" $kubectl (include "qda-worker.fullname" .) | quote }}
{{- if and (include "qda-worker.hasCheck" .) (not .Values.cacheWarmer.periodicCheck.suspend) }}
- alert: QdaDeepCheckOverdue
  expr: (time() - max by (namespace) (qda_cache_deep_check_timestamp_seconds{ {{- $s -}} })) / 86400 > {{ $limits.deepCheckDays }}
  for: 1h
  severity: warning
  summary: {{ printf "The last deep check of the cache of %s ended more than %v days ago." .Release.Name $limits.deepCheckDays | quote }}
  description: {{ printf "%s describe cronjob %s" $kubectl (include "qda-worker.checkCronJobName" .) | quote }}
{{- end }}
- alert: QdaWarmFailed
  expr: max by (namespace, reason) (qda_cache_warm_ended{ {{- $s -}} ,reason!="OK"}) == 1
  for: 1m
  severity: warning
  summary: {{ printf "The last warm ended with %s." $reason | quote }}
  description: {{ $warmer | quote }}
- alert: QdaGenerationsDiffer
  {{- /* The second part sees a rollout that could not even start a pod: all workers have an older catalog than the release. */}}
  expr: count(count by (generation) (qda_worker_build_info{ {{- $s -}} })) > 1{{ with .Values.catalog }} or count(qda_worker_build_info{ {{- $s -}} ,catalog!~"|{{ sha256sum . }}"}) > 0{{ end }}
  for: 1h
  severity: warning
  summary: Workers of {{ .Release.Name }} serve another generation than the release, or different ones.
  description: {{ printf "a rollout has not ended: %s rollout status deploy/%s" $kubectl (include "qda-worker.fullname" .) | quote }}
- alert: QdaQueueSlow
  expr: histogram_quantile(0.95, sum by (namespace, model, le) (rate(qda_queue_seconds_bucket{ {{- $s -}} }[5m]))) > {{ $limits.queueSeconds }}
  for: 10m
  severity: warning
  summary: {{ printf "Texts wait for %s longer than %v s." $model $limits.queueSeconds | quote }}
  description: more workers or more CPU
- alert: QdaTextsRefused
  expr: sum by (namespace, model) (rate(qda_texts_refused_total{ {{- $s -}} }[5m])) / (sum by (namespace, model) (rate(qda_texts_refused_total{ {{- $s -}} }[5m])) + sum by (namespace, model) (rate(qda_texts_total{ {{- $s -}} }[5m]))) > {{ $limits.refusedRatio }}
  for: 10m
  severity: warning
  summary: {{ printf "The queue of %s refuses texts." $model | quote }}
  description: more workers or more CPU
- alert: QdaCallsRefused
  expr: sum by (namespace) (rate(qda_calls_without_answer_total{ {{- $calls -}} ,reason="TOO_MANY_CALLS"}[5m])) / sum by (namespace) (rate(grpc_server_call_started_total{ {{- $calls -}} }[5m])) > {{ $limits.refusedRatio }}
  for: 10m
  severity: warning
  summary: Workers of {{ .Release.Name }} refuse calls, because worker.maxCalls are in progress.
  description: more workers, fewer calls with more texts each, or a higher worker.maxCalls
- alert: QdaCallsFail
  {{- /* An idle stream is ended with UNAVAILABLE through its caller's fault. */}}
  expr: sum by (namespace) (rate(qda_calls_without_answer_total{ {{- $calls -}} ,grpc_status=~"INTERNAL|UNKNOWN|DATA_LOSS|UNAVAILABLE",reason!="STREAM_IDLE"}[5m])) / sum by (namespace) (rate(grpc_server_call_started_total{ {{- $calls -}} }[5m])) > {{ $limits.errorRatio }}
  for: 5m
  severity: critical
  summary: Calls of {{ .Release.Name }} fail.
  description: {{ printf "%s logs -l app.kubernetes.io/instance=%s,app.kubernetes.io/component=worker" $kubectl .Release.Name | quote }}
- alert: QdaRestartNeeded
  expr: qda_cache_restart_needed{ {{- $s -}} } == 1
  for: 10m
  severity: info
  summary: {{ printf "Files of %s were replaced after %s had loaded them." $model $pod | quote }}
  description: {{ printf "%s rollout restart deploy/%s" $kubectl (include "qda-worker.fullname" .) | quote }}
- alert: QdaCertificateExpires
  expr: (qda_tls_certificate_expiry_timestamp_seconds{ {{- $s -}} } - time()) / 86400 < {{ $limits.certificateDays }}
  for: 10m
  severity: warning
  summary: {{ printf "The certificate of %s expires within %v days." $pod $limits.certificateDays | quote }}
  description: renew the Secret of worker.tls; a worker uses it without a restart
{{- end }}
