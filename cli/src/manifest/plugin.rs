//! `outrigger manifest plugin`: what loads a published module into a mesh, pinned by its digest.

use super::{peer, yaml};
use crate::{
    check, configuration,
    finding::Severity,
    modules::{Dist, ModuleError},
    publish::{
        auth::Access,
        layout,
        reference::Reference,
        registry::{Connection, Http, Registry},
    },
};
use clap::ValueEnum;
use harness::{Options, Vm};
use serde_json::{Map, Value, json};
use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// How a filter is loaded. The reasons stand in istio/, whose manifests agree with this (a test).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Choice {
    phase: &'static str,
    /// Of one phase, the higher comes first.
    priority: Option<i32>,
    fail_strategy: &'static str,
    /// Which requests of a sidecar it sees. A gateway's are those of CLIENT (Istio's WorkloadMode).
    mode: &'static str,
}

const FILTERS: [&str; 5] = ["ab-routing", "access-log", "all-in-one", "metrics", "policy"];
const STATS: Choice = Choice { phase: "STATS", priority: None, fail_strategy: "FAIL_OPEN", mode: "SERVER" };
/// Closed while it cannot be fetched or is down, and loaded again, which Istio knows since 1.27; FAIL_CLOSE would answer 503 until the pod is gone.
const POLICY: Choice = Choice { phase: "AUTHZ", fail_strategy: "FAIL_RELOAD", ..STATS };

/// A plugin to write: all-in-one is two at a sidecar.
struct Load {
    /// What is behind the object's name.
    suffix: &'static str,
    choice: Choice,
    config: Value,
}

/// The WasmPlugin or the TrafficExtension of a filter that was published, pinned by its digest.
///
/// Istio compares `sha256` of an oci:// URL with the manifest's digest and that of an https:// URL with the module's bytes; a digest in the URL needs no
/// second field. The configuration is read by the module in the folder of modules first. All-in-one is two plugins at a sidecar: outbound A/B routing with
/// metrics, inbound policy, access logs and metrics.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  outrigger manifest plugin ab-routing registry.example/outrigger/ab-routing@sha256:... --config config.json --selector app=shop
  outrigger manifest plugin policy registry.example/outrigger/policy:0.1.0 --config policy.yaml --for gateway
  outrigger manifest plugin all-in-one registry.example/outrigger/all-in-one:0.1.0 --config all.json --selector app=shop
  outrigger manifest plugin metrics https://modules.example/metrics.wasm --config config.json --selector app=shop

