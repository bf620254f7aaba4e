{{- /* The complete spec of the warmer Job. Its hash is part of the Job's name, so it must not contain anything that changes
       without a reason to warm again, such as the chart version or the release revision. */}}
{{- define "qda-worker.warmerJobSpec" -}}
{{- $warmer := .Values.cacheWarmer }}
backoffLimit: {{ $warmer.backoffLimit }}
activeDeadlineSeconds: {{ $warmer.activeDeadlineSeconds }}
{{- if not (kindIs "invalid" $warmer.ttlSecondsAfterFinished) }}
ttlSecondsAfterFinished: {{ $warmer.ttlSecondsAfterFinished }}
{{- end }}
{{- /* Permanent failures fail the Job at once; the exit codes are those of `cache-warmer --help`. An evicted or preempted pod
       does not count as a retry. */}}
podFailurePolicy:
  rules:
    - action: Ignore
      onPodConditions:
        - type: DisruptionTarget
    - action: FailJob
      onExitCodes:
        containerName: warmer
        operator: In
        values: [2, 3, 10, 11, 12, 13, 20, 21, 23, 26, 30, 31, 32, 50]
template:
  metadata:
    labels:
      {{- include "qda-worker.podLabels" (dict "root" . "component" "warmer" "values" $warmer) | nindent 6 }}
    annotations:
      qda-worker/rerun: {{ $warmer.rerun | quote }}
      {{- with include "qda-worker.catalogAnnotations" . }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- with $warmer.podAnnotations }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
  spec:
    {{- include "qda-worker.warmerPodSpec" (dict "root" . "shell" false) | nindent 4 }}
{{- end }}

{{- define "qda-worker.warmerJobName" -}}
{{- include "qda-worker.suffixed" (dict "root" . "suffix" (printf "warm-%s" (include "qda-worker.warmerJobSpec" . | sha256sum | trunc 8))) }}
{{- end }}
