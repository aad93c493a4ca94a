//! `outrigger publish`: pushes a module to an OCI registry, in the forms that Istio's agent and Envoy Gateway accept.

pub mod auth;
pub mod error;
pub mod layout;
mod package;
pub mod reference;
pub mod registry;

use crate::{
    finding::Severity,
    modules::Dist,
    replay::inspect::{self, Facts},
};
use auth::Access;
use clap::ValueEnum;
use comfy_table::Table;
pub use package::digest;
use package::{Form, Package};
use reference::Reference;
use registry::{Connection, Http, Pushed, Registry};
use serde::Serialize;
use std::{collections::BTreeMap, env, path::PathBuf, process::ExitCode};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// The custom section that filters of this project have.
const OURS: &str = "outrigger.callbacks";
/// What is added to the tag of the artifact form where both are pushed.
const ARTIFACT: &str = "-artifact";

/// Pushes a module to an OCI registry, in a form that Istio's agent and Envoy Gateway accept.
///
/// The same module with the same annotations has the same digest, wherever and whenever it is published. A tag that is there with another digest stays as
/// it is. Credentials come from Docker's configuration: $DOCKER_CONFIG/config.json, or else ~/.docker/config.json, with the programs that it names.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  outrigger publish ab-routing registry.example/outrigger/ab-routing:0.1.0
  outrigger publish ab-routing registry.example/outrigger/ab-routing:0.1.0 --form both --json
  outrigger publish ab-routing registry.example/outrigger/ab-routing:0.1.0 --layout out/

Exit codes: 0 it is in the registry, 1 it is not, 2 a wrong call, or a module that is not there.")]
pub struct Args {
    /// A filter's name, or the path of a .wasm.
    module: String,
    /// Where to: HOST[:PORT]/REPOSITORY:TAG.
    #[arg(value_parser = target)]
    reference: Reference,
    /// The form: an image of one layer, as Docker builds them; an artifact of two layers; or both, the artifact with `-artifact` behind its tag.
    #[arg(long, value_enum, default_value_t = Forms::Image)]
    form: Forms,
    /// The folder of modules [default: $OUTRIGGER_DIST, or else dist].
    #[arg(long)]
    dist: Option<PathBuf>,
    /// Write an OCI image layout into this folder, and push nothing.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["force", "plain_http", "ca_file"])]
    layout: Option<PathBuf>,
    /// Say the digests, and push nothing.
    #[arg(long, conflicts_with_all = ["force", "layout"])]
    dry_run: bool,
    /// Move a tag that is there with another digest.
    #[arg(long)]
    force: bool,
    /// Print what was published as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    about: About,
    #[command(flatten)]
    connection: Connection,
}

/// What annotations say of a module. They are part of what the digest is of.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Annotations")]
struct About {
    /// Where its source is: a URL.
    #[arg(long, value_name = "URL")]
    source: Option<String>,
    /// The source's revision, such as a commit.
    #[arg(long)]
    revision: Option<String>,
    /// Its licences: an SPDX expression.
    #[arg(long, value_name = "SPDX")]
    licenses: Option<String>,
    /// Its version.
    #[arg(long, value_name = "VERSION")]
    module_version: Option<String>,
    /// Its title for people [default: the module's name].
    #[arg(long)]
    title: Option<String>,
    /// Another annotation; may be given several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = crate::check::variable)]
    annotation: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Forms {
    Image,
    Artifact,
    Both,
}

/// What came of one form. Every key is always there in JSON.
#[derive(Debug, Serialize)]
struct Published {
    form: &'static str,
    reference: String,
    digest: String,
    pinned: String,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Pushed,
    Unchanged,
    Written,
    DryRun,
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Pushed => "pushed",
            Self::Unchanged => "there already, nothing to do",
            Self::Written => "written",
            Self::DryRun => "not pushed",
        }
    }
}

fn target(text: &str) -> Result<Reference, String> {
    let reference = Reference::parse(text)?;
    if reference.digest.is_some() {
        return Err("a digest is what a push comes to: name a tag".to_owned());
    }
    if reference.tag.is_none() {
        return Err(format!(
            "needs a tag, as in {text}:0.1.0: without one it is `latest`, which nobody can pin"
        ));
    }
    Ok(reference)
}

