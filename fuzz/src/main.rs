//! One program with all targets; `OUTRIGGER_FUZZ` names the one that runs. A target takes any bytes, and panics where a promise is broken.
#![no_main]
#![allow(
    clippy::exit,
    clippy::expect_used,
    clippy::format_collect,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a target that panics has found something; the program reads which one from its environment"
)]

mod exchange;
mod module;
mod readers;
mod settings;
mod texts;
mod wire;

use libfuzzer_sys::fuzz_target;
use std::{env, sync::OnceLock};

/// A target takes bytes.
type Target = fn(&[u8]);

/// The targets, by their names.
const TARGETS: [(&str, Target); 18] = [
    ("redact", texts::redact),
    ("encodings", texts::encodings),
    ("stream", texts::stream),
    ("cookie", readers::cookie),
    ("query", readers::query),
    ("baggage", readers::baggage),
    ("traceparent", readers::traceparent),
    ("json", readers::json),
    ("path", settings::path),
    ("config-ab-routing", settings::config::<ab_routing::AbRouting>),
    ("config-access-log", settings::config::<access_log::AccessLog>),
    ("config-metrics", settings::config::<metrics::MetricsFilter>),
    ("config-policy", settings::config::<policy::Policy>),
    ("scenario", wire::scenario),
    ("wire", wire::calls),
    ("form", module::form),
    ("module", module::each),
    ("all-in-one", module::all_in_one),
];

static CHOSEN: OnceLock<Target> = OnceLock::new();

fuzz_target!(
    init: {
        let name = env::var("OUTRIGGER_FUZZ").unwrap_or_default();
        let found = TARGETS.iter().find(|(other, _)| *other == name);
        let Some((_, target)) = found else {
            let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
            eprintln!("OUTRIGGER_FUZZ must name a target: {}", names.join(", "));
            std::process::exit(2);
        };
        CHOSEN.get_or_init(|| *target);
    },
    |bytes: &[u8]| {
        if let Some(target) = CHOSEN.get() {
            target(bytes);
        }
    }
);