Without a digest, and without --layout, the registry is asked for the digest of the tag.
Exit codes: 0 written, 1 the registry or the layout does not have it, or the module refuses the configuration, 2 a wrong call.")]
pub struct Plugin {
    /// The filter's name.
    #[arg(value_parser = known)]
    filter: String,
    /// What was published, HOST/REPOSITORY[:TAG][@sha256:DIGEST]; or the http:// or https:// URL of the module itself.
    #[arg(value_parser = place)]
    module: Place,
    /// The filter's configuration: JSON or YAML, or a bootstrap or manifest that holds it.
    #[arg(long)]
    config: PathBuf,
    /// What is written.
    #[arg(long, value_enum, default_value_t = Kind::WasmPlugin)]
    kind: Kind,
    /// Where the filter sits.
    #[arg(long = "for", value_enum, default_value_t = Proxy::Sidecar)]
    proxy: Proxy,
    /// A label of the pods; may be given several times [default for a gateway: istio=ingressgateway].
    #[arg(long, value_name = "KEY=VALUE", value_parser = check::variable)]
    selector: Vec<(String, String)>,
    /// The namespace [default: whatever it is applied to].
    #[arg(long)]
    namespace: Option<String>,
    /// The object's name [default: the filter's].
    #[arg(long)]
    name: Option<String>,
    /// A variable of the VM that has its value from the proxy's environment, for secrets; may be given several times.
    #[arg(long, value_name = "NAME")]
    env_from_host: Vec<String>,
    /// Take the tag's digest from the OCI image layout of this folder.
    #[arg(long, value_name = "DIR")]
    layout: Option<PathBuf>,
    /// The folder of modules [default: $OUTRIGGER_DIST, or else dist].
    #[arg(long)]
    dist: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// What every Istio has.
    WasmPlugin,
    /// What Istio 1.30 has in its place.
    TrafficExtension,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Proxy {
    Sidecar,
    Gateway,
}

/// Where the module is.
#[derive(Debug, Clone)]
enum Place {
    Image(Reference),
    Http(String),
}

fn known(text: &str) -> Result<String, String> {
    if FILTERS.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(format!("must be one of {}", FILTERS.join(", ")))
}

fn place(text: &str) -> Result<Place, String> {
    if !text.starts_with("http://") && !text.starts_with("https://") {
        return Reference::parse(text).map(Place::Image);
    }
    match check::url::check(text) {
        Ok(()) => Ok(Place::Http(text.to_owned())),
        Err(check::url::Wrong::Refused(problem) | check::url::Wrong::Misleading(problem)) => Err(problem),
    }
}

/// Runs the command. What a registry, a layout or the module refuses is printed: exit code 1.
///
/// # Errors
/// A wrong call, or a file or module that is not there: exit code 2.
pub fn run(args: &Plugin) -> Result<ExitCode, String> {
    let selector = selector(args)?;
    let found = configuration::read(&args.config, &args.filter)?;
    let dist = Dist::find(args.dist.as_deref());
    let wasm = dist.read(&args.filter).map_err(|error| error.to_string())?;
    let mut environment = found.environment.clone();
    environment.extend(
        args.env_from_host
            .iter()
            .map(|name| (name.clone(), "a secret of the proxy's environment".to_owned())),
    );
    let options = Options { environment, ..Options::default() };
    let refused = |problem: String| {
        anstream::eprintln!("{}: {problem}", Severity::Error);
        Ok(ExitCode::FAILURE)
    };
    let module = dist.load(&args.filter).map_err(|error: ModuleError| error.to_string())?;
    let config = found.bytes.as_deref().map(serde_json::from_slice::<Value>).transpose();
    let config = config.map_err(|error| {
        format!("{}: must be an object, as Istio sends it: {error}", args.config.display())
    })?;
    let loads = loads(&args.filter, args.proxy, config.unwrap_or(Value::Null));
    // What the module says of the whole has the fields' places; each part of it is read as it is written too.
    let parts = loads.iter().filter(|_| loads.len() > 1).map(|load| load.config.to_string().into_bytes());
    for bytes in [found.bytes].into_iter().chain(parts.map(Some)) {
        let configured = Vm::new(&module, &options).map_err(|error| error.to_string()).and_then(|mut vm| {
            vm.configure(bytes.as_deref())
                .map_err(|error| error.log.last().map_or_else(|| error.to_string(), |line| line.text.clone()))
        });
        if let Err(problem) = configured {
            return refused(format!("{}: {problem}", args.config.display()));
        }
    }
    let (url, sha256, comment) = match &args.module {
        Place::Http(url) => (
            url.clone(),
            Some(crate::publish::digest(&wasm).trim_start_matches("sha256:").to_owned()),
            String::new(),
        ),
        Place::Image(reference) => {
            let digest = match digest(args, reference)? {
                Ok(digest) => digest,
                Err(problem) => return refused(problem),
            };
            let tag = reference.tag.is_some().then(|| format!("# {}\n", reference.without_digest()));
            (format!("oci://{}", reference.pinned(&digest)), None, tag.unwrap_or_default())
        }
    };
    let mut text = comment;
    for (place, load) in loads.iter().enumerate() {
        let plugin = object(args, &selector, &url, sha256.as_deref(), load, &found.environment);
        let _ = write!(text, "{}{}", if place > 0 { "---\n" } else { "" }, yaml::write(&plugin));
    }
    if loads.iter().any(|load| peer::is_looked_at(&load.config)) {
        let workloads = ("workloadSelector".to_owned(), json!({ "labels": selector }));
        let is_gateway = args.proxy == Proxy::Gateway;
        let peer = peer::object("outrigger-peer", args.namespace.as_deref(), Some(workloads), is_gateway);
        let _ = write!(text, "---\n{}", yaml::write(&peer));
    }
    anstream::print!("{text}");
    Ok(ExitCode::SUCCESS)
}

/// The plugins that a configuration is for.
fn loads(filter: &str, proxy: Proxy, config: Value) -> Vec<Load> {
    let is_gateway = proxy == Proxy::Gateway;
    let one = |choice: Choice, config| {
        let mode = if is_gateway { "CLIENT" } else { choice.mode };
        vec![Load { suffix: "", choice: Choice { mode, ..choice }, config }]
    };
    let priority = |at_gateway: i32, at_sidecar: Option<i32>| Choice {
        priority: if is_gateway { Some(at_gateway) } else { at_sidecar },
        ..STATS
    };
    match filter {
        // What writes the arm comes before what counts by it.
        "ab-routing" => one(Choice { mode: "CLIENT", ..priority(50, None) }, config),
        "access-log" => one(priority(100, Some(100)), config),
        "metrics" => one(priority(10, Some(50)), config),
        "all-in-one" => all_in_one(is_gateway, config),
        _ => one(POLICY, config),
    }
}

/// Outbound a route and with it a subset is picked, and inbound is what is protected: a sidecar has a plugin for each, a gateway one for both. Where policy
/// is in a plugin, it is loaded as policy is.
fn all_in_one(is_gateway: bool, config: Value) -> Vec<Load> {
    let is_there = |config: &Value, part: &str| config.get(part).is_some_and(|part| !part.is_null());
    let load = |suffix, mode, config: Value| {
        let choice = if is_there(&config, "policy") { POLICY } else { STATS };
        Load { suffix, choice: Choice { mode, ..choice }, config }
    };
    if is_gateway {
        return vec![load("", "CLIENT", config)];
    }
    let side = |parts: &[&str]| -> Value {
        let own = config.as_object().into_iter().flatten().filter(|(part, _)| parts.contains(&part.as_str()));
        Value::Object(own.map(|(part, config)| (part.clone(), config.clone())).collect())
    };
    let (outbound, inbound) = (side(&["ab_routing", "metrics"]), side(&["policy", "access_log", "metrics"]));
    let routes = is_there(&outbound, "ab_routing");
    // Metrics alone are inbound: on both sides they would count each request of the mesh twice.
    let has_inbound = ["policy", "access_log", "metrics"].iter().any(|part| is_there(&inbound, part));
    let mut loads = Vec::new();
    if routes {
        loads.push(load("-outbound", "CLIENT", outbound));
    }
    if has_inbound || !routes {
        loads.push(load("-inbound", "SERVER", inbound));
    }
    loads
}

/// Which pods the filter is for. A sidecar's filter that names none would be in every pod of the namespace.
fn selector(args: &Plugin) -> Result<Map<String, Value>, String> {
    let given = args.selector.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str())));
    match args.proxy {
        _ if !args.selector.is_empty() => Ok(given.collect()),
        Proxy::Gateway => Ok([("istio".to_owned(), Value::from("ingressgateway"))].into_iter().collect()),
        Proxy::Sidecar => Err("name the pods with --selector, as in --selector app=shop".to_owned()),
    }
}

