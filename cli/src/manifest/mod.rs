//! `outrigger manifest`: writes what a filter's configuration needs around it.

mod collector;
mod envoy;
mod grafana;
mod istio;
mod peer;
mod plugin;
mod policy;
mod prometheus;
mod yaml;

use crate::configuration;
use clap::{Subcommand, ValueEnum};
use filter_kit::{Environment, metrics::Encoding};
use metrics::MetricsFilter;
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Writes what a filter's configuration needs around it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  outrigger manifest metrics --config envoy-configs/metrics.yaml --part envoy")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Metrics(Metrics),
    Plugin(Box<plugin::Plugin>),
    Policy(policy::Args),
}

/// What the metrics filter's configuration needs of Envoy, Istio, Prometheus, Grafana and the OpenTelemetry Collector.
///
/// Labels and buckets are taken out of the names of stats by what the proxy is started with, which has to agree with the filter's configuration.
#[derive(Debug, clap::Args)]
struct Metrics {
    /// The filter's configuration: JSON or YAML, or a bootstrap or manifest that holds it.
    #[arg(long)]
    config: PathBuf,
    /// Only this part, on stdout.
    #[arg(long, value_enum)]
    part: Option<Part>,
    /// Write each part into a file of this folder.
    #[arg(long, conflicts_with = "part")]
    out: Option<PathBuf>,
    /// The share of requests that must not fail, in per cent.
    #[arg(long, default_value_t = 99.9, value_parser = percent)]
    slo: f64,
    /// The longest duration of 99 of 100 requests, in milliseconds.
    #[arg(long, default_value_t = 1000)]
    latency: u64,
    /// The share of an arm, as NAME=SHARE with a share of 0 to 1: an alert says when requests are not divided so.
    #[arg(long, value_name = "NAME=SHARE", value_parser = arm)]
    arm: Vec<(String, f64)>,
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Envoy's `stats_config`: labels and buckets.
    Envoy,
    /// The annotations of a pod in Istio.
    Istio,
    /// Istio's mesh configuration.
    Mesh,
    /// Prometheus' recording and alerting rules.
    Rules,
    /// A Grafana dashboard.
    Dashboard,
    /// The OpenTelemetry Collector's scrape job and conversions.
    Collector,
}

impl Part {
    const fn file(self) -> &'static str {
        match self {
            Self::Envoy => "stats-config.yaml",
            Self::Istio => "istio-annotations.yaml",
            Self::Mesh => "istio-mesh.yaml",
            Self::Rules => "rules.yaml",
            Self::Dashboard => "dashboard.json",
            Self::Collector => "collector.yaml",
        }
    }

    /// Istio's parts need its encoding: they have nothing to say of another one.
    fn is_for(self, filter: &MetricsFilter) -> bool {
        !matches!(self, Self::Istio | Self::Mesh) || filter.encoding() == Encoding::Istio
    }
}

/// What objectives rules and dashboards know of.
#[derive(Debug, Clone, Copy)]
struct Objectives<'a> {
    /// The share of requests that may fail.
    budget: f64,
    /// In milliseconds.
    latency: u64,
    arms: &'a [(String, f64)],
}

fn percent(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (1.0..100.0).contains(share));
    share.ok_or_else(|| "must be a number from 1 to below 100".to_owned())
}

fn arm(text: &str) -> Result<(String, f64), String> {
    let pair = text.split_once('=').and_then(|(name, share)| Some((name, share.parse::<f64>().ok()?)));
    match pair {
        Some((name, share)) if share > 0.0 && share < 1.0 && !name.contains(['"', '\\']) => {
            Ok((name.to_owned(), share))
        }
        _ => Err("must be NAME=SHARE, with a share between 0 and 1".to_owned()),
    }
}

/// Runs the command.
///
/// # Errors
/// The configuration cannot be read or is refused, or a file cannot be written: exit code 2. `manifest plugin` says its own.
pub fn run(args: &Args) -> Result<ExitCode, String> {
    let args = match &args.what {
        What::Metrics(args) => args,
        What::Plugin(args) => return plugin::run(args),
        What::Policy(args) => {
            let (manifests, notes) = policy::manifests(args)?;
            anstream::print!("{manifests}");
            for note in notes {
                anstream::eprintln!("note: {note}");
            }
            return Ok(ExitCode::SUCCESS);
        }
    };
    let filter = load(&args.config)?;
    if let Some(part) = args.part {
        if !part.is_for(&filter) {
            return Err("metrics.labels must be `istio` for what Istio makes labels of".to_owned());
        }
        anstream::print!("{}", text(part, &filter, args));
        return Ok(ExitCode::SUCCESS);
    }
    for part in Part::value_variants().iter().filter(|part| part.is_for(&filter)) {
        let text = text(*part, &filter, args);
        match &args.out {
            None => anstream::println!("# {}\n{text}", part.file()),
            Some(folder) => {
                let path = folder.join(part.file());
                let written = fs::create_dir_all(folder).and_then(|()| fs::write(&path, text));
                written.map_err(|error| format!("{}: {error}", path.display()))?;
                anstream::println!("{}", path.display());
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn text(part: Part, filter: &MetricsFilter, args: &Metrics) -> String {
    let objectives = Objectives { budget: 1.0 - args.slo / 100.0, latency: args.latency, arms: &args.arm };
    match part {
        Part::Envoy => yaml::write(&envoy::stats_config(filter)),
        Part::Istio => yaml::write(&istio::annotations(filter)),
        Part::Mesh => yaml::write(&istio::mesh(filter)),
        Part::Rules => yaml::write(&prometheus::rules(filter, objectives)),
        Part::Dashboard => format!("{:#}\n", grafana::dashboard(filter)),
        Part::Collector => yaml::write(&collector::config(filter)),
    }
}

/// The filter of a configuration, or of the plugin configuration that a document holds.
fn load(path: &Path) -> Result<MetricsFilter, String> {
    let name = path.display();
    let bytes = configuration::read(path, "metrics")?.bytes.unwrap_or_default();
    filter_kit::load(&bytes, &Environment::EMPTY).map_err(|error| format!("{name}: {error}"))
}
