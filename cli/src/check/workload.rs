//! Workloads as a whole: how many, where, and what holds when a node goes.

use super::{
    object::{At, Object},
    report::Report,
    rule::rules,
};
use crate::document::Node;
use std::collections::BTreeMap;

rules! { "Workloads";
    REPLICAS "replicas" Warning
        "one replica is an outage at every restart, drain and crash"
        fix "write `replicas: 2` or more, or give it a HorizontalPodAutoscaler with `minReplicas: 2`"
        "https://kubernetes.io/docs/concepts/workloads/controllers/deployment/";
    ZONE_SPREAD "zone-spread" Warning
        "replicas that may all be in one zone go down with it"
        fix "write `topologySpreadConstraints` or `podAntiAffinity` with `topologyKey: topology.kubernetes.io/zone`"
        "https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/";
    NAMESPACE_DEFAULT "namespace-default" Warning
        "what shares the namespace `default` shares its policies, its quotas and its secrets"
        fix "write `metadata.namespace` with a namespace of its own"
        "https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/";
    DISRUPTION_BUDGET "disruption-budget" Warning
        "without a PodDisruptionBudget a drain may evict all replicas at once"
        fix "write a PodDisruptionBudget with `maxUnavailable: 1` whose selector matches the pods' labels"
        "https://kubernetes.io/docs/tasks/run-application/configure-pdb/";
    ROLLING_UPDATE "rolling-update" Warning
        "an update that stops all replicas before it starts new ones is an outage"
        fix "write `type: RollingUpdate` with `maxUnavailable: 0` or `1`"
        "https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#strategy";
    APP_LABEL "app-label" Warning
        "Istio names a workload in metrics and traces by its label, and without one by the name of its object"
        fix "write `app` or `app.kubernetes.io/name` into the pods' labels"
        "https://istio.io/latest/docs/ops/deployment/application-requirements/";
    VERSION_LABEL "version-label" Warning
        "subsets, canaries and metrics tell versions apart by their label"
        fix "write `version` or `app.kubernetes.io/version` into the pods' labels"
        "https://istio.io/latest/docs/ops/deployment/application-requirements/";
}

/// The objects that say something of others.
pub struct World<'w, 'd> {
    budgets: BTreeMap<&'d str, Vec<&'w Object<'d>>>,
    /// The least replicas of autoscalers, by namespace, kind and name.
    autoscaled: BTreeMap<(&'d str, &'d str, &'d str), i64>,
    /// The service accounts that mount no token, by namespace and name.
    tokenless: Vec<(&'d str, &'d str)>,
}

impl<'w, 'd> World<'w, 'd> {
    /// What a set of objects says of its members.
    pub fn of(objects: &'w [Object<'d>]) -> Self {
        let mut world = Self { budgets: BTreeMap::new(), autoscaled: BTreeMap::new(), tokenless: Vec::new() };
        for object in objects {
            let spec = object.at.get("spec");
            match object.kind {
                "PodDisruptionBudget" => world.budgets.entry(object.namespace()).or_default().push(object),
                "HorizontalPodAutoscaler" => {
                    let Some(target) = spec.as_ref().and_then(|spec| spec.node.get("scaleTargetRef")) else {
                        continue;
                    };
                    let text = |key| target.get(key).and_then(Node::as_str).unwrap_or_default();
                    let least = spec
                        .and_then(|spec| spec.get("minReplicas"))
                        .and_then(|at| at.integer())
                        .unwrap_or(1);
                    world.autoscaled.insert((object.namespace(), text("kind"), text("name")), least);
                }
                "ServiceAccount" if object.at.flag("automountServiceAccountToken") == Some(false) => {
                    world.tokenless.push((object.namespace(), object.metadata("name").unwrap_or_default()));
                }
                _ => {}
            }
        }
        world
    }

    /// Whether a service account mounts no token.
    pub fn is_tokenless(&self, namespace: &str, name: &str) -> bool {
        self.tokenless.contains(&(namespace, name))
    }
}

