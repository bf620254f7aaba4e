{{- /* What the controllers need for gRPC. ingress-nginx: the protocol, streams of any size, and an hour between two messages of a
       stream. Traefik takes the protocol from an annotation of the Service. */}}
{{- define "qda-worker.ingressAnnotations" -}}
{{- if eq .Values.worker.ingress.controller "nginx" }}
nginx.ingress.kubernetes.io/backend-protocol: {{ ternary "GRPCS" "GRPC" (ne (include "qda-worker.tlsSecret" .) "") }}
nginx.ingress.kubernetes.io/proxy-body-size: "0"
nginx.ingress.kubernetes.io/proxy-read-timeout: "3600"
nginx.ingress.kubernetes.io/proxy-send-timeout: "3600"
{{- else if and (eq .Values.worker.ingress.controller "traefik") .Values.worker.ingress.tlsSecretName }}
traefik.ingress.kubernetes.io/router.tls: "true"
{{- end }}
{{- end }}

{{- /* The same for HTTP. nginx passes bodies on as they come: the worker limits them itself, a stream may be longer than any limit, and
       nginx would write what it buffers to a disk. */}}
{{- define "qda-worker.httpIngressAnnotations" -}}
{{- $ingress := .Values.worker.http.ingress }}
{{- if eq $ingress.controller "nginx" }}
{{- if include "qda-worker.tlsSecret" . }}
nginx.ingress.kubernetes.io/backend-protocol: HTTPS
{{- end }}
nginx.ingress.kubernetes.io/proxy-body-size: "0"
nginx.ingress.kubernetes.io/proxy-request-buffering: "off"
nginx.ingress.kubernetes.io/proxy-read-timeout: "3600"
nginx.ingress.kubernetes.io/proxy-send-timeout: "3600"
{{- else if and (eq $ingress.controller "traefik") $ingress.tlsSecretName }}
traefik.ingress.kubernetes.io/router.tls: "true"
{{- end }}
{{- end }}

{{- /* Annotations of the service of gRPC, and of that of HTTP: Traefik takes the protocol of all ports from them. */}}
{{- define "qda-worker.serviceAnnotations" -}}
{{- $made := dict }}
{{- if and .Values.worker.ingress.enabled (eq .Values.worker.ingress.controller "traefik") }}
{{- $made = dict "traefik.ingress.kubernetes.io/service.serversscheme" (ternary "https" "h2c" (ne (include "qda-worker.tlsSecret" .) "")) }}
{{- end }}
{{- merge (dict) .Values.worker.service.annotations $made | toYaml }}
{{- end }}

{{- define "qda-worker.httpServiceAnnotations" -}}
{{- $made := dict }}
{{- if and .Values.worker.http.ingress.enabled (eq .Values.worker.http.ingress.controller "traefik") }}
{{- $made = dict "traefik.ingress.kubernetes.io/service.serversscheme" (ternary "https" "http" (ne (include "qda-worker.tlsSecret" .) "")) }}
{{- end }}
{{- merge (dict) .Values.worker.http.serviceAnnotations $made .Values.worker.service.annotations | toYaml }}
{{- end }}
