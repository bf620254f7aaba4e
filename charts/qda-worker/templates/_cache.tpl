{{- /* What every pod that uses the cache shares: the catalog in its annotations, the claim, the environment, the node. */}}

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

{{- /* What remedies in a worker, which cannot write, tell its reader to run. They depend on nothing but names, so that no
       value of the warmer restarts the workers. */}}
{{- define "qda-worker.remediesEnv" -}}
{{- $upgrade := printf "helm upgrade %s CHART --namespace %s --reuse-values" .Release.Name .Release.Namespace }}
{{- $shell := include "qda-worker.suffixed" (dict "root" . "suffix" "shell") }}
- name: QDA_WARM_COMMAND
  value: {{ printf "%s --set cacheWarmer.enabled=true,cacheWarmer.rerun=NEW_NUMBER" $upgrade | quote }}
- name: QDA_REPAIR_COMMAND
  value: {{ printf "%s --set cacheWarmer.shell=true --wait && kubectl --namespace %s exec deploy/%s -- cache-warmer repair" $upgrade .Release.Namespace $shell | quote }}
{{- end }}

{{- /* By the downward API from the pod's own annotations: a pod keeps its catalog for life, whatever an upgrade does. */}}
{{- define "qda-worker.catalogVolume" -}}
{{- if .Values.catalog }}
- name: catalog
  downwardAPI:
    items:
      - path: catalog.yaml
        fieldRef:
          fieldPath: metadata.annotations['qda-worker/catalog']
      {{- if .Values.catalogLock }}
      - path: catalog.lock.json
        fieldRef:
          fieldPath: metadata.annotations['qda-worker/catalog-lock']
      {{- end }}
{{- end }}
{{- end }}

{{- define "qda-worker.cacheVolume" -}}
- name: cache
  persistentVolumeClaim:
    claimName: {{ include "qda-worker.claimName" . }}
- name: tmp
  emptyDir: {}
{{- end }}

{{- /* One for each claim: releases that share a claim exclude each other. A Lease's name has 253 characters. */}}
{{- define "qda-worker.leaseName" -}}
{{- $claim := include "qda-worker.claimName" . }}
{{- if gt (len $claim) 246 }}{{ $claim = printf "%s-%s" ($claim | trunc 230 | trimSuffix "-" | trimSuffix ".") (sha256sum $claim | trunc 8) }}{{ end }}
{{- printf "%s-writer" $claim }}
{{- end }}

{{- define "qda-worker.hasWarmer" -}}
{{- if or .Values.cacheWarmer.enabled .Values.cacheWarmer.shell }}true{{ end }}
{{- end }}

{{- define "qda-worker.isSharedClaim" -}}
{{- if has "ReadWriteMany" .Values.cache.accessModes }}true{{ end }}
{{- end }}

{{- /* A claim that one node alone can mount: its pods require one another's label, so that they meet on one node. The
       first of them matches itself, which the scheduler accepts. */}}
{{- define "qda-worker.affinity" -}}
{{- $own := deepCopy (.component.affinity | default dict) }}
{{- if not (include "qda-worker.isSharedClaim" .root) }}
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