/// Runs the command. What a registry refuses, or a module that no host would run, is printed: exit code 1.
///
/// # Errors
/// A wrong call, or a module that is not there: exit code 2.
pub fn run(args: &Args) -> Result<ExitCode, String> {
    let dist = Dist::find(args.dist.as_deref());
    let wasm = dist.read(&args.module).map_err(|error| error.to_string())?;
    let created = created()?;
    let http = Http::new(&args.connection)?;
    let published = examine(&wasm, &args.module)
        .and_then(|facts| publish(args, &wasm, &facts, created.as_deref(), &http));
    let published = match published {
        Ok(published) => published,
        Err(problem) => {
            anstream::eprintln!("{}: {problem}", Severity::Error);
            return Ok(ExitCode::FAILURE);
        }
    };
    if args.json {
        anstream::println!("{}", serde_json::json!({ "published": published }));
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new();
    table.set_header(["form", "tag", "digest", ""]);
    for Published { form, reference, digest, state, .. } in &published {
        let tag = reference.rsplit(':').next().unwrap_or_default();
        table.add_row([*form, tag, digest, state.word()]);
    }
    anstream::println!("{table}");
    for Published { pinned, .. } in &published {
        anstream::println!("oci://{pinned}");
    }
    Ok(ExitCode::SUCCESS)
}

/// What a module is; a problem where no Proxy-Wasm host would run it, or where it is not the filter that it is called.
fn examine(wasm: &[u8], module: &str) -> Result<Facts, String> {
    let facts = inspect::read(wasm).map_err(|error| {
        format!(
            "{module}: is no WebAssembly module: {error}; publish a .wasm as `cargo xtask build` makes it"
        )
    })?;
    if facts.abi.is_none() {
        return Err(format!(
            "{module}: is no Proxy-Wasm module: it exports no `proxy_abi_version_...`, so that no Envoy would run it; build it \
             with a Proxy-Wasm SDK as a library of kind cdylib"
        ));
    }
    if !Dist::is_path(module) && !facts.has_section(OURS) {
        return Err(format!(
            "{module}: the module of this name is not Outrigger's: it has no section `{OURS}`; run `cargo xtask build`, or \
             publish a module of your own by its path"
        ));
    }
    Ok(facts)
}

fn publish(
    args: &Args,
    wasm: &[u8],
    facts: &Facts,
    created: Option<&str>,
    http: &Http,
) -> Result<Vec<Published>, String> {
    let abi = facts.abi.as_deref().unwrap_or_default();
    let annotations = annotations(args, wasm, abi, created);
    let tag = args.reference.tag.as_deref().unwrap_or_default();
    let forms = match args.form {
        Forms::Image => vec![(Form::Image, tag.to_owned())],
        Forms::Artifact => vec![(Form::Artifact, tag.to_owned())],
        Forms::Both => vec![(Form::Image, tag.to_owned()), (Form::Artifact, format!("{tag}{ARTIFACT}"))],
    };
    let mut published = Vec::new();
    for (form, tag) in forms {
        let package = Package::new(form, wasm, abi, created, &annotations);
        let reference = args.reference.with_tag(&tag);
        let state = if let Some(folder) = &args.layout {
            layout::add(folder, &tag, &package)?;
            State::Written
        } else if args.dry_run {
            State::DryRun
        } else {
            let pushed = Registry::new(http, &reference, Access::Push).push(&package, args.force);
            match pushed.map_err(|error| error.to_string())? {
                Pushed::New => State::Pushed,
                Pushed::Unchanged => State::Unchanged,
            }
        };
        let digest = package.manifest.digest;
        published.push(Published {
            form: form.name(),
            pinned: reference.pinned(&digest),
            reference: reference.to_string(),
            digest,
            state,
        });
    }
    Ok(published)
}

/// The annotations of OCI, and what a host has to know of the module. Nothing comes from the machine or its clock.
fn annotations(args: &Args, wasm: &[u8], abi: &str, created: Option<&str>) -> BTreeMap<String, String> {
    let name = args.module.rsplit('/').next().unwrap_or(&args.module).trim_end_matches(".wasm");
    let About { source, revision, licenses, module_version, title, annotation } = &args.about;
    let oci = [
        ("created", created),
        ("licenses", licenses.as_deref()),
        ("revision", revision.as_deref()),
        ("source", source.as_deref()),
        ("title", Some(title.as_deref().unwrap_or(name))),
        ("version", module_version.as_deref()),
    ];
    let oci = oci
        .into_iter()
        .filter_map(|(key, value)| Some((format!("org.opencontainers.image.{key}"), value?.to_owned())));
    let own = [("filter", name.to_owned()), ("abi", abi.to_owned()), ("wasm", digest(wasm))];
    let own = own.into_iter().map(|(key, value)| (format!("dev.outrigger.{key}"), value));
    oci.chain(own).chain(annotation.iter().cloned()).collect()
}

/// The time of creation: `$SOURCE_DATE_EPOCH`, in seconds since 1970 (reproducible-builds.org), and none without it.
fn created() -> Result<Option<String>, String> {
    let Some(text) = env::var_os("SOURCE_DATE_EPOCH") else { return Ok(None) };
    let seconds = text.to_str().and_then(|text| text.parse::<i64>().ok());
    let time = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let text = time.and_then(|time| time.format(&Rfc3339).ok());
    text.map(Some).ok_or_else(|| "$SOURCE_DATE_EPOCH must be seconds since 1970".to_owned())
}
