{{- /* What can never change in a Job: its pod template and its failure policy. Their hash is part of the Job's name, so they must
       not contain anything that changes without a reason to warm again, such as the chart version, the release revision or
       a setting of the warmer; `qda-worker.warmerSettings` holds those. */}}
{{- define "qda-worker.warmerJobImmutable" -}}
{{- $warmer := .Values.cacheWarmer }}
{{- include "qda-worker.podFailurePolicy" (dict "forms" (include "qda-worker.askedForms" . | fromJsonArray)) }}
template:
  metadata:
    labels:
      {{- /* Without commonLabels, which may change at any time; those of the Job itself have them. */}}
      {{- include "qda-worker.podLabels" (dict "root" . "component" "warmer" "own" $warmer.podLabels) | nindent 6 }}
    annotations:
      {{- /* Values of an earlier release are floating-point numbers, which would be written as 1e+06. */}}
      qda-worker/rerun: {{ int64 $warmer.rerun | quote }}
      {{- with include "qda-worker.catalogAnnotations" . }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- with $warmer.podAnnotations }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
  spec:
    {{- include "qda-worker.warmerPodSpec" (dict "root" . "use" "warm") | nindent 4 }}
{{- end }}

{{- /* Permanent failures fail the Job at once; the exit codes are those of `cache-warmer --help`. An evicted or preempted pod
       does not count as a retry. `forms`: those that the pod makes; each has a container, and its own gate (14). */}}
{{- define "qda-worker.podFailurePolicy" }}
podFailurePolicy:
  rules:
    - action: Ignore
      onPodConditions:
        - type: DisruptionTarget
          status: "True"
    - action: FailJob
      onExitCodes:
        containerName: warmer
        operator: In
        values: [2, 3, 10, 11, 12, 13, 20, 21, 23, 26, 30, 31, 32, 50]
    {{- if .forms }}
    {{- $names := list "publish" }}
    {{- range $index, $form := .forms }}{{ $names = append $names (printf "prepare-%d" $index) }}{{ end }}
    {{- range $names }}
    - action: FailJob
      onExitCodes:
        containerName: {{ . }}
        operator: In
        values: [2, 3, 10, 11, 12, 13, 14, 26, 30, 31, 32, 50]
    {{- end }}
    {{- end }}
{{- end }}

{{- /* The complete spec: what can be changed in a Job that exists, then what cannot. */}}
{{- define "qda-worker.warmerJobSpec" -}}
{{- /* int64: Helm reads numbers of values files as floats, and writes those from a million on as 1e+06. */}}
{{- $warmer := .Values.cacheWarmer }}
backoffLimit: {{ $warmer.backoffLimit | int64 }}
activeDeadlineSeconds: {{ $warmer.activeDeadlineSeconds | int64 }}
{{- if not (kindIs "invalid" $warmer.ttlSecondsAfterFinished) }}
ttlSecondsAfterFinished: {{ $warmer.ttlSecondsAfterFinished | int64 }}
{{- end }}
{{ include "qda-worker.warmerJobImmutable" . }}
{{- end }}

{{- /* The hash is that of the content, not of the text, so that the order and the format of values do not matter. */}}
{{- define "qda-worker.warmerJobName" -}}
{{- $hash := include "qda-worker.warmerJobImmutable" . | fromYaml | toJson | sha256sum | trunc 8 }}
{{- include "qda-worker.suffixed" (dict "root" . "suffix" (printf "warm-%s" $hash)) }}
{{- end }}
