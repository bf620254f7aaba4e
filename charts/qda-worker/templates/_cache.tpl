{{- /* Parts of every pod that uses the cache: catalog annotations, claim, environment and placement. */}}

{{- define "qda-worker.catalogAnnotations" -}}
{{- if .Values.catalog }}
qda-worker/catalog: {{ .Values.catalog | quote }}
{{- if .Values.catalogLock }}
qda-worker/catalog-lock: {{ .Values.catalogLock | quote }}
{{- end }}
{{- end }}
{{- end }}

{{- define "qda-worker.catalogEnv" -}}
{{- if .Values.catalog }}
- name: QDA_CATALOG
  value: /etc/qda-worker/catalog.yaml
{{- end }}
{{- end }}

{{- define "qda-worker.catalogMount" -}}
{{- if .Values.catalog }}
- name: catalog
  mountPath: /etc/qda-worker
  readOnly: true
{{- end }}
{{- end }}

{{- /* The command line that changes values of this release, without the values. `--reset-then-reuse-values` keeps the values
       of the release and adds the defaults of a newer chart; `--reuse-values` fails for lack of those. */}}
{{- define "qda-worker.upgradeCommand" -}}
{{- printf "helm upgrade %s CHART --namespace %s --reset-then-reuse-values" .Release.Name .Release.Namespace }}
{{- end }}

{{- /* The commands that a worker names in remedies, because it cannot write to the cache itself. They depend on
       names and the kind of the claim alone, so that the values of the warmer do not restart the workers. Without a hub the
       cache is filled by an import, so both ways are named. Kubernetes expands `$(NAME)` in the value of a variable, and
       `$$(` escapes it. */}}
{{- define "qda-worker.remediesEnv" -}}
{{- $upgrade := include "qda-worker.upgradeCommand" . }}
{{- $shell := include "qda-worker.suffixed" (dict "root" . "suffix" "shell") }}
{{- /* Without --wait for the import: it would wait for the workers, which wait for the import. */}}
{{- $rollout := printf "kubectl --namespace %s rollout status deploy/%s" .Release.Namespace $shell }}
{{- $shellFirst := printf "%s --set cacheWarmer.shell=true && %s && kubectl --namespace %s exec" $upgrade $rollout .Release.Namespace }}
{{- $modes := .Values.cache.accessModes }}
{{- $warm := printf "%s --set cacheWarmer.enabled=true,cacheWarmer.rerun=$$(date +%%s)" $upgrade }}
{{- $import := printf "%s -i deploy/%s -- cache-warmer import - < ARCHIVE" $shellFirst $shell }}
{{- $repair := printf "%s deploy/%s -- cache-warmer repair" $shellFirst $shell }}
{{- if .Values.cache.image.reference }}
{{- $warm = printf "%s --set cache.image.reference=IMAGE_OF_A_COMPLETE_CACHE" $upgrade }}
{{- $repair = $warm }}
{{- $import = "" }}
{{- else if .Values.cache.inImage }}
{{- $warm = "make images BUILD_ARGS='--build-arg BAKE_MODELS=KEYS'" }}
{{- $repair = $warm }}
{{- $import = "" }}
{{- else if not (or (has "ReadWriteOnce" $modes) (has "ReadWriteMany" $modes)) }}
{{- $warm = "cache-warmer warm --cache WRITABLE_MOUNT_OF_THE_VOLUME" }}
{{- $repair = "cache-warmer repair --cache WRITABLE_MOUNT_OF_THE_VOLUME" }}
{{- $import = "" }}
{{- end }}
- name: QDA_WARM_COMMAND
  value: {{ $warm | quote }}
- name: QDA_REPAIR_COMMAND
  value: {{ $repair | quote }}
{{- if and (include "qda-worker.catalogForms" . | fromJsonArray) (not (include "qda-worker.isClaimless" .)) }}
{{- /* Only with such a catalog, so that no other release's workers restart for it. */}}
- name: QDA_PREPARE_COMMAND
  value: {{ printf "%s --set cacheWarmer.enabled=true,cacheWarmer.prepare.enabled=true,cacheWarmer.rerun=$$(date +%%s)" $upgrade | quote }}
{{- end }}
{{- with $import }}
- name: QDA_IMPORT_COMMAND
  value: {{ . | quote }}
{{- end }}
{{- end }}

