//! What two hundred users and a tester saw.

use super::{Arm, REQUESTS, USERS};
use crate::envoy::Envoy;
use anyhow::{Result, ensure};
use comfy_table::Table;
use harness::series;
use std::collections::BTreeMap;

/// How far a share may be from its weight, in standard deviations of the binomial distribution: one demo in 15,000 would be off by chance.
const TOLERANCE: f64 = 4.0;

/// Which shop answered a request, and the arm that it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The shop.
    pub shop: &'static str,
    /// The experiment that the request is in.
    pub experiment: String,
    /// Its arm.
    pub arm: String,
    /// Whether the header in which testers ask has reached the shop.
    pub is_asking: bool,
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// What each user was answered.
    pub users: Vec<Vec<Answer>>,
    /// The requests that each shop counted.
    pub requests: [u64; 2],
    /// The exposures that Envoy counted, by experiment and arm.
    pub exposures: BTreeMap<[String; 2], i64>,
    /// What a tester did, and was answered.
    pub tester: Vec<(&'static str, Answer)>,
    /// What became of the arms that were asked for.
    pub overrides: BTreeMap<[String; 2], i64>,
}

/// A counter's series, by the values of labels.
pub fn counters<const N: usize>(
    envoy: &Envoy,
    name: &str,
    labels: [&str; N],
) -> Result<BTreeMap<[String; N], i64>> {
    let mut counters = BTreeMap::new();
    for (stat, value) in envoy.plugin_stats()? {
        let series = series::parse(&stat);
        if series.name == name {
            let label = |label: &str| series.labels.get(label).cloned().unwrap_or_default();
            counters.insert(labels.map(label), value);
        }
    }
    Ok(counters)
}

impl Seen {
    /// Users and requests by arm, beside what is expected.
    pub fn table(&self, arms: &[Arm]) -> Table {
        let mut table = Table::new();
        table.set_header([
            "experiment",
            "arm",
            "expected",
            "users",
            "share",
            "requests",
            "exposures in Envoy",
        ]);
        for arm in arms {
            let users = self.users_in(arm);
            #[expect(clippy::cast_precision_loss, reason = "a few hundred users")]
            let share = users as f64 * 100.0 / USERS as f64;
            table.add_row([
                arm.experiment.clone(),
                arm.name.clone(),
                format!("{:.1} %", arm.share() * 100.0),
                users.to_string(),
                format!("{share:.1} %"),
                self.requests_in(arm).to_string(),
                self.exposures_of(arm).to_string(),
            ]);
        }
        table
    }

    /// What the tester was answered.
    pub fn tester_table(&self) -> Table {
        let mut table = Table::new();
        table.set_header(["the tester", "experiment", "arm", "shop"]);
        for (what, answer) in &self.tester {
            table.add_row([*what, &answer.experiment, &answer.arm, answer.shop]);
        }
        table
    }

    /// How many users had one arm over all their requests.
    pub fn constant(&self) -> usize {
        let is_constant = |answers: &&Vec<Answer>| answers.windows(2).all(|pair| pair[0] == pair[1]);
        self.users.iter().filter(is_constant).count()
    }

    /// What must be so.
    ///
    /// # Errors
    /// It is not.
    pub fn check(&self, arms: &[Arm]) -> Result<()> {
        ensure!(self.constant() == USERS, "only {} of {USERS} users kept their arm", self.constant());
        for arm in arms {
            let (share, name) = (arm.share(), &arm.name);
            #[expect(clippy::cast_precision_loss, reason = "a few hundred users")]
            let (users, all) = (self.users_in(arm) as f64, USERS as f64);
            let deviation = (all * share * (1.0 - share)).sqrt();
            ensure!(
                (users - all * share).abs() <= TOLERANCE * deviation,
                "arm {name} has {users} of {all} users at a share of {share}"
            );
            let (requests, exposures) = (self.requests_in(arm), self.exposures_of(arm));
            ensure!(
                exposures.cast_unsigned() == requests as u64,
                "arm {name} had {requests} requests and {exposures} exposures"
            );
        }
        let of_b = arms.iter().find(|arm| arm.name == "b").map_or(0, |arm| self.requests_in(arm));
        let expected = [(REQUESTS - of_b) as u64, of_b as u64];
        ensure!(
            self.requests == expected,
            "the shops counted {:?}, and the arms say {expected:?}",
            self.requests
        );
        let [(_, plain), (_, refused), (_, honoured)] = self.tester.as_slice() else {
            return Err(anyhow::anyhow!("there was no tester"));
        };
        ensure!(refused == plain, "an arm was forced without a signature: {refused:?}");
        ensure!(
            (honoured.shop, &*honoured.arm, honoured.is_asking) == ("v2", "b", false),
            "a signed arm was not honoured: {honoured:?}"
        );
        let count = |result: &str| self.overrides.get(&[result.to_owned(), result.to_owned()]).copied();
        ensure!(
            [count("honoured"), count("refused")] == [Some(1), Some(1)],
            "Envoy counted {:?}",
            self.overrides
        );
        Ok(())
    }

    fn users_in(&self, arm: &Arm) -> usize {
        self.users.iter().filter(|answers| answers.first().is_some_and(|first| arm.is_of(first))).count()
    }

    fn requests_in(&self, arm: &Arm) -> usize {
        self.users.iter().flatten().filter(|answer| arm.is_of(answer)).count()
    }

    fn exposures_of(&self, arm: &Arm) -> i64 {
        self.exposures.get(&[arm.experiment.clone(), arm.name.clone()]).copied().unwrap_or(0)
    }
}

impl Arm {
    /// The share of all users that it must have.
    fn share(&self) -> f64 {
        self.weight / 10_000.0 * self.part / 10_000.0
    }

    fn is_of(&self, answer: &Answer) -> bool {
        (&answer.experiment, &answer.arm) == (&self.experiment, &self.name)
    }
}
