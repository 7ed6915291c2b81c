#!/usr/bin/env python3
"""The CRDs that are made from our protos are what a real API server takes, and it says of each object what our own reader says: accepted, or
refused. The objects are a table of good and bad ones, and those of folders: what users write (tests/golden/seeds), and for each rule in CEL what
breaks it and what nearly does (tests/golden/rules).
Usage: crds_test.py CRDS READER FOLDER...      the built folder, golden_seeds, and the folders of objects"""
import pathlib
import re
import subprocess
import sys
import tempfile

from apiserver import ApiServer, Refused

ISTIO = {"VirtualService": "networking.istio.io/v1", "DestinationRule": "networking.istio.io/v1", "Gateway": "networking.istio.io/v1",
         "ServiceEntry": "networking.istio.io/v1", "WorkloadEntry": "networking.istio.io/v1", "EnvoyFilter": "networking.istio.io/v1alpha3",
         "Sidecar": "networking.istio.io/v1beta1", "WorkloadGroup": "networking.istio.io/v1alpha3", "ProxyConfig": "networking.istio.io/v1beta1",
         "PeerAuthentication": "security.istio.io/v1", "AuthorizationPolicy": "security.istio.io/v1",
         "RequestAuthentication": "security.istio.io/v1beta1", "Telemetry": "telemetry.istio.io/v1",
         "WasmPlugin": "extensions.istio.io/v1alpha1"}

