{{- /* Checks that the schema cannot express: values that contradict each other or the cluster. Each message is one sentence
       with a remedy. */}}
{{- define "qda-worker.validate" -}}
{{- include "qda-worker.validateClaim" . }}
{{- include "qda-worker.validateCatalog" . }}
{{- include "qda-worker.validateApis" . }}
{{- include "qda-worker.validateMonitors" . }}
{{- include "qda-worker.validateScaling" . }}
{{- include "qda-worker.validateRoutes" . }}
{{- include "qda-worker.validateAccess" . }}
{{- if and .Values.worker.tls.clientCaSecretName (not (include "qda-worker.tlsSecret" .)) }}
{{- fail "worker.tls.clientCaSecretName is set, but worker.tls.secretName is not: clients can present certificates only over TLS, so set worker.tls.secretName to the Secret with tls.crt and tls.key." }}
{{- end }}
{{- $grace := add .Values.worker.drainDelaySeconds .Values.worker.shutdownGraceSeconds }}
{{- if lt (int (include "qda-worker.gracePeriod" .)) (int $grace) }}
{{- fail (printf "worker.terminationGracePeriodSeconds is %s, but drainDelaySeconds and shutdownGraceSeconds need %d: increase it, or leave it empty." (include "qda-worker.gracePeriod" .) (int $grace)) }}
{{- end }}
{{- $sources := list }}
{{- range $name := list "caBundle" "caConfigMap" "caSecret" }}{{ if get $.Values.hub $name }}{{ $sources = append $sources (printf "hub.%s" $name) }}{{ end }}{{- end }}
{{- if gt (len $sources) 1 }}
{{- fail (printf "%s are set, but the warmer reads one bundle of CA certificates: keep one of them." (join " and " $sources)) }}
{{- end }}
{{- $budget := .Values.worker.podDisruptionBudget }}
{{- if not (or (kindIs "invalid" $budget.minAvailable) (kindIs "invalid" $budget.maxUnavailable)) }}
{{- fail "worker.podDisruptionBudget has minAvailable and maxUnavailable, of which the cluster accepts one: unset the other one." }}
{{- end }}
{{- end }}

{{- define "qda-worker.validateCatalog" -}}
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
{{- include "qda-worker.validateLock" (dict "lock" .Values.catalogLock "models" $catalog.models) }}
{{- end }}
{{- /* An image with models may have a catalog of its own, which is not known here. */}}
{{- if or .Values.catalog (not .Values.cache.inImage) }}
{{- range .Values.worker.models }}
{{- if not (has . $known) }}
{{- fail (printf "worker.models contains %q, which is not in the catalog: it has %s." . (join ", " $known)) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- /* A lock of another catalog, as `--reuse-values` leaves it behind: it would verify nothing. */}}
{{- define "qda-worker.validateLock" -}}
{{- if .lock }}
{{- $lock := fromJson .lock }}
{{- if or (hasKey $lock "Error") (not (kindIs "map" $lock.models)) }}
{{- fail "catalogLock is not the lock of a catalog: it needs a map of models; write it with `cache-warmer lock --catalog FILE`." }}
{{- end }}
{{- $others := list }}
{{- range .models }}
{{- if kindIs "map" . }}
{{- $key := toString .key }}
{{- $locked := get $lock.models $key | default dict }}
{{- $hub := .huggingface | default dict }}
{{- $package := .spacy | default dict }}
{{- range list (list $hub.repository $locked.source) (list $hub.revision $locked.revision) (list $package.package $locked.source) (list $package.version $locked.revision) }}
{{- if and (kindIs "string" (first .)) (kindIs "string" (last .)) (ne (first .) (last .)) }}{{ $others = append $others (printf "%s (%s instead of %s)" $key (last .) (first .)) }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
{{- with $others }}
{{- fail (printf "catalogLock does not belong to catalog: it is about another version of %s. `--reuse-values` and `--reset-then-reuse-values` keep the lock of the former catalog: give both files with --set-file catalog=… --set-file catalogLock=…, or no lock with --set catalogLock=." (join ", " .)) }}
{{- end }}
{{- end }}
{{- end }}
