//! Experiments, without a request: from a configuration to who gets which arm.
//!
//! A filter drives requests through what is compiled here, and the tool prints what a key gets. Nothing of it but a hash and a search runs for
//! a plain request, so that it is compiled for size.

mod allocation;
pub mod baggage;
pub mod bucket;
pub mod carried;
pub mod change;
mod config;
pub mod cookie;
pub mod experiment;
pub mod exposure;
pub mod guardrail;
pub mod health;
pub mod key;
pub mod overrides;
pub mod paths;
pub mod sticky;
mod time;
pub mod trust;

pub use allocation::{Allocation, Weights};
pub use bucket::SLOTS;
pub use key::KEY_LIMIT;

use carried::Propagation;
use cookie::SetCookie;
use experiment::Experiment;
use filter_kit::{
    ConfigError, Environment, HeaderName,
    metrics::{Metrics, SeriesId},
    settings::Field,
};
use key::KeyList;
use overrides::Overrides;
use paths::Paths;
use sticky::Sticky;

/// The most experiments.
pub const EXPERIMENT_LIMIT: usize = 100;

/// Experiments in the order in which they are tried, and what they share.
#[derive(Debug)]
pub struct Experiments {
    /// In the order in which they are tried.
    pub all: Vec<Experiment>,
    /// The bits of them all.
    pub everyone: u128,
    /// Which of them a path rules out.
    pub paths: Paths,
    /// The arms' headers, each once. A client's own value of any of them never survives.
    pub headers: Vec<ArmHeader>,
    /// Which lengths of names they have, modulo 64, as bits.
    pub header_lengths: u64,
    /// Where keys are looked for, each list once.
    pub keys: Vec<KeyList>,
    /// The cookies for new visitors, each once.
    pub cookies: Vec<SetCookie>,
    /// Arms that testers may ask for.
    pub overrides: Option<Overrides>,
    /// The cookie of kept assignments.
    pub sticky: Option<Sticky>,
    /// Where assignments travel through the mesh.
    pub propagation: Option<Propagation>,
    /// Whether arms are noted: an experiment looks at those of another, or they travel.
    pub notes_arms: bool,
    /// Whether there are requirements, assignments that travel, or requests that are no exposures by who makes them: no experiment is plain then.
    pub is_special: bool,
    /// Headers that are written seldom.
    pub names: Names,
    /// What is read of a request, where that is little.
    pub single_headers: Vec<Box<str>>,
    /// Counts client's own values of the arms' headers, if asked for.
    pub forged: Option<SeriesId>,
    /// All series.
    pub metrics: Metrics,
}

/// A header that arms are written to.
#[derive(Debug)]
pub struct ArmHeader {
    /// The header.
    pub name: HeaderName,
    /// Its bit in a set of them.
    pub bit: u128,
}

/// Headers that the filter writes where an arm, a tester or a cookie asks for it.
#[derive(Debug)]
pub struct Names {
    /// `x-arm`, where an experiment names no header.
    pub arm: HeaderName,
    /// `:path`.
    pub path: HeaderName,
    /// `:authority`.
    pub authority: HeaderName,
    /// `cookie`.
    pub cookie: HeaderName,
    /// `set-cookie`.
    pub set_cookie: HeaderName,
    /// `vary`.
    pub vary: HeaderName,
    /// `cache-control`.
    pub cache_control: HeaderName,
}

impl Names {
    fn new() -> Result<Self, ConfigError> {
        let name = |text| HeaderName::parse(text).map_err(|error| ConfigError::new("", error.to_string()));
        Ok(Self {
            arm: name("x-arm")?,
            path: name(":path")?,
            authority: name(":authority")?,
            cookie: name("cookie")?,
            set_cookie: name("set-cookie")?,
            vary: name("vary")?,
            cache_control: name("cache-control")?,
        })
    }
}

/// Reads a hash as an experiment's fields give it: `algorithm`, and those of `seed`, `group`, `salt`, `total_shards` and `units` that the
/// algorithm takes. `total` is the sum of weights of those that have one for their total.
pub fn read_hash(field: &Field<'_, '_>, total: u64) -> bucket::Bucketer {
    config::read_hash(field, total)
}

impl Experiments {
    /// Compiles a configuration.
    ///
    /// # Errors
    /// The first thing wrong with it, with the field's path.
    pub fn compile(config: &Field<'_, '_>, environment: &Environment<'_>) -> Result<Self, ConfigError> {
        config::compile(config, environment)
    }

    /// Whether an experiment is watched.
    pub fn has_health(&self) -> bool {
        self.all.iter().any(|experiment| experiment.health.is_some())
    }
}
