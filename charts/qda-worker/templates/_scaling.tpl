{{- /* How many workers there may be, and where. */}}

{{- define "qda-worker.isAutoscaled" -}}
{{- if or .Values.worker.autoscaling.enabled .Values.worker.keda.enabled }}true{{ end }}
{{- end }}

{{- /* The largest number of workers. Without worker.replicas others decide it, so it may be more than one. */}}
{{- define "qda-worker.maxWorkers" -}}
{{- if .Values.worker.autoscaling.enabled }}{{ .Values.worker.autoscaling.maxReplicas }}
{{- else if .Values.worker.keda.enabled }}{{ .Values.worker.keda.maxReplicas }}
{{- else if kindIs "invalid" .Values.worker.replicas }}2{{ else }}{{ .Values.worker.replicas }}{{ end }}
{{- end }}

{{- /* The smallest number of workers that is intended. */}}
{{- define "qda-worker.minWorkers" -}}
{{- if .Values.worker.autoscaling.enabled }}{{ .Values.worker.autoscaling.minReplicas }}
{{- else if .Values.worker.keda.enabled }}{{ .Values.worker.keda.minReplicas }}
{{- else if kindIs "invalid" .Values.worker.replicas }}1{{ else }}{{ .Values.worker.replicas }}{{ end }}
{{- end }}

{{- define "qda-worker.hasDisruptionBudget" -}}
{{- $enabled := .Values.worker.podDisruptionBudget.enabled }}
{{- if kindIs "invalid" $enabled }}{{ $enabled = and (include "qda-worker.isOnAnyNode" .) (gt (int (include "qda-worker.maxWorkers" .)) 1) }}{{ end }}
{{- if $enabled }}true{{ end }}
{{- end }}

{{- /* The default prefers different nodes, for the pods of one rollout. It does not depend on the number of workers, because a
       changed pod template would restart them. */}}
{{- define "qda-worker.topologySpread" -}}
{{- $workers := dict "matchLabels" (include "qda-worker.selectorLabels" (dict "root" . "component" "worker") | fromYaml) }}
{{- $constraints := .Values.worker.topologySpreadConstraints }}
{{- if and (kindIs "invalid" $constraints) (include "qda-worker.isOnAnyNode" .) }}
{{- $constraints = list (dict "maxSkew" 1 "topologyKey" "kubernetes.io/hostname" "whenUnsatisfiable" "ScheduleAnyway" "matchLabelKeys" (list "pod-template-hash")) }}
{{- end }}
{{- with $constraints }}
topologySpreadConstraints:
  {{- range . }}
  {{- hasKey . "labelSelector" | ternary . (set (deepCopy .) "labelSelector" $workers) | list | toYaml | nindent 2 }}
  {{- end }}
{{- end }}
{{- end }}
