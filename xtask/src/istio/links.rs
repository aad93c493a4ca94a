//! What manifests name of each other: subsets, workloads, service accounts, providers of logs. No schema knows it, and a cluster says nothing.

use super::{folder, read};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Map, Value};

/// Checks the objects of a rendering.
pub fn check(objects: &[Value]) -> Result<()> {
    let pods = pods(objects)?;
    for object in objects {
        let name = format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"]));
        let links = match text(&object["kind"]) {
            "VirtualService" => subsets(object, objects),
            "DestinationRule" => members(object, &pods),
            "Telemetry" => providers(object),
            "Deployment" => account(object, objects),
            "Service" => selects(object, &object["spec"]["selector"], &pods),
            "NetworkPolicy" => selects(object, &object["spec"]["podSelector"]["matchLabels"], &pods),
            _ => Ok(()),
        };
        links.with_context(|| name.clone())?;
        let selectors =
            [&object["spec"]["selector"]["matchLabels"], &object["spec"]["workloadSelector"]["labels"]];
        for selector in selectors.into_iter().filter(|_| object["kind"] != "Deployment") {
            selects(object, selector, &pods).with_context(|| name.clone())?;
        }
    }
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A workload's namespace and the labels of its pods.
type Pods = (String, Map<String, Value>);

/// The pods of the rendering, and those of the gateway, whose chart is not part of it.
fn pods(objects: &[Value]) -> Result<Vec<Pods>> {
    let values = read(&folder().join("gateway/gateway-values.yaml"))?;
    let gateway = values
        .first()
        .and_then(|values| values["labels"].as_object())
        .context("the gateway has no labels")?;
    let mut pods = vec![("istio-ingress".to_owned(), gateway.clone())];
    for object in objects.iter().filter(|object| object["kind"] == "Deployment") {
        let labels =
            object["spec"]["template"]["metadata"]["labels"].as_object().context("pods have no labels")?;
        pods.push((text(&object["metadata"]["namespace"]).to_owned(), labels.clone()));
    }
    Ok(pods)
}

/// A selector selects pods of its namespace. None, or an empty one, selects all.
fn selects(object: &Value, selector: &Value, pods: &[Pods]) -> Result<()> {
    let Some(wanted) = selector.as_object() else { return Ok(()) };
    let namespace = text(&object["metadata"]["namespace"]);
    let has = |(place, labels): &Pods| {
        place == namespace && wanted.iter().all(|(label, value)| labels.get(label) == Some(value))
    };
    ensure!(pods.iter().any(has), "{selector} selects no pod of the namespace {namespace}");
    Ok(())
}

/// Every destination's subset is one of the host's rule.
fn subsets(service: &Value, objects: &[Value]) -> Result<()> {
    let routes = service["spec"]["http"].as_array().into_iter().flatten();
    let targets = routes.filter_map(|route| route["route"].as_array()).flatten();
    for destination in targets.map(|target| &target["destination"]) {
        let is_rule = |object: &&Value| {
            object["kind"] == "DestinationRule" && object["spec"]["host"] == destination["host"]
        };
        let rule =
            objects.iter().find(is_rule).with_context(|| format!("{destination} has no DestinationRule"))?;
        let mut subsets = rule["spec"]["subsets"].as_array().into_iter().flatten();
        ensure!(subsets.any(|subset| subset["name"] == destination["subset"]), "{destination} is no subset");
        let host = text(&destination["host"]);
        let is_service = |object: &Value| {
            let [name, namespace] = ["name", "namespace"].map(|key| text(&object["metadata"][key]));
            object["kind"] == "Service" && host == format!("{name}.{namespace}.svc.cluster.local")
        };
        ensure!(objects.iter().any(is_service), "{host} is no Service");
    }
    Ok(())
}

/// Every subset has pods.
fn members(rule: &Value, pods: &[Pods]) -> Result<()> {
    for subset in rule["spec"]["subsets"].as_array().into_iter().flatten() {
        selects(rule, &subset["labels"], pods)?;
    }
    let policy = &rule["spec"]["trafficPolicy"];
    let fails_over = policy["loadBalancer"]["localityLbSetting"]["enabled"] == true;
    ensure!(
        !fails_over || policy["outlierDetection"].is_object(),
        "failover without outlier detection never happens"
    );
    Ok(())
}

/// Every provider is one of the mesh's configuration.
fn providers(telemetry: &Value) -> Result<()> {
    let values = read(&folder().join("mesh/istiod-values.yaml"))?;
    let known = values.first().and_then(|values| values["meshConfig"]["extensionProviders"].as_array());
    let known = known.context("the mesh has no providers")?;
    let logging = telemetry["spec"]["accessLogging"].as_array().into_iter().flatten();
    for provider in logging.filter_map(|logging| logging["providers"].as_array()).flatten() {
        let found = known.iter().find(|known| known["name"] == provider["name"]);
        let found = found.with_context(|| format!("{provider} is not in mesh/istiod-values.yaml"))?;
        let format = text(&found["envoyFileAccessLog"]["logFormat"]["text"]);
        ensure!(
            format.contains("%FILTER_STATE(wasm.outrigger.log:PLAIN)%"),
            "{provider} does not print the record"
        );
    }
    Ok(())
}

/// The service account is there.
fn account(deployment: &Value, objects: &[Value]) -> Result<()> {
    let name = &deployment["spec"]["template"]["spec"]["serviceAccountName"];
    let is_account =
        |object: &Value| object["kind"] == "ServiceAccount" && object["metadata"]["name"] == *name;
    if !objects.iter().any(is_account) {
        bail!("there is no service account {name}");
    }
    Ok(())
}
