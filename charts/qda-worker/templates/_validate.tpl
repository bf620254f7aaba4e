{{- /* Checks that the schema cannot express: values that contradict each other or the cluster. Each message is one sentence
       with a remedy. */}}
{{- define "qda-worker.validate" -}}
{{- $modes := .Values.cache.accessModes }}
{{- if and (gt (int .Values.worker.replicas) 1) (not (include "qda-worker.isSharedClaim" .)) (not .Values.cache.sameNode) }}
{{- fail (printf "worker.replicas is %d, but cache.accessModes is [%s], which only one node can mount: set cache.accessModes={ReadWriteMany}, or cache.sameNode=true to run all workers on the claim's node, or worker.replicas=1." (int .Values.worker.replicas) (join ", " $modes)) }}
{{- end }}
{{- if has "ReadWriteOncePod" $modes }}
{{- fail "cache.accessModes has ReadWriteOncePod, but the warmer and the workers mount the claim at the same time: use ReadWriteOnce or ReadWriteMany." }}
{{- end }}
{{- if and (include "qda-worker.hasWarmer" .) (not (or (has "ReadWriteMany" $modes) (has "ReadWriteOnce" $modes))) }}
{{- fail (printf "cache.accessModes is [%s], but the warmer must write to the claim: add ReadWriteOnce or ReadWriteMany, or set cacheWarmer.enabled=false and cacheWarmer.shell=false." (join ", " $modes)) }}
{{- end }}
{{- if and .Values.worker.tls.clientCaSecretName (not .Values.worker.tls.secretName) }}
{{- fail "worker.tls.clientCaSecretName is set, but worker.tls.secretName is not: clients can present certificates only over TLS, so set worker.tls.secretName to the Secret with tls.crt and tls.key." }}
{{- end }}
{{- if and .Values.worker.podMonitor.enabled (not (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1")) }}
{{- fail "worker.podMonitor.enabled is true, but the cluster has no monitoring.coreos.com/v1: install the Prometheus Operator, or set it to false; with `helm template` add --api-versions monitoring.coreos.com/v1." }}
{{- end }}
{{- if and .Values.catalogLock (not .Values.catalog) }}
{{- fail "catalogLock is set, but catalog is not: give both files with --set-file catalog=… --set-file catalogLock=…, or neither." }}
{{- end }}
{{- $bytes := add (len .Values.catalog) (len .Values.catalogLock) }}
{{- if gt (int $bytes) 245760 }}
{{- fail (printf "catalog and catalogLock have %d bytes together, but they are stored in annotations of the pods, which hold 245760: omit the lock (files are then verified with the hashes that the hub publishes), or split the catalog over several releases." (int $bytes)) }}
{{- end }}
{{- $known := list "german-sentiment" "german-ner" "multilingual-embedding" "multilingual-paraphrase" }}
{{- if .Values.catalog }}
{{- $catalog := fromYaml .Values.catalog }}
{{- if hasKey $catalog "Error" }}
{{- fail (printf "catalog is not YAML: %s; check it with `cache-warmer plan --catalog FILE --no-probe`." $catalog.Error) }}
{{- end }}
{{- if or (ne (toString $catalog.apiVersion) "qda/v1") (ne (toString $catalog.kind) "Catalog") (not (kindIs "slice" $catalog.models)) }}
{{- fail "catalog is not a catalog: it needs apiVersion: qda/v1, kind: Catalog and a list of models; check it with `cache-warmer plan --catalog FILE --no-probe`." }}
{{- end }}
{{- $known = list }}
{{- range $catalog.models }}{{- if kindIs "map" . }}{{ $known = append $known (toString .key) }}{{ end }}{{- end }}
{{- end }}
{{- range .Values.worker.models }}
{{- if not (has . $known) }}
{{- fail (printf "worker.models contains %q, which is not in the catalog: it has %s." . (join ", " $known)) }}
{{- end }}
{{- end }}
{{- $class := .Values.cache.storageClassName }}
{{- if and $class (ne $class "-") .Values.cache.validateStorageClass (not .Values.cache.existingClaim) }}
{{- $classes := list }}
{{- range (lookup "storage.k8s.io/v1" "StorageClass" "" "").items }}{{ $classes = append $classes .metadata.name }}{{ end }}
{{- if and $classes (not (has $class $classes)) }}
{{- fail (printf "cache.storageClassName is %q, but the cluster has no such storage class: it has %s." $class (join ", " $classes)) }}
{{- end }}
{{- end }}
{{- /* Every namespace has a default service account. If the lookup finds none, there is no cluster, as in helm template. */}}
{{- if and .Values.cache.existingClaim (lookup "v1" "ServiceAccount" .Release.Namespace "default") (not (lookup "v1" "PersistentVolumeClaim" .Release.Namespace .Values.cache.existingClaim)) }}
{{- fail (printf "cache.existingClaim is %q, but namespace %q has no such claim: create it first, or leave the value empty." .Values.cache.existingClaim .Release.Namespace) }}
{{- end }}
{{- end }}
