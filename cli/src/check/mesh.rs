//! TLS between the workloads of a mesh, and where workloads stand.

use super::{
    object::{At, Object},
    report::Report,
    rule::rules,
};

const PEER: &str = "https://istio.io/latest/docs/reference/config/security/peer_authentication/";

rules! { "TLS in the mesh";
    MTLS_NOT_STRICT "mtls-not-strict" Warning
        "PERMISSIVE and DISABLE let plain text in, so whoever is in the network can be anybody"
        fix "write `mtls: { mode: STRICT }`"
        "https://istio.io/latest/docs/ops/best-practices/security/#mutual-tls";
    PORT_MTLS "port-mtls" Error
        "modes of ports need a selector, and the ports are from 1 to 65535"
        fix "write a `selector` with labels, and ports as keys in quotes" PEER;
    DESTINATION_TLS_DISABLED "destination-tls-disabled" Warning
        "a DestinationRule that disables TLS, or its verification, takes mutual TLS away from what calls the host"
        fix "write `tls: { mode: ISTIO_MUTUAL }`, or leave `tls` out"
        "https://istio.io/latest/docs/ops/configuration/traffic-management/tls-configuration/";
    INJECTION_OFF "injection-off" Warning
        "without a sidecar there is no mutual TLS, no policy and no filter"
        fix "leave `sidecar.istio.io/inject` and `istio-injection` out, or enable them"
        "https://istio.io/latest/docs/setup/additional-setup/sidecar-injection/";
}

/// Checks a PeerAuthentication, a DestinationRule, a Namespace, or a workload's injection.
pub fn check(object: &Object<'_>, report: &mut Report) {
    if object.is_of("security.istio.io", "PeerAuthentication") {
        peer(object, report);
    } else if object.is_of("networking.istio.io", "DestinationRule") {
        let Some(spec) = object.at.get("spec") else { return };
        let subsets = spec.list("subsets").filter_map(|subset| subset.get("trafficPolicy"));
        for policy in spec.get("trafficPolicy").into_iter().chain(subsets) {
            destination(object, &policy, report);
            for port in policy.list("portLevelSettings") {
                destination(object, &port, report);
            }
        }
    } else if object.kind == "Namespace" {
        injection(object, &object.at, report);
    } else if let Some(pod) = object.pod().filter(|_| !["Job", "CronJob"].contains(&object.kind)) {
        injection(object, &pod, report);
    }
}

fn peer(object: &Object<'_>, report: &mut Report) {
    let spec = object.at.get("spec");
    let mode = spec.as_ref().and_then(|spec| spec.at(&["mtls", "mode"]));
    let weak = |at: &At<'_>, report: &mut Report| {
        if matches!(at.str(), Some("PERMISSIVE" | "DISABLE")) {
            report.add(object, &MTLS_NOT_STRICT, at, format!("must be STRICT, got {}", at.show()));
        }
    };
    if let Some(mode) = &mode {
        weak(mode, report);
    }
    let Some(spec) = spec else { return };
    let ports = spec.get("portLevelMtls");
    if matches!(mode.as_ref().map(At::str), None | Some(Some("UNSET"))) && ports.is_none() {
        let message = "is not there: the mode is inherited, and the mesh's own is PERMISSIVE unless somebody changed it";
        report.missing(object, &MTLS_NOT_STRICT, &spec, "mtls.mode", message);
    }
    let Some(ports) = ports else { return };
    ports.fields().filter_map(|(_, port)| port.get("mode")).for_each(|mode| weak(&mode, report));
    if ports.is_empty() {
        report.add(object, &PORT_MTLS, &ports, "must have a port");
    }
    if spec.at(&["selector", "matchLabels"]).is_none_or(|labels| labels.is_empty()) {
        report.add(object, &PORT_MTLS, &ports, "must have a `selector` with labels beside it");
    }
    for (name, port) in ports.fields() {
        if !name.parse::<u16>().is_ok_and(|number| number > 0) {
            report.add(object, &PORT_MTLS, &port, format!("must be 1..=65535, got `{name}`"));
        }
    }
}

fn destination(object: &Object<'_>, policy: &At<'_>, report: &mut Report) {
    let Some(tls) = policy.get("tls") else { return };
    if tls.text("mode") == Some("DISABLE") {
        report.missing(object, &DESTINATION_TLS_DISABLED, &tls, "mode", "must not be DISABLE");
    }
    if tls.flag("insecureSkipVerify") == Some(true) {
        report.missing(object, &DESTINATION_TLS_DISABLED, &tls, "insecureSkipVerify", "must not be true");
    }
}

fn injection(object: &Object<'_>, at: &At<'_>, report: &mut Report) {
    for place in [["metadata", "labels"], ["metadata", "annotations"]] {
        for (name, value) in at.at(&place).iter().flat_map(At::fields) {
            let text = value.show();
            let is_off = match name {
                "sidecar.istio.io/inject" => text == "`false`",
                "istio-injection" => text == "`disabled`",
                _ => false,
            };
            if is_off {
                report.add(object, &INJECTION_OFF, &value, format!("must not be {text}"));
            }
        }
    }
}
