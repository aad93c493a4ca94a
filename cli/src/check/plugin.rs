//! Plugins in documents, and their configurations, which the module itself reads.

use super::{
    object::{At, Object},
    report::Report,
    rule::{Rule, rules},
};
use crate::{
    document::Node,
    modules::{self, Dist, ModuleError},
};
use harness::{ConfigureError, Module, Options, Vm, outcome::LogLine};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

rules! { "Plugins";
    CONFIG_REFUSED "config-refused" Error
        "a plugin that refuses its configuration is not there, and Istio does not look into pluginConfig before the sidecar does"
        fix "change the field that the message names; the filter's README has an example that loads"
        "https://istio.io/latest/docs/reference/config/proxy_extensions/wasm-plugin/";
    CONFIG_DROPPED "config-dropped" Warning
        "what a filter takes and leaves out, as Istio does, is not what was written: a policy is narrower or wider than it reads"
        fix "correct the field that the message names, or leave it out; policy with `mode: strict` refuses it"
        "https://istio.io/latest/docs/reference/config/security/conditions/";
    MODULE_FAILS "module-fails" Error
        "a module that cannot start takes the traffic of its listeners down"
        fix "try the module with `outrigger test`, or build it again"
        "https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/wasm_filter";
    MODULE_UNKNOWN "module-unknown" Info
        "the folder of modules has none of this name, so its configuration was not read"
        fix "put the module into the folder that --dist names"
        "https://istio.io/latest/docs/reference/config/proxy_extensions/wasm-plugin/";
}

/// The project's own filters: a missing module of one is an error, and not somebody else's plugin.
const OURS: [&str; 5] = ["ab-routing", "access-log", "policy", "metrics", ALL_IN_ONE];
/// The one that has the others in it, each with its configuration in the field of its name. Null, or no field: it is off.
const ALL_IN_ONE: &str = "all-in-one";

/// Where a plugin is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// In a WasmPlugin or a TrafficExtension.
    Istio,
    /// In a configuration of Envoy, of its own or as a patch.
    Envoy,
    /// Nowhere: its configuration is the whole file.
    Plain,
}

/// A plugin of a document.
#[derive(Debug)]
pub struct Plugin<'n> {
    /// The filter's name, or the path of its module.
    pub filter: String,
    /// Where it is declared.
    pub origin: Origin,
    /// The declaration: `spec`, `spec.wasm`, Envoy's filter, or the whole document.
    pub at: At<'n>,
    /// Where the configuration stands in the document; empty for the whole of it.
    pub path: String,
    /// The document's part that it is, for lines; `None` where the file gives none.
    pub node: Option<&'n Node>,
    /// The bytes that the host hands to the module.
    bytes: Option<Vec<u8>>,
    /// How the host gets at it.
    form: Form,
    /// The VM's environment.
    environment: BTreeMap<String, String>,
}

/// A filter's configuration within that of the module that does its work.
#[derive(Debug)]
pub struct Part {
    /// Where it stands in the module's; empty for the whole of it.
    pub path: String,
    /// What stands there; `None` for a plugin without a configuration.
    pub config: Option<Node>,
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

/// What stands for a variable that comes from the environment of Envoy itself, which is not here.
const FROM_HOST: &str = "a value of the environment of the proxy";

impl Plugin<'_> {
    /// Whether its module is this filter of the project's.
    fn is(&self, filter: &str) -> bool {
        Path::new(&self.filter).file_stem().is_some_and(|stem| stem == filter)
    }

    /// What the module has to do a filter's work: it is that filter, or all-in-one with a configuration for it. `None` where it does other work.
    pub fn part(&self, filter: &str) -> Option<Part> {
        if self.is(filter) {
            return Some(Part { path: String::new(), config: self.config() });
        }
        let path = filter.replace('-', "_");
        let config = self.config().filter(|_| self.is(ALL_IN_ONE))?.get(&path)?.clone();
        (!config.to_json().is_null()).then_some(Part { path, config: Some(config) })
    }

    /// Whether the module does a filter's work.
    pub fn runs(&self, filter: &str) -> bool {
        self.part(filter).is_some()
    }

