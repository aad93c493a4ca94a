//! `outrigger check`: says what is wrong with a configuration before a cluster does.

use crate::{
    document::{self, Node},
    finding::{Finding, Severity},
    modules::{self, Dist, ModuleError},
};
use harness::{ConfigureError, Options, Vm};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Reads Envoy bootstraps, WasmPlugin and TrafficExtension manifests and plain plugin configurations, and says what is wrong with them.
///
/// A plain configuration belongs to the filter that --filter names, or else to the one whose name is in the file's path, or else to the only
/// one in the folder of modules.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// YAML and JSON files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The filter of plain plugin configurations: a name, or the path of a .wasm.
    #[arg(long)]
    filter: Option<String>,
    /// A variable of the VM's environment, for a plain configuration that names one; what a bootstrap or a manifest sets is set in any case.
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// The folder of modules [default: $OUTRIGGER_DIST, or else dist].
    #[arg(long)]
    dist: Option<PathBuf>,
    /// Print the findings as JSON.
    #[arg(long)]
    json: bool,
    /// Exit with 1 on warnings too.
    #[arg(long)]
    strict: bool,
}

/// A plugin's configuration in a file.
struct Plugin<'n> {
    /// The filter's name, or the path of its module.
    filter: String,
    /// Where the configuration stands in the document; empty for the whole of it.
    path: String,
    /// The document's part that it is, for lines; `None` where the file gives none.
    node: Option<&'n Node>,
    /// The bytes that the host hands to the module.
    bytes: Option<Vec<u8>>,
    /// How the host gets at it.
    form: Form,
    /// The VM's environment.
    environment: BTreeMap<String, String>,
}

/// What stands for a variable that comes from the environment of Envoy itself, which is not here.
const FROM_HOST: &str = "a value of the environment of the proxy";

pub fn variable(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').ok_or("must be NAME=VALUE")?;
    Ok((pair.0.to_owned(), pair.1.to_owned()))
}

/// How a configuration stands in a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As fields of the document.
    Fields,
    /// As a text of JSON, whose own lines are not the file's.
    Text,
    /// As a message that Envoy hands over in protobuf's bytes.
    Message,
}

/// Runs the command.
///
/// # Errors
/// A file cannot be read, or there is no module for a plain configuration: exit code 2.
pub fn run(args: &Args) -> Result<ExitCode, String> {
    let dist = Dist::find(args.dist.as_deref());
    let mut findings = Vec::new();
    for path in &args.files {
        let file = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|error| format!("{file}: {error}"))?;
        check_text(&file, &text, args, &dist, &mut findings).map_err(|error| error.to_string())?;
    }
    if args.json {
        let report = serde_json::json!({ "findings": findings });
        anstream::println!("{report}");
    } else {
        for finding in &findings {
            anstream::println!("{finding}");
        }
        let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
        let (errors, warnings, files) = (count(Severity::Error), count(Severity::Warning), args.files.len());
        anstream::println!("{files} files checked: {errors} errors, {warnings} warnings");
    }
    let limit = if args.strict { Severity::Warning } else { Severity::Error };
    Ok(ExitCode::from(u8::from(findings.iter().any(|finding| finding.severity >= limit))))
}

fn check_text(
    file: &str,
    text: &str,
    args: &Args,
    dist: &Dist,
    findings: &mut Vec<Finding>,
) -> Result<(), ModuleError> {
    let documents = match document::parse(text) {
        Ok(documents) => documents,
        Err(error) => {
            findings.push(Finding {
                id: "syntax",
                severity: Severity::Error,
                file: file.to_owned(),
                line: Some(error.line),
                field: None,
                message: format!("must be YAML or JSON: {}", error.message),
                fix: None,
                link: None,
            });
            return Ok(());
        }
    };
    for document in &documents {
        for mut plugin in plugins(document, file, args.filter.as_deref(), dist) {
            plugin.environment.extend(args.env.iter().cloned());
            check_plugin(file, document, &plugin, dist, findings)?;
        }
    }
    Ok(())
}

