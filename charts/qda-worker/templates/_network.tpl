{{- /* Parts of the network policies. */}}

{{- define "qda-worker.urlPort" -}}
{{- $url := urlParse . }}
{{- regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (ternary "80" "443" (eq $url.scheme "http")) }}
{{- end }}

{{- define "qda-worker.ipBlocks" -}}
{{- range . }}
- ipBlock:
    cidr: {{ . | quote }}
{{- end }}
{{- end }}

{{- /* DNS servers listen on 53, and on OpenShift on 5353 behind their service. */}}
{{- define "qda-worker.dnsEgress" -}}
- ports:
    {{- range list 53 5353 }}
    - port: {{ . }}
      protocol: UDP
    - port: {{ . }}
      protocol: TCP
    {{- end }}
{{- end }}

{{- /* The ports of the warmer's downloads: of the proxy, or of the hub and the wheels. */}}
{{- define "qda-worker.hubPorts" -}}
{{- $urls := list .Values.hub.proxy }}
{{- if not .Values.hub.proxy }}
{{- $urls = list (.Values.hub.endpoint | default "https://hub") (.Values.hub.wheelBase | default "https://wheels") }}
{{- end }}
{{- $ports := list }}
{{- range $urls }}{{ $ports = append $ports (include "qda-worker.urlPort" .) }}{{ end }}
{{- range uniq $ports }}
- port: {{ . }}
  protocol: TCP
{{- end }}
{{- end }}