{{- /* The downward API mounts the catalog from the pod's own annotations, so that an upgrade never changes the catalog of a
       running pod. */}}
{{- define "qda-worker.catalogVolume" -}}
{{- if .Values.catalog }}
- name: catalog
  downwardAPI:
    items:
      - path: catalog.yaml
        fieldRef:
          apiVersion: v1
          fieldPath: metadata.annotations['qda-worker/catalog']
      {{- if .Values.catalogLock }}
      - path: catalog.lock.json
        fieldRef:
          apiVersion: v1
          fieldPath: metadata.annotations['qda-worker/catalog-lock']
      {{- end }}
{{- end }}
{{- end }}

{{- /* An image volume is always read-only. The pull secrets of the pod apply to it. */}}
{{- define "qda-worker.cacheVolume" -}}
- name: cache
  {{- with .Values.cache.image }}
  {{- if .reference }}
  image:
    reference: {{ .reference | quote }}
    pullPolicy: {{ .pullPolicy }}
  {{- else }}
  persistentVolumeClaim:
    claimName: {{ include "qda-worker.claimName" $ }}
  {{- end }}
  {{- end }}
{{- end }}

{{- /* Whether the models are in an image: that of the worker, or one that is mounted. */}}
{{- define "qda-worker.isClaimless" -}}
{{- if or .Values.cache.inImage .Values.cache.image.reference }}true{{ end }}
{{- end }}

{{- /* One Lease for each claim, so that releases that share a claim exclude each other. The name of a Lease has at most 253
       characters. */}}
{{- define "qda-worker.leaseName" -}}
{{- $claim := include "qda-worker.claimName" . }}
{{- if gt (len $claim) 246 }}{{ $claim = printf "%s-%s" ($claim | trunc 230 | trimSuffix "-" | trimSuffix ".") (sha256sum $claim | trunc 8) }}{{ end }}
{{- printf "%s-writer" $claim }}
{{- end }}

{{- /* Whether a Job fills the cache. Models in an image need none. */}}
{{- define "qda-worker.hasJob" -}}
{{- if and .Values.cacheWarmer.enabled (not (include "qda-worker.isClaimless" .)) }}true{{ end }}
{{- end }}

{{- /* Whether there is a periodic deep check. */}}
{{- define "qda-worker.hasCheck" -}}
{{- if .Values.cacheWarmer.periodicCheck.enabled }}true{{ end }}
{{- end }}

{{- /* Whether a pod of this release writes models to the claim. */}}
{{- define "qda-worker.hasWriter" -}}
{{- if or (include "qda-worker.hasJob" .) .Values.cacheWarmer.shell (and (include "qda-worker.hasCheck" .) .Values.cacheWarmer.periodicCheck.repair) }}true{{ end }}
{{- end }}

{{- /* Whether there is any pod of the warmer's image. */}}
{{- define "qda-worker.hasWarmer" -}}
{{- if or (include "qda-worker.hasWriter" .) (include "qda-worker.hasCheck" .) }}true{{ end }}
{{- end }}

{{- define "qda-worker.isClaimWritable" -}}
{{- $modes := .Values.cache.accessModes }}
{{- if or (has "ReadWriteMany" $modes) (has "ReadWriteOnce" $modes) }}true{{ end }}
{{- end }}

{{- /* The name of a CronJob has at most 52 characters. */}}
{{- define "qda-worker.checkCronJobName" -}}
{{- printf "%s-check" (include "qda-worker.fullname" . | trunc 46 | trimSuffix "-") }}
{{- end }}

{{- /* Whether pods on several nodes can use the cache: the models are in an image, or the claim is ReadWriteMany, or it is
       ReadOnlyMany and nothing here writes to it. */}}
{{- define "qda-worker.isOnAnyNode" -}}
{{- $modes := .Values.cache.accessModes }}
{{- if or (include "qda-worker.isClaimless" .) (has "ReadWriteMany" $modes) (and (has "ReadOnlyMany" $modes) (not (include "qda-worker.hasWriter" .))) }}true{{ end }}
{{- end }}

{{- /* A claim that only one node can mount: its pods have a required affinity to each other's label. The first pod matches
       its own label, which the scheduler accepts. */}}
{{- define "qda-worker.affinity" -}}
{{- $own := deepCopy (.component.affinity | default dict) }}
{{- if not (include "qda-worker.isOnAnyNode" .root) }}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" (dict "qda-worker/claim" (include "qda-worker.claimLabel" .root))) }}
{{- $pod := $own.podAffinity | default dict }}
{{- $required := append ($pod.requiredDuringSchedulingIgnoredDuringExecution | default list) $term }}
{{- $_ := set $pod "requiredDuringSchedulingIgnoredDuringExecution" $required }}
{{- $_ := set $own "podAffinity" $pod }}
{{- end }}
{{- with $own }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "qda-worker.placement" -}}
{{- with .component.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .component.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- include "qda-worker.affinity" . }}
{{- end }}