/// The configuration of a filter in a document: that of the plugin that runs it, or the whole of a plain one.
pub fn configuration(document: &Node, filter: &str, dist: &Dist) -> Option<Vec<u8>> {
    let of_it =
        |plugin: &Plugin<'_>| Path::new(&plugin.filter).file_stem().is_some_and(|name| name == filter);
    plugins(document, filter, Some(filter), dist)
        .into_iter()
        .find(of_it)
        .map(|plugin| plugin.bytes.unwrap_or_default())
}

/// The plugins of a document.
fn plugins<'n>(document: &'n Node, file: &str, filter: Option<&str>, dist: &Dist) -> Vec<Plugin<'n>> {
    let kind = document.get("kind").and_then(Node::as_str);
    match kind {
        Some("WasmPlugin") => manifest(document, "spec").into_iter().collect(),
        Some("TrafficExtension") => manifest(document, "spec.wasm").into_iter().collect(),
        _ => {
            let mut found = Vec::new();
            let is_wasm = |node: &Node| {
                let kind = node.get("@type").and_then(Node::as_str);
                kind.is_some_and(|kind| kind.ends_with("/envoy.extensions.filters.http.wasm.v3.Wasm"))
            };
            document.find("", &is_wasm, &mut found);
            if !found.is_empty() || document.get("static_resources").is_some() || kind.is_some() {
                return found.into_iter().filter_map(|(path, node)| envoy(&path, node)).collect();
            }
            let filter = filter.map_or_else(|| filter_of(file, dist), str::to_owned);
            let bytes = Some(document.to_json().to_string().into_bytes());
            let environment = BTreeMap::new();
            let path = String::new();
            vec![Plugin { filter, path, node: Some(document), bytes, form: Form::Fields, environment }]
        }
    }
}

/// The filter of a plain configuration, by the file's path or because there is no other.
fn filter_of(file: &str, dist: &Dist) -> String {
    let names = dist.names();
    let by_path = names.iter().find(|name| file.contains(name.as_str()));
    by_path.or(names.first().filter(|_| names.len() == 1)).cloned().unwrap_or_else(|| "FILTER".to_owned())
}

/// The plugin of an Istio manifest: the module by the last part of its URL, the configuration as Istio sends it.
fn manifest<'n>(document: &'n Node, spec: &str) -> Option<Plugin<'n>> {
    let part = document.at(&spec.split('.').collect::<Vec<_>>())?;
    let url = part.get("url").and_then(Node::as_str)?;
    let name = url.rsplit('/').next().unwrap_or(url);
    let name = name.split(['@', ':']).next().unwrap_or(name).trim_end_matches(".wasm");
    let node = part.get("pluginConfig");
    let bytes = node.map(|node| node.to_json().to_string().into_bytes());
    Some(Plugin {
        filter: name.to_owned(),
        path: format!("{spec}.pluginConfig"),
        node,
        bytes,
        form: Form::Fields,
        environment: environment_of_manifest(part),
    })
}

/// What Istio puts into the VM's environment: `vmConfig.env`, with values of its own or of the host's.
fn environment_of_manifest(spec: &Node) -> BTreeMap<String, String> {
    let list = spec.at(&["vmConfig", "env"]).map(Node::items).unwrap_or_default();
    let one = |node: &Node| {
        let text = |field| node.get(field).and_then(Node::as_str).map(str::to_owned);
        let is_host = text("valueFrom").is_some_and(|from| from == "HOST");
        Some((text("name")?, if is_host { FROM_HOST.to_owned() } else { text("value")? }))
    };
    list.iter().filter_map(one).collect()
}

/// What Envoy puts into the VM's environment: `environment_variables`, with values of its own or of the host's.
fn environment_of_envoy(config: &Node) -> BTreeMap<String, String> {
    let Some(node) = config.at(&["vm_config", "environment_variables"]) else { return BTreeMap::new() };
    let from_host = node.get("host_env_keys").map(Node::items).unwrap_or_default();
    let from_host =
        from_host.iter().filter_map(|name| Some((name.as_str()?.to_owned(), FROM_HOST.to_owned())));
    let own = node.get("key_values").map(Node::fields).unwrap_or_default();
    let own = own.iter().filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
    from_host.chain(own).collect()
}