    /// The configuration as a document, also where it stands as a text.
    pub fn config(&self) -> Option<Node> {
        match self.form {
            Form::Text => {
                let text = String::from_utf8_lossy(self.bytes.as_deref()?).into_owned();
                crate::document::parse(&text).ok()?.into_iter().next()
            }
            Form::Fields | Form::Message => self.node.cloned(),
        }
    }

    /// The line and the path of a field of the configuration.
    pub fn place(&self, inner: &str) -> (usize, String) {
        let line = match self.node {
            Some(node) if self.form == Form::Fields => node.line_of(inner),
            Some(node) => node.line,
            None => self.at.node.line,
        };
        let field = match (self.path.as_str(), inner) {
            ("", inner) => inner.to_owned(),
            (outer, "") => outer.to_owned(),
            (outer, inner) if inner.starts_with('[') => format!("{outer}{inner}"),
            (outer, inner) => format!("{outer}.{inner}"),
        };
        (line, field)
    }
}

/// Whether a mapping is Envoy's configuration of a Wasm plugin, as a filter or as an access logger; and that configuration.
fn wasm(node: &Node) -> Option<&Node> {
    let text = |key| node.get(key).and_then(Node::as_str).unwrap_or_default();
    let is_wasm = |url: &str| {
        url.ends_with("/envoy.extensions.filters.http.wasm.v3.Wasm")
            || url.ends_with("/envoy.extensions.access_loggers.wasm.v3.WasmAccessLog")
    };
    if is_wasm(text("@type")) {
        return Some(node);
    }
    let is_struct = text("@type").ends_with("TypedStruct") && is_wasm(text("type_url"));
    if is_struct { node.get("value") } else { None }
}

/// Whether a mapping is a filter or a logger whose `typed_config` is a Wasm plugin; for chains.
pub fn is_wasm(node: &Node) -> bool {
    wasm(node).is_some()
}

/// The plugins of an object.
pub fn of<'n>(object: &Object<'n>, filter: Option<&str>, dist: &Dist) -> Vec<Plugin<'n>> {
    if object.is_of("extensions.istio.io", "WasmPlugin") {
        return manifest(object.at.get("spec")).into_iter().collect();
    }
    if object.is_of("extensions.istio.io", "TrafficExtension") {
        return manifest(object.at.at(&["spec", "wasm"])).into_iter().collect();
    }
    let mut found = Vec::new();
    object.at.node.find(&object.at.path, &is_wasm, &mut found);
    let plugins: Vec<_> = found.into_iter().filter_map(|(path, node)| envoy(&path, node)).collect();
    if !plugins.is_empty() || !is_plain(object, filter) {
        return plugins;
    }
    let filter = filter.map_or_else(|| filter_of(object.file, dist), str::to_owned);
    vec![Plugin {
        filter,
        origin: Origin::Plain,
        at: object.at.clone(),
        path: String::new(),
        node: Some(object.at.node),
        bytes: Some(object.at.node.to_json().to_string().into_bytes()),
        form: Form::Fields,
        environment: BTreeMap::new(),
    }]
}

/// Whether a document is a plugin's configuration: one that was named, or any that --filter is given for.
fn is_plain(object: &Object<'_>, filter: Option<&str>) -> bool {
    !is_known(object) && (object.named || filter.is_some())
}

/// Whether a document is a manifest or a configuration of Envoy.
pub fn is_known(object: &Object<'_>) -> bool {
    let has = |key| object.at.get(key).is_some();
    !object.kind.is_empty() || has("static_resources") || has("dynamic_resources") || has("@type")
}

/// The filter of a plain configuration, by the file's path or because there is no other.
fn filter_of(file: &str, dist: &Dist) -> String {
    let names = dist.names();
    let by_path = names.iter().filter(|name| file.contains(name.as_str())).max_by_key(|name| name.len());
    by_path.or(names.first().filter(|_| names.len() == 1)).cloned().unwrap_or_default()
}

