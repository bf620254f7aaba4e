{{- /* Checks of what can be enabled: APIs that the cluster may lack, scaling, certificates and routes. */}}

{{- define "qda-worker.validateApis" -}}
{{- $worker := .Values.worker }}
{{- $needs := list
  (list $worker.podMonitor.enabled "worker.podMonitor.enabled" "monitoring.coreos.com/v1" "the Prometheus Operator")
  (list $worker.serviceMonitor.enabled "worker.serviceMonitor.enabled" "monitoring.coreos.com/v1" "the Prometheus Operator")
  (list $worker.prometheusRule.enabled "worker.prometheusRule.enabled" "monitoring.coreos.com/v1" "the Prometheus Operator")
  (list $worker.keda.enabled "worker.keda.enabled" "keda.sh/v1alpha1" "KEDA")
  (list $worker.tls.certificate.enabled "worker.tls.certificate.enabled" "cert-manager.io/v1" "cert-manager")
  (list $worker.http.httpRoute.enabled "worker.http.httpRoute.enabled" "gateway.networking.k8s.io/v1" "the Gateway API")
  (list $worker.grpcRoute.enabled "worker.grpcRoute.enabled" "gateway.networking.k8s.io/v1" "the Gateway API")
}}
{{- range $needs }}
{{- if and (index . 0) (not ($.Capabilities.APIVersions.Has (index . 2))) }}
{{- fail (printf "%s is true, but the cluster has no %s: install %s, or set it to false; with `helm template` add --api-versions %s." (index . 1) (index . 2) (index . 3) (index . 2)) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "qda-worker.validateMonitors" -}}
{{- if and .Values.worker.podMonitor.enabled .Values.worker.serviceMonitor.enabled }}
{{- fail "worker.podMonitor.enabled and worker.serviceMonitor.enabled are true, so each worker would be scraped twice: set one to false." }}
{{- end }}
{{- end }}

{{- define "qda-worker.validateScaling" -}}
{{- $worker := .Values.worker }}
{{- $scaling := $worker.autoscaling }}
{{- if and $scaling.enabled $worker.keda.enabled }}
{{- fail "worker.autoscaling.enabled and worker.keda.enabled are true, but only one of them can own the number of workers: set one to false." }}
{{- end }}
{{- $owner := ternary "worker.autoscaling" "worker.keda" $scaling.enabled }}
{{- $own := ternary $scaling $worker.keda $scaling.enabled }}
{{- if include "qda-worker.isAutoscaled" . }}
{{- if lt (int $own.maxReplicas) (int $own.minReplicas) }}
{{- fail (printf "%s.maxReplicas is %d, which is less than minReplicas, %d: increase it." $owner (int $own.maxReplicas) (int $own.minReplicas)) }}
{{- end }}
{{- end }}
{{- if $scaling.enabled }}
{{- $cpu := dig "requests" "cpu" "" ($worker.resources | default dict) | default (dig "limits" "cpu" "" ($worker.resources | default dict)) }}
{{- if and $scaling.targetCPUUtilizationPercentage (not $cpu) }}
{{- fail "worker.autoscaling.targetCPUUtilizationPercentage is set, but worker.resources.requests.cpu is not, of which it is a percentage: set it." }}
{{- end }}
{{- if not (or $scaling.targetCPUUtilizationPercentage $scaling.metrics) }}
{{- fail "worker.autoscaling.enabled is true, but there is nothing to scale by: set worker.autoscaling.targetCPUUtilizationPercentage or metrics." }}
{{- end }}
{{- end }}
{{- if and $worker.keda.enabled (not (or $worker.keda.prometheus.serverAddress $worker.keda.triggers)) }}
{{- fail "worker.keda.enabled is true, but there is nothing to scale by: set worker.keda.prometheus.serverAddress or triggers." }}
{{- end }}
{{- end }}

{{- define "qda-worker.validateRoutes" -}}
{{- $worker := .Values.worker }}
{{- if and $worker.tls.certificate.enabled (not $worker.tls.certificate.issuerRef.name) }}
{{- fail "worker.tls.certificate.enabled is true, but worker.tls.certificate.issuerRef.name is empty: set it to the name of an Issuer, or of a ClusterIssuer with issuerRef.kind=ClusterIssuer." }}
{{- end }}
{{- if $worker.ingress.enabled }}
{{- if not $worker.ingress.hosts }}
{{- fail "worker.ingress.enabled is true, but worker.ingress.hosts is empty: set it to the host names of the workers." }}
{{- end }}
{{- if and (eq $worker.ingress.controller "nginx") (not $worker.ingress.tlsSecretName) }}
{{- fail "worker.ingress.tlsSecretName is empty, but ingress-nginx speaks HTTP/2, which gRPC needs, only over TLS: set it to the Secret with the certificate of the hosts." }}
{{- end }}
{{- end }}
{{- include "qda-worker.validateHttp" . }}
{{- include "qda-worker.validateClientCertificate" (dict "root" . "path" "worker" "ingress" $worker.ingress "services" "worker.service.annotations" "service" (include "qda-worker.serviceAnnotations" . | fromYaml)) }}
{{- include "qda-worker.validateClientCertificate" (dict "root" . "path" "worker.http" "ingress" $worker.http.ingress "services" "worker.http.serviceAnnotations" "service" (include "qda-worker.httpServiceAnnotations" . | fromYaml)) }}
{{- if and $worker.grpcRoute.enabled (not $worker.grpcRoute.parentRefs) }}
{{- fail "worker.grpcRoute.enabled is true, but worker.grpcRoute.parentRefs is empty: set it to a Gateway, such as [{name: public, namespace: gateways}]." }}
{{- end }}
{{- end }}

