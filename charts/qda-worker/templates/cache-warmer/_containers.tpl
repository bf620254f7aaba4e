{{- /* A container of the warmer's image. `use` is that of the pod, or `publish` for the last step of a Job that makes prepared
       forms: it writes to the cache, but not from the hub. */}}
{{- define "qda-worker.warmerContainer" -}}
{{- $root := .root }}
{{- $shell := eq .use "shell" }}
{{- $check := eq .use "check" }}
{{- $publish := eq .use "publish" }}
{{- $warmer := $root.Values.cacheWarmer }}
{{- $periodic := $warmer.periodicCheck }}
{{- $writes := or (not $check) $periodic.repair }}
{{- $fetches := and $writes (not $publish) }}
- name: {{ .name }}
  image: {{ include "qda-worker.image" (dict "root" $root "image" $warmer.image) }}
  imagePullPolicy: {{ $root.Values.image.pullPolicy }}
  {{- if $shell }}
  {{- /* A shell as PID 1 ignores SIGTERM unless it sets a trap. */}}
  command: [sh, -c, "trap 'exit 0' TERM; sleep infinity & wait"]
  {{- else if $publish }}
  args: [publish, --all, /forms]
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
    {{- include "qda-worker.catalogEnv" $root | nindent 4 }}
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
    {{- include "qda-worker.remediesEnv" $root | nindent 4 }}
    {{- else if not $shell }}
    - name: QDA_KUBERNETES_JOB
      valueFrom:
        fieldRef:
          apiVersion: v1
          fieldPath: metadata.labels['batch.kubernetes.io/job-name']
    {{- end }}
    {{- if $writes }}
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
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- if or $writes $warmer.extraEnvFrom }}
  envFrom:
    {{- with $warmer.extraEnvFrom }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- /* The last source wins. */}}
    {{- if $writes }}
    - configMapRef:
        name: {{ include "qda-worker.warmerSettingsName" $root }}
    {{- end }}
  {{- end }}
  terminationMessagePolicy: FallbackToLogsOnError
  {{- with $root.Values.containerSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with ternary $periodic.resources $warmer.resources $check }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  volumeMounts:
    - name: cache
      mountPath: /cache
      {{- if not (include "qda-worker.isClaimWritable" $root) }}
      readOnly: true
      {{- end }}
    - name: tmp
      mountPath: /tmp
    {{- include "qda-worker.catalogMount" $root | nindent 4 }}
    {{- if $publish }}
    - name: forms
      mountPath: /forms
      readOnly: true
    {{- end }}
    {{- if $fetches }}
    - name: ca
      mountPath: /etc/qda-worker-ca
      readOnly: true
    {{- end }}
    {{- with $warmer.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{- /* A container of the worker's image that makes one prepared form, unless the cache has it already. It only reads the
       cache; what it writes is published by the warmer's image, which holds the lease. If no form can be made it leaves the
       reason there and succeeds, so that the other forms are made, and the last step, which may write Events, reports it. */}}
{{- define "qda-worker.prepareContainer" -}}
{{- $root := .root }}
{{- $warmer := $root.Values.cacheWarmer }}
- name: prepare-{{ .index }}
  image: {{ include "qda-worker.image" (dict "root" $root "image" $root.Values.worker.image) }}
  imagePullPolicy: {{ $root.Values.image.pullPolicy }}
  command:
    - sh
    - -c
    - |
      if cache-check --prepared --model "$1" >/dev/null 2>&1; then
        echo "the cache has a prepared form of $1 in $2"
      else
        exec qda-worker prepare --model "$1" --precision "$2" --out "/forms/$1" --failure "/forms/$1.failure.json"
      fi
    - prepare
  args: [{{ .form.key | quote }}, {{ .form.precision | quote }}]
  env:
    - name: QDA_CACHE
      value: /cache
    {{- include "qda-worker.catalogEnv" $root | nindent 4 }}
    - name: HOME
      value: /tmp
    - name: HF_HOME
      value: /tmp/huggingface
    - name: HF_HUB_OFFLINE
      value: "1"
    - name: QDA_LOG_LEVEL
      value: {{ $warmer.logLevel }}
    {{- /* As in the worker: without a CPU limit it has as many threads as it requests CPUs. */}}
    - name: QDA_CPU_REQUEST_MILLICORES
      valueFrom:
        resourceFieldRef:
          resource: requests.cpu
          divisor: 1m
    {{- with $warmer.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  terminationMessagePolicy: FallbackToLogsOnError
  {{- with $root.Values.containerSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $warmer.prepare.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  volumeMounts:
    - name: cache
      mountPath: /cache
      readOnly: true
    - name: tmp
      mountPath: /tmp
    - name: forms
      mountPath: /forms
    {{- include "qda-worker.catalogMount" $root | nindent 4 }}
{{- end }}

{{- /* The prepared forms that the catalog asks for, as a JSON list of key and precision. */}}
{{- define "qda-worker.catalogForms" -}}
{{- $forms := list }}
{{- range (fromYaml .Values.catalog).models }}
{{- if kindIs "map" . }}
{{- $serving := .serving | default dict }}
{{- $precision := kindIs "map" $serving | ternary (get (kindIs "map" $serving | ternary $serving dict) "precision" | toString) "" }}
{{- if has $precision (list "bf16" "int8") }}
{{- $forms = append $forms (dict "key" (toString .key) "precision" $precision) }}
{{- end }}
{{- end }}
{{- end }}
{{- $forms | toJson }}
{{- end }}

{{- /* Those of them that the Job makes. */}}
{{- define "qda-worker.askedForms" -}}
{{- if .Values.cacheWarmer.prepare.enabled }}{{ include "qda-worker.catalogForms" . }}{{ else }}[]{{ end }}
{{- end }}