/// The plugin of an Envoy filter: the module by its file's name, the configuration as Envoy unwraps it.
fn envoy<'n>(path: &str, filter: &'n Node) -> Option<Plugin<'n>> {
    let config = filter.get("config")?;
    let code = config.at(&["vm_config", "code", "local", "filename"]).and_then(Node::as_str)?;
    let file = Path::new(code);
    let name = if file.exists() { code } else { file.file_stem()?.to_str()? };
    let path = format!("{path}.config.configuration");
    let environment = environment_of_envoy(config);
    let plugin = |node, path: String, bytes, form| {
        Some(Plugin { filter: name.to_owned(), path, node, bytes, form, environment: environment.clone() })
    };
    let Some(wrapped) = config.get("configuration") else { return plugin(None, path, None, Form::Fields) };
    match wrapped.get("value").map(|value| (value, value.as_str())) {
        Some((value, Some(text))) => {
            plugin(Some(value), format!("{path}.value"), Some(text.as_bytes().to_vec()), Form::Text)
        }
        _ => plugin(Some(wrapped), path, None, Form::Message),
    }
}

fn check_plugin(
    file: &str,
    document: &Node,
    plugin: &Plugin<'_>,
    dist: &Dist,
    findings: &mut Vec<Finding>,
) -> Result<(), ModuleError> {
    let module = if Path::new(&plugin.filter).exists() {
        modules::load(Path::new(&plugin.filter))
    } else {
        dist.load(&plugin.filter)
    }?;
    let finding = |id, line, field: &str, message: String| Finding {
        id,
        severity: Severity::Error,
        file: file.to_owned(),
        line: Some(line),
        field: (!field.is_empty()).then(|| field.to_owned()),
        message,
        fix: None,
        link: None,
    };
    let line = plugin.node.map_or(document.line, |node| node.line);
    if plugin.form == Form::Message {
        let message = "must be a google.protobuf.StringValue that holds JSON: Envoy hands other messages over as protobuf bytes";
        findings.push(finding("config-refused", line, &plugin.path, message.to_owned()));
        return Ok(());
    }
    let options = Options { environment: plugin.environment.clone(), ..Options::default() };
    let mut vm = match Vm::new(&module, &options) {
        Ok(vm) => vm,
        Err(error) => {
            findings.push(finding("module-fails", line, &plugin.path, error.to_string()));
            return Ok(());
        }
    };
    let Err(refused) = vm.configure(plugin.bytes.as_deref()) else { return Ok(()) };
    let (inner, message) = refusal(&refused);
    let line = match plugin.node {
        Some(node) if plugin.form == Form::Fields => node.line_of(&inner),
        _ => line,
    };
    let field = match (plugin.path.as_str(), inner.as_str()) {
        ("", inner) => inner.to_owned(),
        (outer, "") => outer.to_owned(),
        (outer, inner) if inner.starts_with('[') => format!("{outer}{inner}"),
        (outer, inner) => format!("{outer}.{inner}"),
    };
    findings.push(finding("config-refused", line, &field, message));
    Ok(())
}

/// The field and the message of the line that the module logged when it refused: `NAME: configuration refused: FIELD: MESSAGE`.
fn refusal(refused: &ConfigureError) -> (String, String) {
    let logged = refused.log.iter().find_map(|line| line.text.split_once(": configuration refused: "));
    let Some((_, said)) = logged else { return (String::new(), refused.to_string()) };
    // A path has no spaces; a message without one begins with words.
    match said.split_once(": ") {
        Some((path, message)) if !path.contains(' ') => (path.to_owned(), message.to_owned()),
        _ => (String::new(), said.to_owned()),
    }
}
