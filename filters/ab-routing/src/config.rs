//! The configuration as it is written, and how it is compiled.

use crate::{
    AbRouting, Allocation, ArmHeader, Bucket, SLOTS,
    allocation::Weights,
    cookie::{CookieConfig, VisitorCookie},
    experiment::{Arm, Experiment, KeySource, Reason, Skipped},
};
use filter_kit::{
    Bounded, ConfigError, HeaderName, SINGLE_LIMIT, fields,
    matcher::{self, MatcherConfig},
    metrics::{FamilyId, Kind, Metrics, MetricsConfig},
};

const EXPERIMENT_LIMIT: usize = 100;
const ARM_LIMIT: usize = 100;
const PREVIOUS_LIMIT: usize = 100;
/// The most headers that a request is expected to have among those that are fetched one by one: a second one costs more than the whole map.
const PRESENT_LIMIT: usize = 1;

/// The whole configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// At most 100 experiments, tried in this order.
    pub experiments: Vec<ExperimentConfig>,
    /// Whether a client's own values of the arms' headers are counted. They never survive; to look for them where an arm takes their place costs
    /// a request one more host call.
    pub count_forged: bool,
    /// How metrics are named and how many there may be.
    pub metrics: MetricsConfig,
}

/// An experiment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExperimentConfig {
    /// 1 to 64 letters, digits, `.`, `_` and `-`; each experiment's own.
    pub name: String,
    /// What makes the experiment's split its own; its name, unless given. Users keep their arm as long as it stays.
    pub salt: Option<String>,
    /// The request must meet all of these.
    pub matches: Vec<MatcherConfig>,
    /// Where the key is: the first that is present.
    pub key: Vec<KeyConfig>,
    /// The cookie for visitors that have no key.
    pub visitor_cookie: Option<CookieConfig>,
    /// The request header that the arm's name is written to.
    pub header: String,
    /// How many of 10,000 keys take part, 0 to 10,000.
    pub coverage: i64,
    /// 1 to 100 arms, whose weights add up to exactly 10,000.
    pub arms: Vec<ArmConfig>,
    /// The lists of arms that the experiment had before, the oldest first, at most 100: what was in `arms` is kept here when weights change,
    /// so that only those users move that must.
    pub previous: Vec<Vec<ArmConfig>>,
}

/// An arm.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ArmConfig {
    /// 1 to 64 letters, digits, `.`, `_` and `-`; the value of the header.
    pub name: String,
    /// How many of 10,000 keys get this arm, 0 to 10,000.
    pub weight: i64,
}

/// A place where a key may be: exactly one of the three.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyConfig {
    /// The first value of a header.
    pub header: Option<String>,
    /// The first cookie of a name.
    pub cookie: Option<String>,
    /// The first query parameter of a name, decoded.
    pub query: Option<String>,
}

fields!(Config { experiments, count_forged, metrics });
fields!(ExperimentConfig {
    name,
    salt,
    matches as "match",
    key,
    visitor_cookie,
    header,
    coverage,
    arms,
    previous,
});
fields!(ArmConfig { name, weight });
fields!(KeyConfig { header, cookie, query });

impl Default for ExperimentConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            salt: None,
            matches: Vec::new(),
            key: Vec::new(),
            visitor_cookie: None,
            header: "x-arm".to_owned(),
            coverage: i64::from(SLOTS),
            arms: Vec::new(),
            previous: Vec::new(),
        }
    }
}

/// What experiments share while they are compiled.
struct Shared {
    headers: Vec<HeaderName>,
    cookies: Vec<(CookieConfig, VisitorCookie)>,
    metrics: Metrics,
    exposures: FamilyId,
    not_bucketed: FamilyId,
}

