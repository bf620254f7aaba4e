{{- /* Checks of the claim: values against each other, and against the claim that the cluster has. A claim's access modes, class
       and volume cannot be changed, so an upgrade that changes them would fail half applied. `helm template` finds no claim. */}}
{{- define "qda-worker.validateClaim" -}}
{{- $modes := .Values.cache.accessModes }}
{{- if include "qda-worker.isClaimless" . }}
{{- $state := "cache.inImage is true" }}
{{- $unset := "cache.inImage=false" }}
{{- if .Values.cache.image.reference }}
{{- $state = "cache.image.reference is set" }}
{{- $unset = "cache.image.reference=" }}
{{- include "qda-worker.validateImageVolume" . }}
{{- end }}
{{- if .Values.cacheWarmer.shell }}
{{- fail (printf "%s, so there is no claim that the shell could write to: set cacheWarmer.shell=false, or %s to use a claim." $state $unset) }}
{{- end }}
{{- if include "qda-worker.hasCheck" . }}
{{- fail (printf "%s, so there is no claim that could be checked: set cacheWarmer.periodicCheck.enabled=false. The digest of an image covers the models in it." $state) }}
{{- end }}
{{- if .Values.cache.existingClaim }}
{{- fail (printf "%s, but cache.existingClaim is set: the models are either in the image or on the claim, so unset one of them." $state) }}
{{- end }}
{{- else }}
{{- if has "ReadWriteOncePod" $modes }}
{{- fail "cache.accessModes has ReadWriteOncePod, but the warmer and the workers mount the claim at the same time: use ReadWriteOnce or ReadWriteMany." }}
{{- end }}
{{- if and (include "qda-worker.hasWriter" .) (not (include "qda-worker.isClaimWritable" .)) }}
{{- $writers := list "cacheWarmer.enabled=false" "cacheWarmer.shell=false" }}
{{- if .Values.cacheWarmer.periodicCheck.repair }}{{ $writers = append $writers "cacheWarmer.periodicCheck.repair=false" }}{{ end }}
{{- fail (printf "cache.accessModes is [%s], but the warmer must write to the claim: add ReadWriteOnce or ReadWriteMany, or set %s." (join ", " $modes) (join " and " $writers)) }}
{{- end }}
{{- $claim := lookup "v1" "PersistentVolumeClaim" .Release.Namespace (include "qda-worker.claimName" .) }}
{{- $value := "worker.replicas" }}
{{- if .Values.worker.autoscaling.enabled }}{{ $value = "worker.autoscaling.maxReplicas" }}{{ else if .Values.worker.keda.enabled }}{{ $value = "worker.keda.maxReplicas" }}{{ end }}
{{- $workers := int (include "qda-worker.maxWorkers" .) }}
{{- if and (gt $workers 1) (or (include "qda-worker.isAutoscaled" .) .Values.worker.replicas) }}
{{- include "qda-worker.validateWorkersOnClaim" (dict "root" . "claim" $claim "value" $value "workers" $workers) }}
{{- end }}
{{- include "qda-worker.validateStorageClass" . }}
{{- if .Values.cache.existingClaim }}
{{- /* Every namespace has a default service account. If the lookup finds none, there is no cluster, as in helm template. */}}
{{- if and (not $claim) (lookup "v1" "ServiceAccount" .Release.Namespace "default") }}
{{- fail (printf "cache.existingClaim is %q, but namespace %q has no such claim: create it first, or leave the value empty." .Values.cache.existingClaim .Release.Namespace) }}
{{- end }}
{{- end }}
{{- with $claim }}
{{- include "qda-worker.validateLiveClaim" (dict "root" $ "claim" .) }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Image volumes are not on by default in older clusters. `helm template` compares with the version that Helm was built
       for. */}}
{{- define "qda-worker.validateImageVolume" -}}
{{- if .Values.cache.inImage }}
{{- fail "cache.image.reference and cache.inImage are set, but the models are either in an image of their own or in that of the worker: unset one of them." }}
{{- end }}
{{- if semverCompare "<1.35.0-0" .Capabilities.KubeVersion.Version }}
{{- fail (printf "cache.image.reference is set, but image volumes need Kubernetes 1.35 or newer, and the cluster has %s: build a worker image with the models and set cache.inImage=true (docs/oci.md), or use a claim; with `helm template` add --kube-version 1.35.0." .Capabilities.KubeVersion.Version) }}
{{- end }}
{{- end }}

{{- /* Several workers on a claim that one node can mount. */}}
{{- define "qda-worker.validateWorkersOnClaim" -}}
{{- $values := .root.Values.cache }}
{{- if not (or (include "qda-worker.isOnAnyNode" .root) $values.sameNode) }}
{{- $there := and .claim (not (has "ReadWriteMany" .claim.spec.accessModes)) }}
{{- $remedy := "set cache.accessModes={ReadWriteMany}" }}
{{- if $there }}{{ $remedy = "its access modes cannot be changed, so fill a new ReadWriteMany claim and name it in cache.existingClaim, with cache.accessModes={ReadWriteMany}" }}{{ end }}
{{- fail (printf "%s is %d, but cache.accessModes is [%s], which only one node can mount: %s, or cache.sameNode=true to run all workers on the claim's node, or %s=1." .value (int .workers) (join ", " $values.accessModes) $remedy .value) }}
{{- end }}
{{- end }}

{{- define "qda-worker.validateStorageClass" -}}
{{- $class := .Values.cache.storageClassName }}
{{- if and $class (ne $class "-") .Values.cache.validateStorageClass (not .Values.cache.existingClaim) }}
{{- $classes := list }}
{{- range (lookup "storage.k8s.io/v1" "StorageClass" "" "").items }}{{ $classes = append $classes .metadata.name }}{{ end }}
{{- if and $classes (not (has $class $classes)) }}
{{- fail (printf "cache.storageClassName is %q, but the cluster has no such storage class: it has %s." $class (join ", " $classes)) }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The values against a claim that exists, created by this release or not. */}}
{{- define "qda-worker.validateLiveClaim" -}}
{{- $values := .root.Values.cache }}
{{- $name := .claim.metadata.name }}
{{- $modes := .claim.spec.accessModes }}
{{- $move := "which cannot be changed: set the former value, or fill a new claim and name it in cache.existingClaim, or delete the claim and its models" }}
{{- if $values.existingClaim }}
{{- range $values.accessModes }}
{{- if and (ne . "ReadWriteOnce") (not (has . $modes)) }}
{{- fail (printf "cache.accessModes has %s, but the claim %q has [%s]: set cache.accessModes to the access modes of the claim." . $name (join ", " $modes)) }}
{{- end }}
{{- end }}
{{- else }}
{{- if ne (sortAlpha $values.accessModes | join ",") (sortAlpha $modes | join ",") }}
{{- fail (printf "cache.accessModes is [%s], but the claim %q exists with [%s], %s." (join ", " $values.accessModes) $name (join ", " $modes) $move) }}
{{- end }}
{{- $class := .claim.spec.storageClassName | default "" }}
{{- if and $values.storageClassName (ne $class (eq $values.storageClassName "-" | ternary "" $values.storageClassName)) }}
{{- fail (printf "cache.storageClassName is %q, but the claim %q exists with %q, %s." $values.storageClassName $name $class $move) }}
{{- end }}
{{- end }}
{{- end }}
