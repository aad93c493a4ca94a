//! Ports that Istio or Kubernetes keeps for itself, and names that say which protocol a port speaks.

use super::{
    container::containers,
    object::{At, Object},
    report::Report,
    rule::{Rule, rules},
};

const REQUIREMENTS: &str =
    "https://istio.io/latest/docs/ops/deployment/application-requirements/#ports-used-by-istio";
const PROTOCOLS: &str =
    "https://istio.io/latest/docs/ops/configuration/traffic-management/protocol-selection/";
const KUBERNETES: &str = "https://kubernetes.io/docs/reference/networking/ports-and-protocols/";
const NODE_PORT: &str = "https://kubernetes.io/docs/concepts/services-networking/service/#type-nodeport";

rules! { "Ports";
    PORT_SIDECAR "port-sidecar" Error
        "the sidecar listens on the port, so the application cannot, or is not reached"
        fix "write a port outside of 15000 to 15090" REQUIREMENTS;
    PORT_ISTIOD "port-istiod" Error
        "istiod serves on the port, and the mesh treats its traffic as the control plane's"
        fix "write a port outside of 15010 to 15017" REQUIREMENTS;
    PORT_ISTIOD_SHARED "port-istiod-shared" Info
        "istiod serves on 443 and 8080 too; in another pod they collide with nothing"
        fix "nothing, unless it is istiod's own pod" REQUIREMENTS;
    PORT_MULTICLUSTER "port-multicluster" Warning
        "15443 is the port on which gateways of a multicluster mesh pass mutual TLS through"
        fix "write another port than 15443" REQUIREMENTS;
    PORT_KUBERNETES "port-kubernetes" Warning
        "Kubernetes serves on the port on its nodes, or hands it out as a node port"
        fix "write a port that Kubernetes does not use" KUBERNETES;
    PORT_SERVER_FIRST "port-server-first" Warning
        "the server speaks first on this port, so Istio takes it for TCP unseen, and PERMISSIVE mutual TLS cannot tell plain text from TLS"
        fix "declare the protocol: a name such as `tcp-mail` or `mysql`, or `appProtocol: tcp`"
        "https://istio.io/latest/docs/ops/deployment/application-requirements/#server-first-protocols";
    PORT_PROTOCOL "port-protocol" Warning
        "without a protocol in the port's name or in appProtocol Istio guesses, and what it takes for TCP has no routes, retries or HTTP metrics"
        fix "name the port `http-...`, `grpc-...`, `tcp-...`, or write `appProtocol`" PROTOCOLS;
    NODE_PORT_RANGE "node-port-range" Error
        "Kubernetes refuses a node port outside of its range, 30000 to 32767 unless the cluster says otherwise"
        fix "write a port from 30000 to 32767, or leave `nodePort` out" NODE_PORT;
}

const SIDECAR: [i64; 11] = [15000, 15001, 15002, 15004, 15006, 15008, 15009, 15020, 15021, 15053, 15090];
const ISTIOD: [i64; 4] = [15010, 15012, 15014, 15017];
const SERVER_FIRST: [i64; 4] = [25, 53, 3306, 27017];

/// The protocols that Istio reads from a name or from `appProtocol`.
const NAMES: [&str; 13] = [
    "http", "http2", "https", "tcp", "tls", "grpc", "grpc-web", "mongo", "mysql", "redis", "udp", "hbone",
    "auto",
];

/// The rule that a port breaks, and whose port it is.
fn reserved(port: i64) -> Option<(&'static Rule, &'static str)> {
    Some(match port {
        _ if SIDECAR.contains(&port) => (&PORT_SIDECAR, "is the sidecar's"),
        _ if ISTIOD.contains(&port) => (&PORT_ISTIOD, "is istiod's"),
        443 | 8080 => (&PORT_ISTIOD_SHARED, "is istiod's in its own pod"),
        15443 => (&PORT_MULTICLUSTER, "is a multicluster gateway's"),
        6443 | 2379 | 2380 | 10250 | 10256 | 10257 | 10259 => {
            (&PORT_KUBERNETES, "is one that Kubernetes serves on")
        }
        30000..=32767 => (&PORT_KUBERNETES, "is in the range of node ports, 30000 to 32767"),
        _ => return None,
    })
}