pub(crate) fn compile(config: &Config) -> Result<AbRouting, ConfigError> {
    let mut metrics = Metrics::new(&config.metrics).map_err(|error| error.inside("metrics"))?;
    let exposures = metrics.family(Kind::Counter, "ab_exposures_total", &["experiment", "arm"]);
    let not_bucketed = metrics.family(Kind::Counter, "ab_not_bucketed_total", &["experiment", "reason"]);
    let forged = config.count_forged.then(|| {
        let family = metrics.family(Kind::Counter, "ab_client_headers_stripped_total", &[]);
        metrics.series(family, &[])
    });
    let mut shared = Shared { headers: Vec::new(), cookies: Vec::new(), metrics, exposures, not_bucketed };
    at_most("experiments", config.experiments.len(), EXPERIMENT_LIMIT)?;
    let mut experiments = Vec::new();
    for (index, experiment) in config.experiments.iter().enumerate() {
        let here = format!("experiments[{index}]");
        if config.experiments.iter().take(index).any(|other| other.name == experiment.name) {
            return Err(ConfigError::new(
                "name",
                format!("must be the experiment's own, got {:?} again", experiment.name),
            )
            .inside(here));
        }
        experiments.push(experiment.compile(&mut shared).map_err(|error| error.inside(here))?);
    }
    shared.metrics.check_budget()?;
    let single_headers = single_headers(&experiments, &shared.headers).unwrap_or_default();
    Ok(AbRouting {
        experiments: experiments.into(),
        single_headers,
        headers: shared
            .headers
            .into_iter()
            .zip(0..)
            .map(|(name, bit)| ArmHeader { name, bit: 1 << bit })
            .collect(),
        cookies: shared.cookies.into_iter().map(|(_, cookie)| cookie).collect(),
        set_cookie: HeaderName::parse("set-cookie")
            .map_err(|error| ConfigError::new("", error.to_string()))?,
        forged,
        metrics: shared.metrics,
    })
}