/// The digest of the image: that of the reference, or of the layout, or of the registry. The inner error is what is not there.
fn digest(args: &Plugin, reference: &Reference) -> Result<Result<String, String>, String> {
    if let Some(digest) = &reference.digest {
        return Ok(Ok(digest.clone()));
    }
    let Some(tag) = &reference.tag else {
        return Err(format!("{reference}: name a tag or a digest: `outrigger publish` prints it"));
    };
    if let Some(folder) = &args.layout {
        return Ok(layout::digest(Path::new(folder), tag));
    }
    let http = Http::new(&args.connection)?;
    let found = Registry::new(&http, reference, Access::Pull).digest_of_tag();
    Ok(match found {
        Ok(Some(digest)) => Ok(digest),
        Ok(None) => Err(format!(
            "{reference}: is not in the registry: publish it first, or name its digest as in {}@sha256:...",
            reference.name()
        )),
        Err(error) => Err(error.to_string()),
    })
}

fn object(
    args: &Plugin,
    selector: &Map<String, Value>,
    url: &str,
    sha256: Option<&str>,
    load: &Load,
    environment: &std::collections::BTreeMap<String, String>,
) -> Value {
    let Choice { phase, priority, fail_strategy, mode } = load.choice;
    let name = format!("{}{}", args.name.as_deref().unwrap_or(&args.filter), load.suffix);
    let mut metadata = json!({ "name": name });
    set(&mut metadata, "namespace", args.namespace.as_deref().map_or(Value::Null, Value::from));
    let mut spec = json!({"selector": {"matchLabels": selector}, "phase": phase});
    set(&mut spec, "priority", priority.map_or(Value::Null, Value::from));
    set(&mut spec, "match", json!([{ "mode": mode }]));
    let mut wasm = json!({"url": url, "failStrategy": fail_strategy});
    set(&mut wasm, "sha256", sha256.map_or(Value::Null, Value::from));
    let own = environment.iter().map(|(name, value)| json!({"name": name, "value": value}));
    let from_host = args.env_from_host.iter().map(|name| json!({"name": name, "valueFrom": "HOST"}));
    let variables: Vec<Value> = own.chain(from_host).collect();
    if !variables.is_empty() {
        set(&mut wasm, "vmConfig", json!({ "env": variables }));
    }
    set(&mut wasm, "pluginConfig", load.config.clone());
    let kind = match args.kind {
        Kind::WasmPlugin => {
            if let (Some(fields), Value::Object(more)) = (spec.as_object_mut(), wasm) {
                fields.extend(more);
            }
            "WasmPlugin"
        }
        Kind::TrafficExtension => {
            set(&mut spec, "wasm", wasm);
            "TrafficExtension"
        }
    };
    json!({"apiVersion": "extensions.istio.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})
}

/// Sets a field of an object; null sets none.
fn set(object: &mut Value, key: &str, value: Value) {
    if let Some(fields) = object.as_object_mut().filter(|_| !value.is_null()) {
        fields.insert(key.to_owned(), value);
    }
}

#[cfg(test)]
mod tests;