# kind: specs, good ones first. "gw." is the Gateway API.
GOOD = """
VirtualService: {hosts: [a], http: [{match: [{uri: {prefix: /}}], route: [{destination: {host: a, port: {number: 80}}, weight: 1}], timeout: 1h30m}]}
VirtualService: {http: [{route: [{destination: {host: a}}], retries: {attempts: 3, perTryTimeout: 250ms}, timeout: 0s}]}
DestinationRule: {host: a, trafficPolicy: {loadBalancer: {consistentHash: {httpCookie: {name: c, ttl: 0s}}}, outlierDetection: {consecutive5xxErrors: 5, interval: 1m}}}
DestinationRule: {host: a, trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true, ringHash: {minimumRingSize: "1024"}}}}}
ServiceEntry: {hosts: [a.com], addresses: [10.0.0.0/8], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: 10.0.0.1}]}
WorkloadEntry: {address: 10.0.0.1, ports: {http: 80}}
WorkloadGroup: {template: {serviceAccount: a}, probe: {httpGet: {port: 80}}}
Sidecar: {egress: [{hosts: ["./*"]}]}
ProxyConfig: {concurrency: 0}
EnvoyFilter: {configPatches: [{applyTo: CLUSTER, match: {cluster: {service: a}}, patch: {operation: MERGE, value: {any: [thing, 1]}}}]}
Gateway: {selector: {istio: g}, servers: [{port: {number: 443, protocol: HTTPS, name: h}, hosts: ["*"], tls: {mode: SIMPLE, credentialName: c}}]}
PeerAuthentication: {selector: {matchLabels: {app: a}}, portLevelMtls: {80: {mode: STRICT}}}
AuthorizationPolicy: {targetRefs: [{kind: Service, group: "", name: a}], rules: [{from: [{source: {principals: ["*"]}}], to: [{operation: {ports: ["80"]}}]}]}
RequestAuthentication: {jwtRules: [{issuer: a, jwksUri: "https://a/keys", timeout: 5s}]}
Telemetry: {metrics: [{overrides: [{match: {metric: REQUEST_COUNT}, tagOverrides: {a: {value: "'x'"}}}], providers: [{name: prometheus}]}]}
WasmPlugin: {url: "oci://a/b", pluginConfig: {free: {form: 1}}, match: [{mode: SERVER, ports: [{number: 80}]}]}
gw.GatewayClass: {controllerName: culvert.dev/gateway}
gw.Gateway: {gatewayClassName: culvert-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
gw.Gateway: {gatewayClassName: c, listeners: [{name: h, port: 443, protocol: HTTPS, hostname: "*.a.com", tls: {certificateRefs: [{name: s}]}}]}
gw.HTTPRoute: {parentRefs: [{name: a, kind: Service, group: ""}], rules: [{backendRefs: [{name: a, port: 80}], timeouts: {request: 10s, backendRequest: 5s}}]}
gw.HTTPRoute: {rules: [{filters: [{type: RequestRedirect, requestRedirect: {statusCode: 301, path: {type: ReplaceFullPath, replaceFullPath: /}}}]}]}
gw.GRPCRoute: {rules: [{matches: [{method: {service: shop.Cart}}], backendRefs: [{name: a, port: 80, weight: 0}]}]}
gw.TLSRoute: {hostnames: [a.com], rules: [{backendRefs: [{name: a, port: 443}]}]}
gw.TCPRoute: {rules: [{backendRefs: [{name: a, port: 443}]}]}
gw.ReferenceGrant: {from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: a}], to: [{group: "", kind: Service}]}
gw.BackendTLSPolicy: {targetRefs: [{group: "", kind: Service, name: a}], validation: {hostname: a.com, wellKnownCACertificates: System}}
gw.ListenerSet: {parentRef: {name: g}, listeners: [{name: h, port: 80, protocol: HTTP}]}
"""
BAD = """
VirtualService: {hosts: [a], http: [{rout: []}]}
VirtualService: {hosts: [a], http: [{timeout: soon}]}
VirtualService: {hosts: [a], http: [{timeout: 5}]}
VirtualService: {hosts: [a], http: [{retries: {perTryTimeout: 1us}}]}
VirtualService: {hosts: [a], http: [{match: [{uri: {exact: a, prefix: b}}]}]}
VirtualService: {hosts: [a], http: [{route: [{weight: 1}]}]}
VirtualService: {hosts: [a], http: [{route: [{destination: {host: a, port: {number: 65536}}}]}]}
VirtualService: {hosts: [a], http: [{directResponse: {status: 99}}]}
VirtualService: {hosts: a}
DestinationRule: {trafficPolicy: {}}
DestinationRule: {host: a, trafficPolicy: {tls: {mode: SOME}}}
DestinationRule: {host: a, trafficPolicy: {loadBalancer: {simple: RANDOM, consistentHash: {useSourceIp: true}}}}
DestinationRule: {host: a, trafficPolicy: {loadBalancer: {warmupDurationSecs: 1s, warmup: {duration: 1s}}}}
DestinationRule: {host: a, trafficPolicy: {outlierDetection: {maxEjectionPercent: 101}}}
ServiceEntry: {ports: []}
ServiceEntry: {hosts: []}
ServiceEntry: {hosts: [a.com], ports: [{number: 80, name: a}, {number: 80, name: b}]}
ServiceEntry: {hosts: [a.com], resolution: STATIC, endpoints: [{address: 1.1.1.1}], workloadSelector: {labels: {a: b}}}
WorkloadEntry: {address: 10.0.0.1, ports: {http: 0}}
WorkloadGroup: {}
Gateway: {servers: [{hosts: ["*"]}]}
PeerAuthentication: {portLevelMtls: {80: {mode: STRICT}}}
PeerAuthentication: {selector: {matchLabels: {app: a}}, portLevelMtls: {http: {mode: STRICT}}}
PeerAuthentication: {selector: {matchLabels: {app: "a*"}}}
AuthorizationPolicy: {selector: {matchLabels: {a: b}}, targetRefs: [{kind: Service, name: a}]}
AuthorizationPolicy: {action: DENI, rules: [{}]}
AuthorizationPolicy: {rules: [{from: []}]}
AuthorizationPolicy: {rules: [{from: [{source: {serviceAccounts: [a], namespaces: [b]}}]}]}
RequestAuthentication: {jwtRules: [{issuer: a, jwksUri: "https://a", jwks: b}]}
RequestAuthentication: {jwtRules: [{issuer: a, jwksUri: "ftp://a"}]}
Telemetry: {tracing: [{customTags: {a: {}}}]}
Telemetry: {tracing: [{randomSamplingPercentage: 101}]}
WasmPlugin: {}
WasmPlugin: {url: "oci://a", sha256: abc}
EnvoyFilter: {workloadSelector: {labels: {a: b}}, targetRefs: [{kind: Gateway, name: g}]}
gw.GatewayClass: {controllerName: gateway}
gw.Gateway: {gatewayClassName: c}
gw.Gateway: {gatewayClassName: c, listeners: [{name: a, port: 1, protocol: TCP}, {name: a, port: 2, protocol: TCP}]}
gw.HTTPRoute: {rules: [{filters: [{type: URLRewrite}]}]}
gw.HTTPRoute: {rules: [{filters: [{type: URLRewrite, urlRewrite: {}, cors: {}}]}]}
gw.HTTPRoute: {rules: [{timeouts: {request: 1.5s}}]}
gw.HTTPRoute: {rules: []}
gw.HTTPRoute: {rules: [{backendRefs: [{name: a, port: 80, weight: -1}]}]}
gw.HTTPRoute: {hostnames: [10_0], rules: [{}]}
gw.GRPCRoute: {rules: [{matches: [{method: {type: Exact}}]}]}
gw.TLSRoute: {rules: [{backendRefs: [{name: a, port: 443}]}]}
gw.BackendTLSPolicy: {targetRefs: [{group: "", kind: Service, name: a}], validation: {hostname: a.com}}
ServiceEntry: {hosts: [a.com], resolution: NONE, endpoints: [{address: 1.1.1.1}]}
ServiceEntry: {hosts: [a.com], addresses: [10.0.0.0/8], resolution: DNS}
Telemetry: {metrics: [{overrides: [{tagOverrides: {a: {operation: REMOVE, value: b}}}]}]}
gw.HTTPRoute: {rules: [{backendRefs: [{name: a}]}]}
gw.HTTPRoute: {rules: [{timeouts: {request: 1s, backendRequest: 2s}}]}
gw.HTTPRoute: {rules: [{matches: [{path: {value: a}}]}]}
gw.Gateway: {gatewayClassName: c, listeners: [{name: a, port: 443, protocol: TLS}]}
"""


