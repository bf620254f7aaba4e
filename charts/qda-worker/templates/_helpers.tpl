{{- define "qda-worker.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "qda-worker.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "qda-worker.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "qda-worker.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- /* A name with a suffix that is never truncated. Names of services have at most 63 characters. */}}
{{- define "qda-worker.suffixed" -}}
{{- printf "%s-%s" (include "qda-worker.fullname" .root | trunc (int (sub 62 (len .suffix))) | trimSuffix "-") .suffix }}
{{- end }}

{{- define "qda-worker.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "qda-worker.selectorLabels" -}}
app.kubernetes.io/name: {{ include "qda-worker.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "qda-worker.labels" -}}
helm.sh/chart: {{ include "qda-worker.chart" .root }}
{{ include "qda-worker.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: {{ include "qda-worker.name" .root }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* Labels of pods, without chart and version: otherwise every new chart version would restart the workers and run the
       warmer again. `own` are those of the component, `common` those of all. */}}
{{- define "qda-worker.podLabels" -}}
{{ include "qda-worker.selectorLabels" . }}
app.kubernetes.io/part-of: {{ include "qda-worker.name" .root }}
{{- if not (include "qda-worker.isClaimless" .root) }}
qda-worker/claim: {{ include "qda-worker.claimLabel" .root }}
{{- end }}
{{- with merge (dict) (.own | default dict) (.common | default dict) }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "qda-worker.claimName" -}}
{{- .Values.cache.existingClaim | default (include "qda-worker.suffixed" (dict "root" . "suffix" "cache")) }}
{{- end }}

{{- /* The name of a claim may be longer than the value of a label. */}}
{{- define "qda-worker.claimLabel" -}}
{{- $claim := include "qda-worker.claimName" . }}
{{- if gt (len $claim) 63 }}{{ sha256sum $claim | trunc 32 }}{{ else }}{{ $claim }}{{ end }}
{{- end }}

{{- define "qda-worker.image" -}}
{{- $registry := .root.Values.image.registry | trimSuffix "/" }}
{{- $name := empty $registry | ternary .image.repository (printf "%s/%s" $registry .image.repository) }}
{{- if .image.digest }}
{{- printf "%s@%s" $name .image.digest }}
{{- else }}
{{- printf "%s:%s" $name (.image.tag | default .root.Values.image.tag | default .root.Chart.AppVersion) }}
{{- end }}
{{- end }}

{{- define "qda-worker.workerServiceAccount" -}}
{{- .Values.worker.serviceAccount.name | default (ternary (include "qda-worker.fullname" .) "default" .Values.worker.serviceAccount.create) }}
{{- end }}

{{- define "qda-worker.warmerServiceAccount" -}}
{{- .Values.cacheWarmer.serviceAccount.name | default (ternary (include "qda-worker.suffixed" (dict "root" . "suffix" "warmer")) "default" .Values.cacheWarmer.serviceAccount.create) }}
{{- end }}

{{- /* The options of grpcurl for these workers: TLS, client certificate, and the proto files if reflection is off. */}}
{{- define "qda-worker.grpcurlOptions" -}}
{{- if include "qda-worker.tlsSecret" . -}}
-cacert ca.crt -authority NAME_IN_THE_CERTIFICATE
{{- if .Values.worker.tls.clientCaSecretName }} -cert client.crt -key client.key{{ end }}
{{- else -}}
-plaintext
{{- end }}
{{- if .Values.worker.access.tokensSecretName }} -H "authorization: Bearer $TOKEN"{{ end }}
{{- if not .Values.worker.reflection }} -import-path proto -import-path third_party/proto -proto qda/v1/sentiment.proto{{ end }}
{{- end }}
