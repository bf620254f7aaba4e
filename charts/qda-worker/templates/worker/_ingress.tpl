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

{{- /* An Ingress of whole hosts. Of the dict: root, ingress (its values), name (of itself and its service), port (its name), and
       annotations (what the controller needs). */}}
{{- define "qda-worker.ingress" -}}
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: {{ .name }}
  labels:
    {{- include "qda-worker.labels" (dict "root" .root "component" "worker") | nindent 4 }}
  {{- with merge (dict) .ingress.annotations .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- with .ingress.className }}
  ingressClassName: {{ . }}
  {{- end }}
  {{- with .ingress.tlsSecretName }}
  tls:
    - secretName: {{ . }}
      hosts:
        {{- toYaml $.ingress.hosts | nindent 8 }}
  {{- end }}
  rules:
    {{- range .ingress.hosts }}
    - host: {{ . | quote }}
      http:
        paths:
          - path: /
            pathType: Prefix
            backend:
              service:
                name: {{ $.name }}
                port:
                  name: {{ $.port }}
    {{- end }}
{{- end }}

{{- /* A route of the Gateway API. Of the dict: root, kind, route (its values), service (name), port (number). */}}
{{- define "qda-worker.route" -}}
apiVersion: gateway.networking.k8s.io/v1
kind: {{ .kind }}
metadata:
  name: {{ include "qda-worker.fullname" .root }}
  labels:
    {{- include "qda-worker.labels" (dict "root" .root "component" "worker") | nindent 4 }}
  {{- with .route.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  parentRefs:
    {{- toYaml .route.parentRefs | nindent 4 }}
  {{- with .route.hostnames }}
  hostnames:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  rules:
    - backendRefs:
        - name: {{ .service }}
          port: {{ .port }}
{{- end }}