/// Checks a workload.
pub fn check(object: &Object<'_>, world: &World<'_, '_>, report: &mut Report) {
    let Some(pod) = object.pod() else { return };
    let name = object.metadata("name").unwrap_or("it");
    if object.namespace() == "default" {
        let metadata = object.at.get("metadata").unwrap_or_else(|| object.at.clone());
        report.missing(
            object,
            &NAMESPACE_DEFAULT,
            &metadata,
            "namespace",
            format!("`{name}` is in the namespace `default`"),
        );
    }
    let Some(spec) = object.at.get("spec") else { return };
    if matches!(object.kind, "Deployment" | "StatefulSet") {
        replicas(object, &spec, world, report);
        if !spreads(&pod) {
            report.missing(
                object,
                &ZONE_SPREAD,
                &pod,
                "spec.topologySpreadConstraints",
                format!("nothing spreads the pods of `{name}` over zones"),
            );
        }
        let budgets = world.budgets.get(object.namespace());
        if !budgets.is_some_and(|budgets| budgets.iter().any(|budget| selects(budget, &pod))) {
            report.add(
                object,
                &DISRUPTION_BUDGET,
                &object.at,
                format!("no PodDisruptionBudget among the files selects the pods of `{name}`"),
            );
        }
    }
    if matches!(object.kind, "Deployment" | "StatefulSet" | "DaemonSet") {
        update(object, &spec, report);
    }
    if matches!(object.kind, "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Pod") {
        let labels = pod.at(&["metadata", "labels"]);
        let has = |names: &[&str]| {
            names.iter().any(|name| labels.as_ref().is_some_and(|labels| labels.get(name).is_some()))
        };
        if !has(&["app", "app.kubernetes.io/name", "service.istio.io/canonical-name"]) {
            report.missing(object, &APP_LABEL, &pod, "metadata.labels.app", "is not there");
        }
        if !has(&["version", "app.kubernetes.io/version", "service.istio.io/canonical-revision"]) {
            report.missing(object, &VERSION_LABEL, &pod, "metadata.labels.version", "is not there");
        }
    }
}

fn replicas(object: &Object<'_>, spec: &At<'_>, world: &World<'_, '_>, report: &mut Report) {
    let key = (object.namespace(), object.kind, object.metadata("name").unwrap_or_default());
    let written = spec.get("replicas");
    let number = written.as_ref().and_then(At::integer).unwrap_or(1);
    let number = world.autoscaled.get(&key).copied().unwrap_or(number);
    // None at all is a workload that is switched off.
    if number == 1 {
        let place = written.unwrap_or_else(|| spec.clone());
        report.add_to(
            object,
            &REPLICAS,
            place.node.line,
            &spec.path_of("replicas"),
            "must be 2 or more, got 1".to_owned(),
        );
    }
}

/// Whether something keeps a pod's replicas in more than one zone.
fn spreads(pod: &At<'_>) -> bool {
    let zones = ["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"];
    let is_zone = |at: &At<'_>| at.text("topologyKey").is_some_and(|key| zones.contains(&key));
    let Some(spec) = pod.get("spec") else { return false };
    let affinity = spec.at(&["affinity", "podAntiAffinity"]);
    let list = |name| affinity.iter().flat_map(|affinity| affinity.list(name)).collect::<Vec<_>>();
    let preferred = list("preferredDuringSchedulingIgnoredDuringExecution");
    spec.list("topologySpreadConstraints").any(|at| is_zone(&at))
        || list("requiredDuringSchedulingIgnoredDuringExecution").iter().any(is_zone)
        || preferred.iter().filter_map(|at| at.get("podAffinityTerm")).any(|at| is_zone(&at))
}

/// Whether a budget's selector matches the labels of a pod.
fn selects(budget: &Object<'_>, pod: &At<'_>) -> bool {
    let Some(selector) = budget.at.at(&["spec", "selector"]) else { return false };
    let labels = pod.at(&["metadata", "labels"]);
    let label = |key: &str| labels.as_ref().and_then(|labels| labels.node.get(key)).map(Node::to_json);
    let matches = |(key, value): (&str, At<'_>)| label(key) == Some(value.node.to_json());
    let holds = |expression: At<'_>| {
        let own = label(expression.text("key").unwrap_or_default());
        let is_in = || expression.list("values").any(|value| own == Some(value.node.to_json()));
        match expression.text("operator") {
            Some("In") => is_in(),
            Some("NotIn") => !is_in(),
            Some("Exists") => own.is_some(),
            Some("DoesNotExist") => own.is_none(),
            _ => false,
        }
    };
    selector.get("matchLabels").iter().flat_map(At::fields).all(matches)
        && selector.list("matchExpressions").all(holds)
}

fn update(object: &Object<'_>, spec: &At<'_>, report: &mut Report) {
    let name = if object.kind == "Deployment" { "strategy" } else { "updateStrategy" };
    let Some(strategy) = spec.get(name) else { return };
    if let Some(kind) =
        strategy.get("type").filter(|kind| kind.str().is_some_and(|kind| kind != "RollingUpdate"))
    {
        report.add(object, &ROLLING_UPDATE, &kind, format!("must be RollingUpdate, got {}", kind.show()));
    }
    if let Some(most) =
        strategy.at(&["rollingUpdate", "maxUnavailable"]).filter(|most| most.str() == Some("100%"))
    {
        report.add(object, &ROLLING_UPDATE, &most, "must leave some replicas, got `100%`");
    }
}