def documents(table):
    for number, line in enumerate(table.strip().splitlines()):
        kind, _, spec = line.partition(": ")
        version = ISTIO[kind] if kind in ISTIO else "gateway.networking.k8s.io/v1"
        namespace = "" if kind == "gw.GatewayClass" else ", namespace: default"
        yield line, f"apiVersion: {version}\nkind: {kind.removeprefix('gw.')}\nmetadata: {{name: o-{number}{namespace}}}\nspec: {spec}\n"


def server_says(api, text):
    """None, or why it refuses."""
    try:
        api.apply(text)
    except Refused as refused:
        return str(refused).partition(": ")[2]
    return None


def reader_says(reader, text):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        said = subprocess.run([reader, "--say", file.name], capture_output=True, text=True, check=True).stdout
    return None if re.match("accepted: ", said) and not re.search("^(refused|ignored): ", said, re.M) else said.strip()


def established(api, crds):
    refusals = [server_says(api, path.read_text()) for path in sorted(crds.glob("*.yaml"))]
    assert not any(refusals), "\n".join(filter(None, refusals))
    names = [line for line in api.kubectl("get", "crds", "-o", "name").split() if ".istio.io" in line or ".k8s.io" in line]
    api.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)
    for crd in api.get("crds"):
        for condition in crd["status"]["conditions"]:
            wanted = condition["type"] in ("Established", "NamesAccepted")
            if condition["type"] != "KubernetesAPIApprovalPolicyConformant":
                assert (condition["status"] == "True") == wanted, (crd["metadata"]["name"], condition)
    print(f"{len(names)} CRDs are established", flush=True)
    return len(names)


def compare(api, reader, cases):
    """Prints each case on which the two differ; their number."""
    differ = 0
    for title, text, there, here in cases:
        server, own = server_says(api, text), reader_says(reader, text)
        if (server is None, own is None) != (there, here):
            differ += 1
            print(f"{title}\n  API server: {server or 'accepted'}\n  reader:     {own or 'accepted'}", flush=True)
    return differ


def seeds(folder, reader):
    for path in sorted(folder.glob("*.yaml")):
        for number, text in enumerate(re.split(r"^---\s*$", path.read_text(), flags=re.M)):
            if text.strip():
                accepted = reader_says(reader, text) is None
                yield f"{path.name}[{number}]", text, accepted, accepted


def main():
    crds, reader, *folders = map(pathlib.Path, sys.argv[1:])
    with ApiServer() as api:
        assert established(api, crds) == len(list(crds.glob("*.yaml")))
        for name in ("production", "istio-system"):
            server_says(api, f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n")
        cases = [(*case, True, True) for case in documents(GOOD)]
        cases += [(*case, False, False) for case in documents(BAD)]
        for folder in folders:
            cases += seeds(folder, reader)
        differ = compare(api, reader, cases)
        print(f"{len(cases) - differ} of {len(cases)} objects as expected", flush=True)
        return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
