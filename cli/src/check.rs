//! `outrigger check`: says what is wrong with configurations and manifests before a cluster does.

mod access_log;
mod authz;
mod container;
mod envoy_filter;
mod input;
mod kinds;
mod meaning;
mod mesh;
mod object;
mod order;
mod plugin;
mod ports;
mod print;
mod report;
mod rule;
mod sarif;
mod secrets;
mod security;
mod target;
pub mod url;
mod wasm;
mod workload;

use crate::{finding::Severity, modules::Dist};
use container::Oldest;
use object::Object;
use plugin::Modules;
use report::Report;
use std::{path::PathBuf, process::ExitCode};
use workload::World;

/// Reads Envoy bootstraps, Istio and Kubernetes manifests and plugin configurations, and says what is wrong before a cluster does.
///
/// Every plugin configuration is read by the very module that will be deployed. A plain configuration belongs to the filter that --filter names, or
/// else to the one whose name is in the file's path, or else to the only one in the folder of modules. A folder is read with the folders in it: .yaml,
/// .yml and .json. Budgets, autoscalers and service accounts are looked for in all that is given, so give a folder as a whole.
///
/// An object suppresses rules with the annotation `outrigger.dev/ignore: "replicas, zone-spread"`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  outrigger check deploy/                            all manifests of a folder
  outrigger check --strict --ignore zone-spread k8s/ warnings fail too, but for one rule
  outrigger check --sarif deploy/ > check.sarif      for a code host's review
  outrigger check --filter ab-routing config.json    a plain plugin configuration

Exit codes: 0 nothing wrong, 1 an error was found (--strict: or a warning), 2 a wrong call, or a module that is not there.")]
#[allow(clippy::struct_excessive_bools, reason = "flags of a command line are truth values")]
pub struct Args {
    /// YAML and JSON files, and folders of them.
    #[arg(required_unless_present_any = ["rules", "rules_markdown"])]
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
    #[arg(long, conflicts_with = "sarif")]
    json: bool,
    /// Print the findings as SARIF 2.1.0.
    #[arg(long)]
    sarif: bool,
    /// Exit with 1 on warnings too.
    #[arg(long)]
    strict: bool,
    /// Leave a rule out; may be given several times.
    #[arg(long, value_name = "RULE", value_delimiter = ',')]
    ignore: Vec<String>,
    /// A list of the oldest image tags that are still good: `IMAGE:TAG` a line, `#` for comments.
    #[arg(long, value_name = "FILE")]
    old_images: Option<PathBuf>,
    /// List all rules and exit; with --json as JSON.
    #[arg(long)]
    rules: bool,
    /// Write the rules as the docs have them and exit.
    #[arg(long, hide = true)]
    rules_markdown: bool,
}

pub fn variable(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').ok_or("must be NAME=VALUE")?;
    Ok((pair.0.to_owned(), pair.1.to_owned()))
}

/// Runs the command.
///
/// # Errors
/// A file cannot be read, a rule is not one, or a module is not there: exit code 2. What was found is printed before.
pub fn run(args: &Args) -> Result<ExitCode, String> {
    if args.rules_markdown {
        anstream::print!("{}", print::markdown());
        return Ok(ExitCode::SUCCESS);
    }
    if args.rules {
        print::rules(args.json);
        return Ok(ExitCode::SUCCESS);
    }
    for id in &args.ignore {
        rule::named(id).map_err(|error| format!("--ignore: {error}"))?;
    }
    let oldest = args.old_images.as_deref().map(Oldest::read).transpose()?.unwrap_or_default();
    let dist = Dist::find(args.dist.as_deref());
    let mut report = Report::without(&args.ignore);
    let files = input::files(&args.files)?;
    let mut documents = Vec::new();
    for (path, named) in &files {
        input::read(path, *named, &mut report, &mut documents);
    }
    let objects: Vec<_> = documents
        .iter()
        .flat_map(|document| Object::of(&document.file, document.named, &document.node))
        .collect();
    let mut modules = Modules::new(&dist);
    check(&objects, args, &oldest, &mut modules, &mut report);
    report.sort();
    if args.json {
        anstream::println!("{}", serde_json::json!({ "findings": report.findings }));
    } else if args.sarif {
        anstream::println!("{}", sarif::of(&report));
    } else {
        print::people(&report, files.len());
    }
    if !modules.missing.is_empty() {
        return Err(modules.missing.into_iter().collect::<Vec<_>>().join("\nerror: "));
    }
    let limit = if args.strict { Severity::Warning } else { Severity::Error };
    Ok(ExitCode::from(u8::from(report.findings.iter().any(|finding| finding.severity >= limit))))
}

fn check(
    objects: &[Object<'_>],
    args: &Args,
    oldest: &Oldest,
    modules: &mut Modules<'_>,
    report: &mut Report,
) {
    let world = World::of(objects);
    let mut plugins = Vec::new();
    for object in objects {
        for id in object.ignored() {
            if let Err(message) = rule::named(id) {
                let field = format!("metadata.annotations[\"{}\"]", object::IGNORE);
                report.add_to(
                    object,
                    &input::UNKNOWN_RULE,
                    object.at.node.line_of("metadata.annotations"),
                    &field,
                    message,
                );
            }
        }
        if !plugin::is_known(object) && !object.named && args.filter.is_none() && !object.at.is_empty() {
            report.add(
                object,
                &input::UNKNOWN_DOCUMENT,
                &object.at,
                "is neither a manifest nor a bootstrap of Envoy",
            );
            continue;
        }
        kinds::check(object, report);
        target::check(object, report);
        wasm::check(object, report);
        envoy_filter::check(object, report);
        authz::check(object, report);
        mesh::check(object, report);
        order::check(object, report);
        access_log::check(object, report);
        workload::check(object, &world, report);
        container::check(object, oldest, report);
        security::check(object, &world, report);
        secrets::check(object, report);
        ports::check(object, report);
        for plugin in plugin::of(object, args.filter.as_deref(), modules.dist()) {
            wasm::check_plugin(object, &plugin, report);
            secrets::check_plugin(object, &plugin, report);
            if let Some(environment) = modules.check(object, &plugin, &args.env, report) {
                meaning::check_plugin(object, &plugin, &environment, report);
            }
            plugins.push((object, plugin));
        }
    }
    order::check_all(&plugins, report);
    access_log::check_all(&plugins, objects, report);
    meaning::check_all(objects, report);
}