/// The plugin of an Istio manifest: the module by the last part of its URL, the configuration as Istio sends it.
fn manifest(at: Option<At<'_>>) -> Option<Plugin<'_>> {
    let at = at?;
    let name = module_of(at.text("url").filter(|url| !url.is_empty())?);
    let node = at.node.get("pluginConfig");
    let bytes =
        node.filter(|node| !node.fields().is_empty()).map(|node| node.to_json().to_string().into_bytes());
    Some(Plugin {
        filter: name.to_owned(),
        origin: Origin::Istio,
        path: at.path_of("pluginConfig"),
        environment: environment_of_manifest(at.node),
        at,
        node,
        bytes,
        form: Form::Fields,
    })
}

/// The name of a module, by the last part of its URL or of its file.
fn module_of(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let path = path.split('@').next().unwrap_or(path);
    let name = path.rsplit('/').next().unwrap_or(path);
    name.split(':').next().unwrap_or(name).trim_end_matches(".wasm")
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

/// The plugin of an Envoy filter: the module by its file's name or its URL's, the configuration as Envoy unwraps it.
pub fn envoy<'n>(path: &str, filter: &'n Node) -> Option<Plugin<'n>> {
    let value = wasm(filter)?;
    let inside = if std::ptr::eq(value, filter) { path.to_owned() } else { format!("{path}.value") };
    let config = value.get("config")?;
    let code = config.at(&["vm_config", "code"])?;
    let local = code.at(&["local", "filename"]).and_then(Node::as_str);
    let remote = code.at(&["remote", "http_uri", "uri"]).and_then(Node::as_str);
    let name = match local {
        Some(file) if Path::new(file).exists() => file,
        Some(file) => Path::new(file).file_stem()?.to_str()?,
        None => module_of(remote?),
    };
    let path = format!("{inside}.config.configuration");
    let plugin = |node, path: String, bytes, form| {
        Some(Plugin {
            filter: name.to_owned(),
            origin: Origin::Envoy,
            at: At { node: config, path: format!("{inside}.config") },
            path,
            node,
            bytes,
            form,
            environment: environment_of_envoy(config),
        })
    };
    let Some(wrapped) = config.get("configuration") else { return plugin(None, path, None, Form::Fields) };
    match wrapped.get("value").map(|value| (value, value.as_str())) {
        Some((value, Some(text))) => {
            plugin(Some(value), format!("{path}.value"), Some(text.as_bytes().to_vec()), Form::Text)
        }
        _ => plugin(Some(wrapped), path, None, Form::Message),
    }
}

