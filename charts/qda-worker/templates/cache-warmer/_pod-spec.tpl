{{- /* The pod of the warmer. `use` is `warm` for the Job, `shell` for an idle one for `kubectl exec`, and `check` for the
       CronJob, which gets settings, token and certificates of the hub only if it repairs. */}}
{{- define "qda-worker.warmerPodSpec" -}}
{{- $root := .root }}
{{- $shell := eq .use "shell" }}
{{- $check := eq .use "check" }}
{{- $warmer := $root.Values.cacheWarmer }}
{{- $periodic := $warmer.periodicCheck }}
{{- $fetches := or (not $check) $periodic.repair }}
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
{{- with $warmer.initContainers }}
initContainers:
  {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: warmer
    image: {{ include "qda-worker.image" (dict "root" $root "image" $warmer.image) }}
    imagePullPolicy: {{ $root.Values.image.pullPolicy }}
    {{- if $shell }}
    {{- /* A shell as PID 1 ignores SIGTERM unless it sets a trap. */}}
    command: [sh, -c, "trap 'exit 0' TERM; sleep infinity & wait"]
    {{- else if not $check }}
    args: [warm]
    {{- else if $periodic.repair }}
    args: [verify, --repair]
    {{- else }}
    args: [verify]
    {{- end }}
    env:
      - name: QDA_CACHE
        value: /cache
      {{- include "qda-worker.catalogEnv" $root | nindent 6 }}
      - name: QDA_KUBERNETES_DEPLOYMENT
        value: {{ include "qda-worker.fullname" $root }}
      - name: QDA_KUBERNETES_NAMESPACE
        valueFrom:
          fieldRef:
            apiVersion: v1
            fieldPath: metadata.namespace
      {{- if $check }}
      - name: QDA_KUBERNETES_CRONJOB
        value: {{ include "qda-worker.checkCronJobName" $root }}
      {{- include "qda-worker.remediesEnv" $root | nindent 6 }}
      {{- else if not $shell }}
      - name: QDA_KUBERNETES_JOB
        valueFrom:
          fieldRef:
            apiVersion: v1
            fieldPath: metadata.labels['batch.kubernetes.io/job-name']
      {{- end }}
      {{- if $fetches }}
      - name: QDA_KUBERNETES_LEASE
        value: {{ include "qda-worker.leaseName" $root }}
      - name: QDA_KUBERNETES_CLAIM
        value: {{ include "qda-worker.claimName" $root }}
      - name: QDA_REFERENCE
        value: {{ printf "%s/%s" $root.Release.Namespace $root.Release.Name }}
      {{- else }}
      - name: QDA_LOG_LEVEL
        value: {{ $warmer.logLevel }}
      {{- end }}
      - name: HOME
        value: /tmp
      - name: HF_HOME
        value: /tmp/huggingface
      - name: HF_XET_CACHE
        value: /tmp/huggingface/xet
      {{- with and $fetches $root.Values.hub.tokenSecret }}
      {{- /* Optional, so that the warmer can report a missing Secret. Otherwise the pod would never start. */}}
      - name: HF_TOKEN
        valueFrom:
          secretKeyRef:
            name: {{ . }}
            key: {{ $root.Values.hub.tokenSecretKey }}
            optional: true
      - name: QDA_TOKEN_SECRET
        value: {{ printf "%s/%s" . $root.Values.hub.tokenSecretKey | quote }}
      {{- end }}
      {{- with $warmer.extraEnv }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- if or $fetches $warmer.extraEnvFrom }}
    envFrom:
      {{- with $warmer.extraEnvFrom }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
      {{- /* The last source wins. */}}
      {{- if $fetches }}
      - configMapRef:
          name: {{ include "qda-worker.warmerSettingsName" $root }}
      {{- end }}
    {{- end }}
    terminationMessagePolicy: FallbackToLogsOnError
    {{- with $root.Values.containerSecurityContext }}
    securityContext:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with ternary $periodic.resources $warmer.resources $check }}
    resources:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    volumeMounts:
      - name: cache
        mountPath: /cache
        {{- if not (include "qda-worker.isClaimWritable" $root) }}
        readOnly: true
        {{- end }}
      - name: tmp
        mountPath: /tmp
      {{- include "qda-worker.catalogMount" $root | nindent 6 }}
      {{- if $fetches }}
      - name: ca
        mountPath: /etc/qda-worker-ca
        readOnly: true
      {{- end }}
      {{- with $warmer.extraVolumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
volumes:
  {{- include "qda-worker.cacheVolume" $root | nindent 2 }}
  {{- include "qda-worker.tmpVolume" $warmer | nindent 2 }}
  {{- include "qda-worker.catalogVolume" $root | nindent 2 }}
  {{- if $fetches }}
  {{- include "qda-worker.caVolume" $root | nindent 2 }}
  {{- end }}
  {{- with $warmer.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
