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

{{- /* The same for HTTP. The worker limits the body itself. */}}
{{- define "qda-worker.httpIngressAnnotations" -}}
{{- $ingress := .Values.worker.http.ingress }}
{{- if eq $ingress.controller "nginx" }}
{{- if include "qda-worker.tlsSecret" . }}
nginx.ingress.kubernetes.io/backend-protocol: HTTPS
{{- end }}
nginx.ingress.kubernetes.io/proxy-body-size: "0"
nginx.ingress.kubernetes.io/proxy-read-timeout: "3600"
nginx.ingress.kubernetes.io/proxy-send-timeout: "3600"
{{- else if and (eq $ingress.controller "traefik") $ingress.tlsSecretName }}
traefik.ingress.kubernetes.io/router.tls: "true"
{{- end }}
{{- end }}

{{- define "qda-worker.ingressServiceAnnotations" -}}
{{- if and .Values.worker.ingress.enabled (eq .Values.worker.ingress.controller "traefik") }}
traefik.ingress.kubernetes.io/service.serversscheme: {{ ternary "https" "h2c" (ne (include "qda-worker.tlsSecret" .) "") }}
{{- end }}
{{- end }}