/// What a configuration is to a module.
#[derive(Debug, Clone)]
enum Verdict {
    /// With what the module said of fields, of which, and the rule that they break.
    Taken(Vec<(&'static Rule, String, String)>),
    Refused(&'static Rule, String, String),
}

/// A module's name, a configuration, and the VM's environment.
type Question = (String, Option<Vec<u8>>, BTreeMap<String, String>);

/// The modules that were loaded, each once, and what they said of each configuration.
pub struct Modules<'a> {
    dist: &'a Dist,
    loaded: BTreeMap<String, Option<Module>>,
    verdicts: BTreeMap<Question, Verdict>,
    /// The modules that had to be there and are not, and why.
    pub missing: BTreeSet<String>,
}

impl<'a> Modules<'a> {
    /// The modules of a folder.
    pub fn new(dist: &'a Dist) -> Self {
        Self { dist, loaded: BTreeMap::new(), verdicts: BTreeMap::new(), missing: BTreeSet::new() }
    }

    /// The folder.
    pub fn dist(&self) -> &'a Dist {
        self.dist
    }

    /// Has a plugin's module read its configuration, in the VM's environment and what --env adds to it: that environment, where the module takes it.
    pub fn check(
        &mut self,
        object: &Object<'_>,
        plugin: &Plugin<'_>,
        environment: &[(String, String)],
        report: &mut Report,
    ) -> Option<BTreeMap<String, String>> {
        if plugin.form == Form::Message {
            let (line, field) = plugin.place("");
            let message = "must be a google.protobuf.StringValue that holds JSON: Envoy hands other messages over as protobuf bytes";
            report.add_to(object, &CONFIG_REFUSED, line, &field, message.to_owned());
            return None;
        }
        let module = self.load(object, plugin, report)?;
        let mut variables = plugin.environment.clone();
        variables.extend(environment.iter().cloned());
        let key = (plugin.filter.clone(), plugin.bytes.clone(), variables.clone());
        let verdict = self
            .verdicts
            .entry(key)
            .or_insert_with(|| ask(&module, plugin.bytes.as_deref(), variables.clone()));
        let mut add = |rule, inner: &str, message: &str| {
            let (line, field) = plugin.place(inner);
            report.add_to(object, rule, line, &field, message.to_owned());
        };
        match verdict {
            Verdict::Refused(rule, inner, message) => {
                add(rule, inner, message);
                None
            }
            Verdict::Taken(said) => {
                for (rule, inner, message) in said {
                    add(rule, inner, message);
                }
                Some(variables)
            }
        }
    }

    fn load(&mut self, object: &Object<'_>, plugin: &Plugin<'_>, report: &mut Report) -> Option<Module> {
        let filter = &plugin.filter;
        if filter.is_empty() {
            let names = self.dist.names();
            let known =
                if names.is_empty() { "none: run `cargo xtask build`".to_owned() } else { names.join(", ") };
            let message = format!(
                "{}: name the filter of this configuration with --filter (modules: {known})",
                object.file
            );
            self.missing.insert(message);
            return None;
        }
        if let Some(module) = self.loaded.get(filter).cloned().flatten() {
            return Some(module);
        }
        let is_manifest = plugin.origin == Origin::Istio || !object.kind.is_empty();
        let must_be_there = !is_manifest || OURS.contains(&filter.as_str());
        let is_first = !self.loaded.contains_key(filter);
        let path = Path::new(filter);
        let loaded = if path.is_file() { modules::load(path) } else { self.dist.load(filter) };
        match loaded {
            Ok(module) => {
                self.loaded.insert(filter.clone(), Some(module.clone()));
                return Some(module);
            }
            Err(ModuleError::Missing { .. }) if !must_be_there => {
                let message = format!("no module {filter}.wasm: its configuration was not read");
                report.add_to(object, &MODULE_UNKNOWN, plugin.at.node.line, &plugin.at.path, message);
            }
            Err(error) if is_first => drop(self.missing.insert(error.to_string())),
            Err(_) => {}
        }
        self.loaded.insert(filter.clone(), None);
        None
    }
}

/// Configures a plugin in a VM of its own.
fn ask(module: &Module, config: Option<&[u8]>, environment: BTreeMap<String, String>) -> Verdict {
    let options = Options { environment, ..Options::default() };
    let mut vm = match Vm::new(module, &options) {
        Ok(vm) => vm,
        Err(error) => return Verdict::Refused(&MODULE_FAILS, String::new(), error.to_string()),
    };
    match vm.configure(config) {
        Ok(()) => Verdict::Taken(vm.log().iter().filter_map(said).collect()),
        Err(refused) => {
            let (inner, message) = refusal(&refused);
            Verdict::Refused(&CONFIG_REFUSED, inner, message)
        }
    }
}

/// The field and the message of a warning, `NAME: configuration: FIELD: MESSAGE`, or of a candidate that is refused while the live set decides:
/// `policy: candidate refused: FIELD: MESSAGE`.
fn said(line: &LogLine) -> Option<(&'static Rule, String, String)> {
    let (rule, mark) = match line.level.as_str() {
        "warn" => (&CONFIG_DROPPED, ": configuration: "),
        "error" => (&CONFIG_REFUSED, ": candidate refused: "),
        _ => return None,
    };
    let (field, message) = field_and_message(line.text.split_once(mark)?.1);
    Some((rule, field, message))
}

/// The field and the message of the line that the module logged when it refused: `NAME: configuration refused: FIELD: MESSAGE`.
fn refusal(refused: &ConfigureError) -> (String, String) {
    let logged = refused.log.iter().find_map(|line| line.text.split_once(": configuration refused: "));
    let Some((_, said)) = logged else { return (String::new(), refused.to_string()) };
    field_and_message(said)
}

/// A path has no spaces; a message without one begins with words.
fn field_and_message(said: &str) -> (String, String) {
    match said.split_once(": ") {
        Some((path, message)) if !path.contains(' ') => (path.to_owned(), message.to_owned()),
        _ => (String::new(), said.to_owned()),
    }
}
