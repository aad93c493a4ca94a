//! What a pod may do to its node and to the cluster.

use super::{
    container::containers,
    object::{At, Object},
    report::Report,
    rule::rules,
    workload::World,
};

const STANDARDS: &str = "https://kubernetes.io/docs/concepts/security/pod-security-standards/";
const CONTEXT: &str = "https://kubernetes.io/docs/tasks/configure-pod-container/security-context/";

rules! { "Security of pods";
    UID_1337 "uid-1337" Error
        "Istio does not redirect the traffic of UID and GID 1337, which is the sidecar's: the workload is out of the mesh"
        fix "write another number than 1337"
        "https://istio.io/latest/docs/ops/deployment/application-requirements/";
    RUN_AS_NON_ROOT "run-as-non-root" Warning
        "who breaks out of a container that runs as root is root"
        fix "write `securityContext: { runAsNonRoot: true }` for the pod or the container" STANDARDS;
    PRIVILEGED "privileged" Warning
        "a privileged container can do what its node can"
        fix "leave `privileged` out, and add the one capability that is needed" STANDARDS;
    READ_ONLY_ROOT "read-only-root" Warning
        "what can be written can be changed by who breaks in"
        fix "write `readOnlyRootFilesystem: true`, and mount an emptyDir where files are written" CONTEXT;
    PRIVILEGE_ESCALATION "privilege-escalation" Warning
        "without it a setuid program in the image gives more rights than the process has"
        fix "write `allowPrivilegeEscalation: false`" STANDARDS;
    HOST_NETWORK "host-network" Warning
        "a pod in its node's network has no sidecar, sees its neighbours' traffic, and no NetworkPolicy holds for it"
        fix "leave `hostNetwork` out" STANDARDS;
    SERVICE_ACCOUNT_TOKEN "service-account-token" Warning
        "every pod gets a token for the cluster's API, and few need one"
        fix "write `automountServiceAccountToken: false`, for the pod or its service account"
        "https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#opt-out-of-api-credential-automounting";
}

/// Checks the pods of a workload.
pub fn check(object: &Object<'_>, world: &World<'_, '_>, report: &mut Report) {
    let Some(pod) = object.pod() else { return };
    let Some(spec) = pod.get("spec") else { return };
    let outer = spec.get("securityContext");
    if let Some(outer) = &outer {
        users(object, outer, report);
    }
    if spec.flag("hostNetwork") == Some(true) {
        report.missing(object, &HOST_NETWORK, &spec, "hostNetwork", "must not be true");
    }
    let account = spec.text("serviceAccountName").unwrap_or("default");
    let mounts = spec.flag("automountServiceAccountToken");
    if mounts.unwrap_or_else(|| !world.is_tokenless(object.namespace(), account)) {
        let message = if mounts.is_some() { "must not be true" } else { "is not there: a token is mounted" };
        report.missing(object, &SERVICE_ACCOUNT_TOKEN, &spec, "automountServiceAccountToken", message);
    }
    for (container, _) in containers(&pod) {
        if container.text("image") == Some("auto") {
            continue;
        }
        let inner = container.get("securityContext");
        if let Some(inner) = &inner {
            users(object, inner, report);
        }
        context(object, &container, inner.as_ref(), outer.as_ref(), report);
    }
}

/// The user and groups of a security context.
fn users(object: &Object<'_>, context: &At<'_>, report: &mut Report) {
    let groups = context.list("supplementalGroups");
    let ids = ["runAsUser", "runAsGroup", "fsGroup"].into_iter().filter_map(|name| context.get(name));
    // The groups of files are no reason why traffic would pass the sidecar by.
    for id in ids.chain(groups).filter(|id| id.integer() == Some(1337) && !id.path.ends_with("fsGroup")) {
        report.add(object, &UID_1337, &id, "must not be 1337");
    }
}

fn context(
    object: &Object<'_>,
    container: &At<'_>,
    inner: Option<&At<'_>>,
    outer: Option<&At<'_>>,
    report: &mut Report,
) {
    let name = container.text("name").unwrap_or("the container");
    let place = inner.unwrap_or(container);
    let prefix = if inner.is_some() { "" } else { "securityContext." };
    let mut missing = |rule, key: &str, message: String| {
        report.add_to(
            object,
            rule,
            place.get(key).map_or(place.node.line, |at| at.node.line),
            &format!("{}.{prefix}{key}", place.path),
            message,
        );
    };
    let own = |key| inner.and_then(|inner| inner.flag(key));
    let both = |key| own(key).or_else(|| outer.and_then(|outer| outer.flag(key)));
    let user = |at: Option<&At<'_>>| at.and_then(|at| at.get("runAsUser")).and_then(|at| at.integer());
    match (both("runAsNonRoot"), user(inner).or_else(|| user(outer))) {
        (_, Some(0)) => missing(&RUN_AS_NON_ROOT, "runAsUser", format!("`{name}` runs as user 0")),
        (Some(true), _) | (None, Some(_)) => {}
        _ => missing(&RUN_AS_NON_ROOT, "runAsNonRoot", format!("`{name}` may run as root")),
    }
    if own("privileged") == Some(true) {
        missing(&PRIVILEGED, "privileged", format!("`{name}` must not be privileged"));
    }
    if own("readOnlyRootFilesystem") != Some(true) {
        missing(
            &READ_ONLY_ROOT,
            "readOnlyRootFilesystem",
            format!("`{name}` can write into its image's files"),
        );
    }
    if own("allowPrivilegeEscalation") != Some(false) {
        missing(&PRIVILEGE_ESCALATION, "allowPrivilegeEscalation", format!("`{name}` may gain rights"));
    }
}
