//! `outrigger manifest plugin`: what loads a published module into a mesh, pinned by its digest.

use super::yaml;
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
struct Choice {
    filter: &'static str,
    phase: &'static str,
    priority: Option<i32>,
    fail_strategy: &'static str,
    /// Which requests of a sidecar it sees.
    mode: &'static str,
}

const CHOICES: [Choice; 4] = [
    Choice {
        filter: "ab-routing",
        phase: "STATS",
        priority: None,
        fail_strategy: "FAIL_OPEN",
        mode: "CLIENT",
    },
    Choice {
        filter: "access-log",
        phase: "STATS",
        priority: Some(100),
        fail_strategy: "FAIL_OPEN",
        mode: "SERVER",
    },
    Choice { filter: "metrics", phase: "STATS", priority: None, fail_strategy: "FAIL_OPEN", mode: "SERVER" },
    Choice { filter: "policy", phase: "AUTHZ", priority: None, fail_strategy: "FAIL_CLOSE", mode: "SERVER" },
];

/// The WasmPlugin or the TrafficExtension of a filter that was published, pinned by its digest.
///
/// Istio compares `sha256` of an oci:// URL with the manifest's digest and that of an https:// URL with the module's bytes; a digest in the URL needs no
/// second field. The configuration is read by the module in the folder of modules first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  outrigger manifest plugin ab-routing registry.example/outrigger/ab-routing@sha256:... --config config.json --selector app=shop
  outrigger manifest plugin policy registry.example/outrigger/policy:0.1.0 --config policy.yaml --for gateway
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
    if CHOICES.iter().any(|choice| choice.filter == text) {
        return Ok(text.to_owned());
    }
    let names: Vec<_> = CHOICES.iter().map(|choice| choice.filter).collect();
    Err(format!("must be one of {}", names.join(", ")))
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
    let configured = Vm::new(&module, &options).map_err(|error| error.to_string()).and_then(|mut vm| {
        vm.configure(found.bytes.as_deref())
            .map_err(|error| error.log.last().map_or_else(|| error.to_string(), |line| line.text.clone()))
    });
    if let Err(problem) = configured {
        return refused(format!("{}: {problem}", args.config.display()));
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
    let config: Value = found
        .bytes
        .as_deref()
        .map(serde_json::from_slice)
        .transpose()
        .map_err(|error| format!("{}: must be an object, as Istio sends it: {error}", args.config.display()))?
        .unwrap_or(Value::Null);
    let plugin = object(args, &selector, &url, sha256, config, &found.environment);
    let mut text = comment + &yaml::write(&plugin);
    if args.filter == "policy" {
        let _ = write!(text, "---\n{}", yaml::write(&peer(args, &selector)));
    }
    anstream::print!("{text}");
    Ok(ExitCode::SUCCESS)
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
    sha256: Option<String>,
    config: Value,
    environment: &std::collections::BTreeMap<String, String>,
) -> Value {
    let mut metadata = json!({"name": args.name.as_deref().unwrap_or(&args.filter)});
    let mut wasm = json!({"url": url});
    let mut spec = json!({"selector": {"matchLabels": selector}});
    set(&mut metadata, "namespace", args.namespace.as_deref().map_or(Value::Null, Value::from));
    if let Some(choice) = CHOICES.iter().find(|choice| choice.filter == args.filter) {
        set(&mut spec, "phase", choice.phase.into());
        set(&mut spec, "priority", choice.priority.map_or(Value::Null, Value::from));
        // A gateway's listeners are those of CLIENT (Istio's WorkloadMode).
        let mode = if args.proxy == Proxy::Gateway { "CLIENT" } else { choice.mode };
        set(&mut spec, "match", json!([{ "mode": mode }]));
        set(&mut wasm, "failStrategy", choice.fail_strategy.into());
    }
    set(&mut wasm, "sha256", sha256.map_or(Value::Null, Value::from));
    let own = environment.iter().map(|(name, value)| json!({"name": name, "value": value}));
    let from_host = args.env_from_host.iter().map(|name| json!({"name": name, "valueFrom": "HOST"}));
    let variables: Vec<Value> = own.chain(from_host).collect();
    if !variables.is_empty() {
        set(&mut wasm, "vmConfig", json!({ "env": variables }));
    }
    set(&mut wasm, "pluginConfig", config);
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

/// What policy needs beside it for `ipBlocks`: the direct peer's address in filter state, since no attribute that a plugin can read has it.
fn peer(args: &Plugin, selector: &Map<String, Value>) -> Value {
    let mut metadata = json!({"name": "outrigger-peer"});
    set(&mut metadata, "namespace", args.namespace.as_deref().map_or(Value::Null, Value::from));
    let context = if args.proxy == Proxy::Gateway { "GATEWAY" } else { "SIDECAR_INBOUND" };
    let manager = json!({"name": "envoy.filters.network.http_connection_manager"});
    json!({
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": metadata,
        "spec": {
            "workloadSelector": {"labels": selector},
            "configPatches": [{
                "applyTo": "HTTP_FILTER",
                "match": {"context": context, "listener": {"filterChain": {"filter": manager}}},
                "patch": {
                    "operation": "INSERT_FIRST",
                    "value": {
                        "name": "outrigger.peer",
                        "typed_config": {
                            "@type": "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config",
                            "on_request_headers": [{
                                "object_key": "outrigger.peer",
                                "factory_key": "envoy.string",
                                "format_string": {
                                    "text_format_source": {"inline_string": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"}
                                }
                            }]
                        }
                    }
                }
            }]
        }
    })
}

/// Sets a field of an object; null sets none.
fn set(object: &mut Value, key: &str, value: Value) {
    if let Some(fields) = object.as_object_mut().filter(|_| !value.is_null()) {
        fields.insert(key.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::CHOICES;
    use crate::document::{self, Node};
    use std::{fs, path::Path};

    #[test]
    fn filters_are_loaded_as_the_manifests_of_istio_load_them() {
        let istio = Path::new(env!("CARGO_MANIFEST_DIR")).join("../istio");
        for choice in &CHOICES {
            let path = istio.join(format!("{}.yaml", choice.filter));
            let documents = document::parse(&fs::read_to_string(&path).unwrap()).unwrap();
            let plugins: Vec<&Node> = documents
                .iter()
                .filter(|document| document.get("kind").and_then(Node::as_str) == Some("WasmPlugin"))
                .collect();
            assert!(!plugins.is_empty(), "{}", path.display());
            for plugin in plugins {
                let text = |field: &str| plugin.at(&["spec", field]).and_then(Node::as_str);
                assert_eq!(text("phase"), Some(choice.phase), "{}", path.display());
                assert_eq!(text("failStrategy"), Some(choice.fail_strategy), "{}", path.display());
                let priority = plugin.at(&["spec", "priority"]).map(|node| node.to_json().as_i64().unwrap());
                assert_eq!(priority, choice.priority.map(i64::from), "{}", path.display());
                let modes = plugin.at(&["spec", "match"]).map(Node::items).unwrap_or_default();
                let modes: Vec<_> = modes.iter().filter_map(|item| item.get("mode")?.as_str()).collect();
                assert!(modes.is_empty() || modes == [choice.mode], "{}: {modes:?}", path.display());
            }
        }
    }
}
