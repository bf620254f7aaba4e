{{- /* Parts of NOTES.txt. */}}

{{- /* A sentence for each container of the release that was killed for lack of memory or cannot start, as the cluster shows it
       before the upgrade. Empty for an installation and for `helm template`. */}}
{{- define "qda-worker.troubledPods" -}}
{{- if .Values.lookupPods }}
{{- range (lookup "v1" "Pod" .Release.Namespace "").items }}
{{- $labels := .metadata.labels | default dict }}
{{- $component := get $labels "app.kubernetes.io/component" }}
{{- $isOurs := and (eq (get $labels "app.kubernetes.io/instance") $.Release.Name) (eq (get $labels "app.kubernetes.io/name") (include "qda-worker.name" $)) }}
{{- if and $isOurs (has $component (list "worker" "warmer")) (not .metadata.deletionTimestamp) }}
{{- $pod := .metadata.name }}
{{- range concat (.status.initContainerStatuses | default list) (.status.containerStatuses | default list) }}
{{- $values := ternary "worker" "cacheWarmer" (eq $component "worker") }}
{{- if hasPrefix "prepare-" .name }}{{ $values = "cacheWarmer.prepare" }}{{ end }}
{{- $states := list (.state | default dict) (.lastState | default dict) }}
{{- $reasons := list }}
{{- range $states }}{{ $reasons = concat $reasons (list (dig "terminated" "reason" "" .) (dig "waiting" "reason" "" .)) }}{{ end }}
{{- if has "OOMKilled" $reasons }}
- The kernel killed {{ .name }} in pod {{ $pod }} for lack of memory (OOMKilled). Increase {{ $values }}.resources.limits.memory.
{{- else if has "CrashLoopBackOff" $reasons }}
- {{ .name }} in pod {{ $pod }} ends again and again (CrashLoopBackOff). Its log shows why: kubectl -n {{ $.Release.Namespace }} logs {{ $pod }} -c {{ .name }} --previous
{{- else if or (has "ImagePullBackOff" $reasons) (has "ErrImagePull" $reasons) }}
- The image of {{ .name }} in pod {{ $pod }} cannot be pulled ({{ .image }}). Correct image.registry, image.tag or image.pullSecrets.
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