/// Checks the ports of a workload or of a service.
pub fn check(object: &Object<'_>, report: &mut Report) {
    if is_istios(object) {
        return;
    }
    if let Some(pod) = object.pod() {
        for (container, _) in containers(&pod) {
            for port in container.list("ports") {
                number(object, &port, "containerPort", report);
                let (own, on_host) = (port.get("containerPort"), port.get("hostPort"));
                let is_same = own.as_ref().and_then(At::integer) == on_host.as_ref().and_then(At::integer);
                if !is_same {
                    number(object, &port, "hostPort", report);
                }
                let is_server_first =
                    own.as_ref().and_then(At::integer).is_some_and(|own| SERVER_FIRST.contains(&own));
                if is_server_first && !is_declared(&port) {
                    server_first(object, &port, "containerPort", report);
                }
            }
        }
    }
    if object.kind == "Service" && object.group().is_empty() {
        service(object, report);
    }
}

fn number(object: &Object<'_>, port: &At<'_>, key: &str, report: &mut Report) {
    let Some(at) = port.get(key) else { return };
    if let Some((rule, whose)) = at.integer().and_then(reserved) {
        report.add(object, rule, &at, format!("{} {whose}", at.show()));
    }
}

fn server_first(object: &Object<'_>, port: &At<'_>, key: &str, report: &mut Report) {
    if let Some(at) = port.get(key) {
        let message =
            format!("{} is of a protocol whose server speaks first, and none is declared", at.show());
        report.add(object, &PORT_SERVER_FIRST, &at, message);
    }
}

/// Whether a port's protocol is said, so that nothing is guessed.
fn is_declared(port: &At<'_>) -> bool {
    let name = port.text("name").unwrap_or_default().to_ascii_lowercase();
    let is_name = NAMES.iter().any(|protocol| {
        name == *protocol || name.strip_prefix(protocol).is_some_and(|rest| rest.starts_with('-'))
    });
    let is_udp = matches!(port.text("protocol"), Some("UDP" | "SCTP"));
    is_name || is_udp || port.get("appProtocol").is_some()
}

fn service(object: &Object<'_>, report: &mut Report) {
    let Some(spec) = object.at.get("spec") else { return };
    // What has no pods of its own is a name only.
    if spec.text("type") == Some("ExternalName") {
        return;
    }
    for port in spec.list("ports") {
        number(object, &port, "port", report);
        let (own, target) = (
            port.get("port").and_then(|at| at.integer()),
            port.get("targetPort").and_then(|at| at.integer()),
        );
        if target != own {
            number(object, &port, "targetPort", report);
        }
        if let Some(at) = port.get("nodePort")
            && at.integer().is_some_and(|number| number != 0 && !(30_000..=32_767).contains(&number))
        {
            report.add(object, &NODE_PORT_RANGE, &at, format!("must be 30000..=32767, got {}", at.show()));
        }
        if is_declared(&port) {
            continue;
        }
        if [own, target].into_iter().flatten().any(|number| SERVER_FIRST.contains(&number)) {
            server_first(object, &port, "port", report);
        } else {
            let what = port.text("name").map_or_else(
                || "the port has no name".to_owned(),
                |name| format!("`{name}` begins with no protocol"),
            );
            report.missing(object, &PORT_PROTOCOL, &port, "name", what);
        }
    }
}

/// Whether an object is Istio's own: istiod, or a gateway, whose ports these are.
fn is_istios(object: &Object<'_>) -> bool {
    let pod = object.pod();
    let labels = pod.iter().filter_map(|pod| pod.at(&["metadata", "labels"]));
    let labels =
        labels.chain(object.at.at(&["metadata", "labels"])).chain(object.at.at(&["spec", "selector"]));
    let is_label =
        labels.into_iter().flat_map(|labels| labels.fields().collect::<Vec<_>>()).any(|(name, value)| {
            let text = value.str().unwrap_or_default();
            name == "istio" && (text.contains("gateway") || text == "pilot")
                || name == "gateway.istio.io/managed"
                || ["app", "app.kubernetes.io/name"].contains(&name)
                    && (text == "istiod" || text.ends_with("gateway"))
        });
    let is_proxy = |image: &str| image == "auto" || image.contains("/proxyv2");
    let has_proxy =
        pod.iter().flat_map(containers).any(|(container, _)| container.text("image").is_some_and(is_proxy));
    is_label || has_proxy
}