/// All request headers that the experiments read, where they are so few that they cost less one by one.
fn single_headers<'n>(experiments: &'n [Experiment], arms: &'n [HeaderName]) -> Option<Box<[Box<str>]>> {
    let mut names: Vec<&str> = Vec::new();
    for experiment in experiments {
        let mut matched: Vec<Option<&'n str>> = Vec::new();
        experiment.matchers.iter().for_each(|matcher| matcher.single_headers(&mut |name| matched.push(name)));
        let keys = experiment.sources.iter().map(|source: &KeySource| Some(source.header()));
        for name in matched.into_iter().chain(keys).chain(experiment.visitor_cookie.map(|_| Some("cookie"))) {
            let name = name?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    // A request has these, and the arms' headers only if its client forges them.
    if names.len() > PRESENT_LIMIT || names.len() + arms.len() > SINGLE_LIMIT {
        return None;
    }
    names.extend(arms.iter().map(HeaderName::as_str));
    Some(names.into_iter().map(Box::from).collect())
}

impl ExperimentConfig {
    #[inline(never)]
    fn compile(&self, shared: &mut Shared) -> Result<Experiment, ConfigError> {
        check_name(&self.name)?;
        let salt = self.salt.as_deref().unwrap_or(&self.name);
        if salt.is_empty() {
            return Err(ConfigError::new("salt", "must not be empty"));
        }
        let matchers = matcher::compile_all(&self.matches).map_err(|error| error.inside("match"))?;
        let sources = self
            .key
            .iter()
            .enumerate()
            .map(|(index, key)| key.compile().map_err(|error| error.inside(format!("key[{index}]"))))
            .collect::<Result<_, _>>()?;
        if self.key.is_empty() && self.visitor_cookie.is_none() {
            return Err(ConfigError::new(
                "key",
                "must name a header, cookie or query parameter unless visitor_cookie is given, got none",
            ));
        }
        let visitor_cookie = self.visitor_cookie.as_ref().map(|cookie| shared.cookie(cookie)).transpose();
        let visitor_cookie = visitor_cookie.map_err(|error| error.inside("visitor_cookie"))?;
        let header = HeaderName::writable(&self.header)
            .map_err(|error| ConfigError::new("header", format!("{error}, got {:?}", self.header)))?;
        let coverage = within("coverage", self.coverage)?;
        let current = check_arms(&self.arms).map_err(|error| error.inside("arms"))?;
        at_most("previous", self.previous.len(), PREVIOUS_LIMIT)?;
        let mut history = Vec::new();
        for (index, arms) in self.previous.iter().enumerate() {
            history.push(check_arms(arms).map_err(|error| error.inside(format!("previous[{index}]")))?);
        }
        let label = Bounded::own(self.name.as_str());
        let arms = self.arms.iter().map(|arm| Arm {
            name: arm.name.as_str().into(),
            exposures: shared
                .metrics
                .series(shared.exposures, &[label.borrowed(), Bounded::own(arm.name.as_str())]),
        });
        let arms = arms.collect();
        let skipped = Reason::ALL.map(|(_, reason)| {
            shared.metrics.series(shared.not_bucketed, &[label.borrowed(), Bounded::own(reason)])
        });
        Ok(Experiment {
            matchers,
            sources,
            visitor_cookie,
            header: place_of(&mut shared.headers, header),
            seed: Bucket::seed(salt),
            coverage,
            allocation: Allocation::new(&history, &current),
            arms,
            skipped: Skipped(skipped),
        })
    }
}

impl Shared {
    /// The place of a cookie among the filter's; experiments may share one, with the same attributes.
    fn cookie(&mut self, config: &CookieConfig) -> Result<usize, ConfigError> {
        let compiled = config.compile()?;
        match self.cookies.iter().position(|(other, _)| other.name == config.name) {
            Some(place) if self.cookies.get(place).is_some_and(|(other, _)| other == config) => Ok(place),
            Some(_) => Err(ConfigError::new(
                "name",
                format!("must have the same attributes in each experiment, got others for {:?}", config.name),
            )),
            None => {
                self.cookies.push((config.clone(), compiled));
                Ok(self.cookies.len() - 1)
            }
        }
    }
}

impl KeyConfig {
    fn compile(&self) -> Result<KeySource, ConfigError> {
        match (self.header.as_deref(), self.cookie.as_deref(), self.query.as_deref()) {
            (Some(name), None, None) => match HeaderName::parse(name) {
                Ok(name) => Ok(KeySource::Header(name)),
                Err(error) => Err(ConfigError::new("header", format!("{error}, got {name:?}"))),
            },
            (None, Some(name), None) if !name.is_empty() => Ok(KeySource::Cookie(name.into())),
            (None, None, Some(name)) if !name.is_empty() => Ok(KeySource::Query(name.into())),
            (None, Some(_), None) => Err(ConfigError::new("cookie", "must not be empty")),
            (None, None, Some(_)) => Err(ConfigError::new("query", "must not be empty")),
            _ => Err(ConfigError::new("", "must have exactly one of header, cookie, query")),
        }
    }
}

fn check_arms(arms: &[ArmConfig]) -> Result<Weights<'_>, ConfigError> {
    if arms.is_empty() {
        return Err(ConfigError::new("", "must hold at least one arm, got none"));
    }
    at_most("", arms.len(), ARM_LIMIT)?;
    let mut weights = Weights::new();
    let mut sum = 0_i64;
    for (index, arm) in arms.iter().enumerate() {
        let here = format!("[{index}]");
        check_name(&arm.name).map_err(|error| error.inside(&here))?;
        if weights.iter().any(|(other, _)| *other == arm.name) {
            return Err(ConfigError::new("name", format!("must be the arm's own, got {:?} again", arm.name))
                .inside(here));
        }
        let weight = within("weight", arm.weight).map_err(|error| error.inside(here))?;
        sum += i64::from(weight);
        weights.push((&arm.name, weight));
    }
    if sum != i64::from(SLOTS) {
        return Err(ConfigError::new("", format!("must have weights that add up to 10000, got {sum}")));
    }
    Ok(weights)
}

fn check_name(name: &str) -> Result<(), ConfigError> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '_' || c == '-';
    if (1..=64).contains(&name.len()) && name.chars().all(is_part) {
        return Ok(());
    }
    Err(ConfigError::new("name", format!("must be 1 to 64 letters, digits, `.`, `_` and `-`, got {name:?}")))
}

fn within(field: &str, value: i64) -> Result<u16, ConfigError> {
    match u16::try_from(value) {
        Ok(small) if small <= SLOTS => Ok(small),
        _ => Err(ConfigError::new(field, format!("must be 0..=10000, got {value}"))),
    }
}

fn at_most(field: &str, count: usize, limit: usize) -> Result<(), ConfigError> {
    if count <= limit {
        Ok(())
    } else {
        Err(ConfigError::new(field, format!("must hold at most {limit}, got {count}")))
    }
}

fn place_of(names: &mut Vec<HeaderName>, name: HeaderName) -> usize {
    names.iter().position(|other| *other == name).unwrap_or_else(|| {
        names.push(name);
        names.len() - 1
    })
}
