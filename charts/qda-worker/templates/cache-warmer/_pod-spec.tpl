{{- /* The pod of the warmer. `use` is `warm` for the Job, `shell` for an idle one for `kubectl exec`, and `check` for the
       CronJob, which gets settings, token and certificates of the hub only if it repairs. If the catalog asks for prepared
       forms, the Job warms and makes them in init containers, and its container publishes them. */}}
{{- define "qda-worker.warmerPodSpec" -}}
{{- $root := .root }}
{{- $shell := eq .use "shell" }}
{{- $check := eq .use "check" }}
{{- $warmer := $root.Values.cacheWarmer }}
{{- $periodic := $warmer.periodicCheck }}
{{- $fetches := or (not $check) $periodic.repair }}
{{- $forms := list }}
{{- if eq .use "warm" }}{{ $forms = include "qda-worker.askedForms" $root | fromJsonArray }}{{ end }}
restartPolicy: {{ ternary "Always" "Never" $shell }}
{{- if $shell }}
terminationGracePeriodSeconds: 5
{{- end }}
serviceAccountName: {{ include "qda-worker.warmerServiceAccount" $root }}
automountServiceAccountToken: true
enableServiceLinks: false
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- include "qda-worker.podOptions" $warmer | nindent 0 }}
{{- include "qda-worker.placement" (dict "root" $root "component" $warmer) | nindent 0 }}
{{- if or $warmer.initContainers $forms }}
initContainers:
  {{- with $warmer.initContainers }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- if $forms }}
  {{- include "qda-worker.warmerContainer" (dict "root" $root "use" "warm" "name" "warmer") | nindent 2 }}
  {{- range $index, $form := $forms }}
  {{- include "qda-worker.prepareContainer" (dict "root" $root "index" $index "form" $form) | nindent 2 }}
  {{- end }}
  {{- end }}
{{- end }}
containers:
  {{- if $forms }}
  {{- include "qda-worker.warmerContainer" (dict "root" $root "use" "publish" "name" "publish") | nindent 2 }}
  {{- else }}
  {{- include "qda-worker.warmerContainer" (dict "root" $root "use" .use "name" "warmer") | nindent 2 }}
  {{- end }}
volumes:
  {{- include "qda-worker.cacheVolume" $root | nindent 2 }}
  {{- include "qda-worker.tmpVolume" $warmer | nindent 2 }}
  {{- if $forms }}
  - name: forms
    {{- if $warmer.prepare.sizeLimit }}
    emptyDir:
      sizeLimit: {{ $warmer.prepare.sizeLimit }}
    {{- else }}
    emptyDir: {}
    {{- end }}
  {{- end }}
  {{- include "qda-worker.catalogVolume" $root | nindent 2 }}
  {{- if $fetches }}
  {{- include "qda-worker.caVolume" $root | nindent 2 }}
  {{- end }}
  {{- with $warmer.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
