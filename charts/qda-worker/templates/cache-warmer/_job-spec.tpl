{{- /* The warmer Job's whole spec. Its hash is the Job's name, so it holds nothing that changes without a reason to warm
       again: no chart version, no release revision. */}}
{{- define "qda-worker.warmerJobSpec" -}}
{{- $warmer := .Values.cacheWarmer }}
backoffLimit: {{ $warmer.backoffLimit }}
activeDeadlineSeconds: {{ $warmer.activeDeadlineSeconds }}
{{- if not (kindIs "invalid" $warmer.ttlSecondsAfterFinished) }}
ttlSecondsAfterFinished: {{ $warmer.ttlSecondsAfterFinished }}
{{- end }}
{{- /* What retrying cannot mend fails at once; the codes are those of `cache-warmer --help`. A pod that was evicted or
       preempted does not count as a try. */}}
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
      {{- include "qda-worker.podLabels" (dict "root" . "component" "warmer") | nindent 6 }}
    annotations:
      qda-worker/rerun: {{ $warmer.rerun | quote }}
      {{- with include "qda-worker.catalogAnnotations" . }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- with $warmer.podAnnotations }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
  spec:
    restartPolicy: Never
    serviceAccountName: {{ include "qda-worker.warmerServiceAccount" . }}
    automountServiceAccountToken: true
    enableServiceLinks: false
    {{- with .Values.image.pullSecrets }}
    imagePullSecrets:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .Values.podSecurityContext }}
    securityContext:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- include "qda-worker.placement" (dict "root" . "component" $warmer) | nindent 4 }}
    containers:
      - name: warmer
        image: {{ include "qda-worker.image" (dict "root" . "image" $warmer.image) }}
        imagePullPolicy: {{ .Values.image.pullPolicy }}
        args: [warm, --wait, {{ $warmer.wait | quote }}]
        env:
          - name: QDA_CACHE
            value: /cache
          {{- include "qda-worker.catalogEnv" . | nindent 10 }}
          - name: QDA_LOG_LEVEL
            value: {{ $warmer.logLevel }}
          - name: QDA_STALL_TIMEOUT
            value: {{ $warmer.stallTimeout | quote }}
          - name: QDA_KUBERNETES_DEPLOYMENT
            value: {{ include "qda-worker.fullname" . }}
          - name: QDA_KUBERNETES_NAMESPACE
            valueFrom:
              fieldRef:
                fieldPath: metadata.namespace
          - name: QDA_KUBERNETES_JOB
            valueFrom:
              fieldRef:
                fieldPath: metadata.labels['batch.kubernetes.io/job-name']
          - name: HOME
            value: /tmp
          - name: HF_HOME
            value: /tmp/huggingface
          - name: HF_XET_CACHE
            value: /tmp/huggingface/xet
          {{- with .Values.hub.endpoint }}
          - name: HF_ENDPOINT
            value: {{ . | quote }}
          {{- end }}
          {{- with .Values.hub.wheelBase }}
          - name: QDA_WHEEL_BASE
            value: {{ . | quote }}
          {{- end }}
          {{- with .Values.hub.tokenSecret }}
          {{- /* Optional for Kubernetes, so that the warmer can say that it is missing; without it the pod would hang. */}}
          - name: HF_TOKEN
            valueFrom:
              secretKeyRef:
                name: {{ . }}
                key: {{ $.Values.hub.tokenSecretKey }}
                optional: true
          - name: QDA_TOKEN_SECRET
            value: {{ printf "%s/%s" . $.Values.hub.tokenSecretKey | quote }}
          {{- end }}
          {{- with .Values.hub.proxy }}
          - name: HTTPS_PROXY
            value: {{ . | quote }}
          - name: HTTP_PROXY
            value: {{ . | quote }}
          - name: NO_PROXY
            value: {{ $.Values.hub.noProxy | default "localhost,127.0.0.1,.svc,.cluster.local,$(KUBERNETES_SERVICE_HOST)" | quote }}
          {{- end }}
          {{- if .Values.hub.caBundle }}
          - name: SSL_CERT_FILE
            value: /etc/qda-worker-ca/ca.crt
          {{- end }}
          {{- with $warmer.extraEnv }}
          {{- toYaml . | nindent 10 }}
          {{- end }}
        terminationMessagePolicy: FallbackToLogsOnError
        {{- with .Values.containerSecurityContext }}
        securityContext:
          {{- toYaml . | nindent 10 }}
        {{- end }}
        {{- with $warmer.resources }}
        resources:
          {{- toYaml . | nindent 10 }}
        {{- end }}
        volumeMounts:
          - name: cache
            mountPath: /cache
          - name: tmp
            mountPath: /tmp
          {{- include "qda-worker.catalogMount" . | nindent 10 }}
          {{- if .Values.hub.caBundle }}
          - name: ca
            mountPath: /etc/qda-worker-ca
            readOnly: true
          {{- end }}
          {{- with $warmer.extraVolumeMounts }}
          {{- toYaml . | nindent 10 }}
          {{- end }}
    volumes:
      {{- include "qda-worker.cacheVolume" . | nindent 6 }}
      {{- include "qda-worker.catalogVolume" . | nindent 6 }}
      {{- if .Values.hub.caBundle }}
      - name: ca
        configMap:
          name: {{ include "qda-worker.suffixed" (dict "root" . "suffix" (printf "ca-%s" (sha256sum .Values.hub.caBundle | trunc 8))) }}
      {{- end }}
      {{- with $warmer.extraVolumes }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
{{- end }}

{{- define "qda-worker.warmerJobName" -}}
{{- include "qda-worker.suffixed" (dict "root" . "suffix" (printf "warm-%s" (include "qda-worker.warmerJobSpec" . | sha256sum | trunc 8))) }}
{{- end }}