{{- /* Workers with a client CA refuse every connection of a controller that has no client certificate. Only annotations of the user can name
       it. Of other controllers the names of these annotations are unknown: any counts but those of cert-manager, which are about
       the certificate of the hosts. */}}
{{- define "qda-worker.validateClientCertificate" -}}
{{- if and .ingress.enabled .root.Values.worker.tls.clientCaSecretName }}
{{- $own := .ingress.annotations }}
{{- $nginx := "nginx.ingress.kubernetes.io/proxy-ssl-secret" }}
{{- $passthrough := "nginx.ingress.kubernetes.io/ssl-passthrough" }}
{{- $traefik := "traefik.ingress.kubernetes.io/service.serverstransport" }}
{{- $known := false }}
{{- $remedy := "" }}
{{- if eq .ingress.controller "nginx" }}
{{- $known = or (get $own $nginx) (eq (get $own $passthrough) "true") }}
{{- $remedy = printf "set %s in %s.ingress.annotations to the Secret with that certificate, or %s to \"true\"" $nginx .path $passthrough }}
{{- else if eq .ingress.controller "traefik" }}
{{- $known = get .service $traefik }}
{{- $remedy = printf "set %s in %s to a ServersTransport with that certificate" $traefik .services }}
{{- else }}
{{- range $name, $_ := merge (dict) $own .service }}{{ if not (contains "cert-manager.io/" $name) }}{{ $known = true }}{{ end }}{{- end }}
{{- $remedy = printf "set the annotation of your controller that names that certificate in %s.ingress.annotations or %s" .path .services }}
{{- end }}
{{- if not $known }}
{{- fail (printf "%s.ingress.enabled is true, but with worker.tls.clientCaSecretName the workers refuse an Ingress controller without a client certificate: %s." .path $remedy) }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The HTTP port and its routes, which must not take the hosts of gRPC: both have the whole host. */}}
{{- define "qda-worker.validateHttp" -}}
{{- $worker := .Values.worker }}
{{- $http := $worker.http }}
{{- range $name := list "ingress" "httpRoute" }}
{{- if and (get $http $name).enabled (not $http.enabled) }}
{{- fail (printf "worker.http.%s.enabled is true, but worker.http.enabled is false: set it to true, or the route leads to a port that is not open." $name) }}
{{- end }}
{{- end }}
{{- if and $http.enabled (eq (int $http.port) (int $worker.service.port)) }}
{{- fail (printf "worker.http.port and worker.service.port are both %d: give the service two different ports." (int $http.port)) }}
{{- end }}
{{- if and $http.ingress.enabled (not $http.ingress.hosts) }}
{{- fail "worker.http.ingress.enabled is true, but worker.http.ingress.hosts is empty: set it to the host names of the HTTP port." }}
{{- end }}
{{- if and $http.ingress.enabled $worker.ingress.enabled }}
{{- range $http.ingress.hosts }}
{{- if has . $worker.ingress.hosts }}
{{- fail (printf "%s is a host of worker.ingress and of worker.http.ingress, but the paths of both are those of the services: give HTTP a host of its own." .) }}
{{- end }}
{{- end }}
{{- end }}
{{- $route := $http.httpRoute }}
{{- if and $route.enabled (not $route.parentRefs) }}
{{- fail "worker.http.httpRoute.enabled is true, but worker.http.httpRoute.parentRefs is empty: set it to a Gateway, such as [{name: public, namespace: gateways}]." }}
{{- end }}
{{- if and $route.enabled $worker.grpcRoute.enabled }}
{{- $shared := false }}
{{- range $parent := $route.parentRefs }}{{ if has $parent $worker.grpcRoute.parentRefs }}{{ $shared = true }}{{ end }}{{- end }}
{{- $overlap := or (not $route.hostnames) (not $worker.grpcRoute.hostnames) }}
{{- range $route.hostnames }}{{ if has . $worker.grpcRoute.hostnames }}{{ $overlap = true }}{{ end }}{{- end }}
{{- if and $shared $overlap }}
{{- fail "worker.grpcRoute and worker.http.httpRoute have the same gateway and host names, of which a gateway accepts one: give each hostnames of its own, or another sectionName in parentRefs." }}
{{- end }}
{{- end }}
{{- end }}

{{- define "qda-worker.validateAccess" -}}
{{- $access := .Values.worker.access }}
{{- if and $access.allowedClients (not .Values.worker.tls.clientCaSecretName) }}
{{- fail "worker.access.allowedClients is set, but worker.tls.clientCaSecretName is not: without it no client presents a certificate, so set it." }}
{{- end }}
{{- end }}
