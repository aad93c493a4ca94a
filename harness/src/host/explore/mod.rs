//! Runs a scenario again and again: over splits of its bodies, orders of its callouts' answers, and ways in which callouts fail.

mod case;
mod splits;
#[cfg(test)]
mod tests;

pub use case::{Case, Explored};

use super::{
    growth,
    module::Module,
    run::{Plugin, RunError, chain, play},
    schedule::{Failing, Failure, Schedule},
    stream::Way,
};
use crate::{
    exploration::Exploration,
    lint::{Finding, Lint},
    outcome::Outcome,
    scenario::{Exchange, Scenario},
};
use splits::Split;
use std::{collections::BTreeSet, fmt};

/// The most callouts of a run. A plugin that makes more makes them for ever.
const CALLOUT_LIMIT: usize = 500;

/// Why a scenario could not be explored.
#[derive(Debug)]
#[non_exhaustive]
pub enum ExploreError {
    /// It could not be run.
    Run(RunError),
    /// The plugin makes callouts without end: each answer leads to another one.
    Endless {
        /// The callout that was made last.
        last: String,
    },
    /// There is more to try than the budget allows.
    TooLarge {
        /// What there is so much of.
        what: String,
        /// How many exchanges it takes, where that is known.
        needed: Option<usize>,
        /// How many there may be.
        budget: usize,
    },
}

impl fmt::Display for ExploreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(error) => error.fmt(f),
            Self::Endless { last } => {
                write!(
                    f,
                    "the exploration has no end: the plugin made {CALLOUT_LIMIT} callouts in one run, the last of them {last}"
                )
            }
            Self::TooLarge { what, needed, budget } => {
                write!(f, "the exploration is too large: {what} ")?;
                match needed {
                    Some(needed) => write!(f, "take {needed} exchanges, and the budget is {budget}")?,
                    None => write!(f, "take more exchanges than the budget of {budget}")?,
                }
                f.write_str("; give it a larger one, or the scenario less to try")
            }
        }
    }
}

impl std::error::Error for ExploreError {}

impl From<RunError> for ExploreError {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}

/// Explores a scenario: every split of its bodies up to 12 bytes; of longer ones every split in two, one-byte chunks and 200 random splits; every
/// order of its callouts' answers; and each callout failing in each way, and all at once. The outcome must be that of whole bodies and callouts that
/// are answered in the order in which they come due. Where callouts fail, nothing may trap, hang or break a lint.
///
/// # Errors
/// The module does not start; or there is more to try than the budget allows, or no end of it.
pub fn explore(
    scenario: &Scenario,
    module: &Module,
    exploration: &Exploration,
) -> Result<Explored, ExploreError> {
    Explorer::new(scenario, vec![("", module, scenario.config.clone())], exploration)?.explore()
}

/// As [`explore`], through a chain of modules, as [`run_chain`](super::run_chain) has it.
///
/// # Errors
/// As [`explore`].
pub fn explore_chain(
    scenario: &Scenario,
    modules: &[(String, Module)],
    exploration: &Exploration,
) -> Result<Explored, ExploreError> {
    Explorer::new(scenario, chain(scenario, modules), exploration)?.explore()
}

/// What came of a run.
struct Run {
    outcome: Outcome,
    schedule: Schedule,
}

struct Explorer<'s> {
    written: &'s Scenario,
    /// The scenario with whole bodies.
    scenario: Scenario,
    plugins: Vec<Plugin<'s>>,
    exploration: &'s Exploration,
    base: Run,
    /// How many exchanges may still be run.
    left: usize,
    explored: Explored,
}

impl<'s> Explorer<'s> {
    fn new(
        written: &'s Scenario,
        plugins: Vec<Plugin<'s>>,
        exploration: &'s Exploration,
    ) -> Result<Self, ExploreError> {
        let mut whole = written.clone();
        for exchange in &mut whole.exchanges {
            for way in Way::BOTH {
                splits::apply(exchange, way, &[]);
            }
        }
        let base = run(&whole, &plugins, Schedule::default(), exploration)?;
        check_end(&base)?;
        let explored = Explored { runs: 1, callouts: base.schedule.made.len(), ..Explored::default() };
        Ok(Self { written, scenario: whole, plugins, exploration, base, left: exploration.budget, explored })
    }

    fn explore(mut self) -> Result<Explored, ExploreError> {
        self.whole();
        self.written()?;
        self.memory()?;
        let bodies = self.bodies();
        self.explored.bodies = bodies.len();
        for (number, way) in bodies {
            self.splits(number, way)?;
        }
        self.orders()?;
        self.failures()?;
        Ok(self.explored)
    }

    /// Whole bodies are a case of their own: what a trap or a lint says of them, the scenario's own chunks may not.
    fn whole(&mut self) {
        let wrong = wrongs(&self.base, None);
        if !wrong.is_empty() {
            self.explored.cases.push(Case { what: "with whole bodies".to_owned(), how: Vec::new(), wrong });
        }
    }

    /// The bodies as the scenario splits them itself.
    fn written(&mut self) -> Result<(), ExploreError> {
        if self.written.exchanges.iter().zip(&self.scenario.exchanges).all(|(written, whole)| {
            (&written.request, &written.response) == (&whole.request, &whole.response)
        }) {
            return Ok(());
        }
        let ran = self.run(self.written, Schedule::default(), "the scenario's own exchanges")?;
        let wrong = self.wrong_with(&ran);
        if !wrong.is_empty() {
            let what = "with the scenario's own chunks".to_owned();
            self.explored.cases.push(Case { what, how: Vec::new(), wrong });
        }
        Ok(())
    }

    /// Many streams, of which each must give back its memory.
    fn memory(&mut self) -> Result<(), ExploreError> {
        if self.scenario.allow.contains_key(&Lint::StreamMemory) {
            return Ok(());
        }
        let (_, mut proxy) = play(&self.scenario, &self.plugins, None, None, None)?;
        if let Some(found) = growth::watch(&mut proxy, &self.scenario.exchanges) {
            let (what, wrong) = ("many streams".to_owned(), vec![format!("lint {found}")]);
            self.explored.cases.push(Case { what, how: Vec::new(), wrong });
        }
        Ok(())
    }

    /// The bodies that can be split, of exchanges that are not alike.
    fn bodies(&self) -> Vec<(usize, Way)> {
        let mut bodies = Vec::new();
        for (number, exchange) in self.scenario.exchanges.iter().enumerate() {
            let is_like = |other: &Exchange| {
                (&other.request, &other.response) == (&exchange.request, &exchange.response)
            };
            if self.scenario.exchanges.iter().take(number).any(is_like) {
                continue;
            }
            let is_long = |way: &Way| splits::body(exchange, *way).len() > 1;
            bodies.extend(Way::BOTH.into_iter().filter(is_long).map(|way| (number, way)));
        }
        bodies
    }

    /// The differences that a run makes, and what it does wrong.
    fn wrong_with(&self, other: &Run) -> Vec<String> {
        wrongs(other, Some((&self.base, &self.scenario)))
    }

    fn try_split(&mut self, number: usize, way: Way, split: &Split) -> Result<Vec<String>, ExploreError> {
        let mut scenario = self.scenario.clone();
        if let Some(exchange) = scenario.exchanges.get_mut(number) {
            splits::apply(exchange, way, split);
        }
        let ran = self.run(
            &scenario,
            Schedule::default(),
            &format!("the splits of a body of exchange {}", number + 1),
        )?;
        Ok(self.wrong_with(&ran))
    }

    /// Splits a body, the smallest number of parts first.
    fn splits(&mut self, number: usize, way: Way) -> Result<(), ExploreError> {
        let Some(exchange) = self.scenario.exchanges.get(number) else { return Ok(()) };
        let body = splits::body(exchange, way);
        let splits = splits::all(body.len(), self.exploration.seed);
        let needed = splits.len() * self.scenario.exchanges.len();
        let side = if way == Way::Request { "request" } else { "response" };
        if needed > self.left {
            let what =
                format!("the splits of the {side}'s body of exchange {} ({} bytes)", number + 1, body.len());
            return Err(ExploreError::TooLarge {
                what,
                needed: Some(needed),
                budget: self.exploration.budget,
            });
        }
        for split in splits {
            let wrong = self.try_split(number, way, &split)?;
            if wrong.is_empty() {
                continue;
            }
            let (split, wrong) = self.shrink(number, way, split, wrong)?;
            let what = format!("exchange {}: the {side}'s body in {} parts", number + 1, split.len() + 1);
            self.explored.cases.push(Case { what, how: case::parts(&body, &split), wrong });
            break;
        }
        Ok(())
    }

    /// Leaves out cuts, halves of them first, as long as something is still wrong.
    fn shrink(
        &mut self,
        number: usize,
        way: Way,
        mut split: Split,
        mut wrong: Vec<String>,
    ) -> Result<(Split, Vec<String>), ExploreError> {
        let mut size = split.len() / 2;
        while size > 0 {
            let mut start = 0;
            while start < split.len() && split.len() > 1 {
                let mut fewer = split.clone();
                fewer.drain(start..split.len().min(start + size));
                let still = if fewer.is_empty() { Vec::new() } else { self.try_split(number, way, &fewer)? };
                if still.is_empty() {
                    start += size;
                } else {
                    (split, wrong) = (fewer, still);
                }
            }
            size /= 2;
        }
        Ok((split, wrong))
    }

    /// Lets the answers to callouts come in every order.
    fn orders(&mut self) -> Result<(), ExploreError> {
        let mut picks = next(&[], &self.base.schedule.choices);
        while let Some(now) = picks {
            let ran = self.order(&now)?;
            let wrong = self.wrong_in_order(&ran);
            if !wrong.is_empty() {
                let (ran, wrong) = self.shrink_order(now, ran, wrong)?;
                let what = "callouts that are answered in another order".to_owned();
                self.explored.cases.push(Case { what, how: case::order(&ran.schedule), wrong });
                break;
            }
            picks = next(&now, &ran.schedule.choices);
        }
        Ok(())
    }

    fn order(&mut self, picks: &[usize]) -> Result<Run, ExploreError> {
        let schedule = Schedule { picks: picks.to_vec(), ..Schedule::default() };
        let scenario = self.scenario.clone();
        let what = format!("the orders of {} callouts", self.base.schedule.made.len());
        self.run(&scenario, schedule, &what)
    }

    /// What is logged of an answer may come when the answer does.
    fn wrong_in_order(&self, ran: &Run) -> Vec<String> {
        let sorted = |run: &Run| {
            let mut outcome = run.outcome.clone();
            for exchange in &mut outcome.exchanges {
                exchange.log.sort_by(|one, other| (&one.level, &one.text).cmp(&(&other.level, &other.text)));
            }
            Run { outcome, schedule: Schedule::default() }
        };
        wrongs(&sorted(ran), Some((&sorted(&self.base), &self.scenario)))
    }

    /// Takes back what one pick or another has changed, as long as something is still wrong.
    fn shrink_order(
        &mut self,
        mut picks: Vec<usize>,
        mut ran: Run,
        mut wrong: Vec<String>,
    ) -> Result<(Run, Vec<String>), ExploreError> {
        for place in 0..picks.len() {
            let mut fewer = picks.clone();
            match fewer.get_mut(place) {
                Some(pick) if *pick > 0 => *pick = 0,
                _ => continue,
            }
            let other = self.order(&fewer)?;
            let still = self.wrong_in_order(&other);
            if !still.is_empty() {
                (picks, ran, wrong) = (fewer, other, still);
            }
        }
        Ok((ran, wrong))
    }

    /// Lets each callout fail in each way, and then all of them.
    fn failures(&mut self) -> Result<(), ExploreError> {
        let made = self.base.schedule.made.clone();
        for failure in Failure::ALL {
            let one = made.iter().enumerate().map(|(number, what)| {
                (Failing::One(number, failure), format!("callout {} ({what}) {failure}", number + 1))
            });
            let all = (made.len() > 1).then(|| (Failing::All(failure), format!("each callout {failure}")));
            for (failing, what) in one.chain(all).collect::<Vec<_>>() {
                let scenario = self.scenario.clone();
                let schedule = Schedule { failing, ..Schedule::default() };
                let ran = self.run(&scenario, schedule, &format!("{} callouts that fail", made.len()))?;
                let mut wrong = wrongs(&ran, None);
                for (number, (was, is)) in
                    self.base.outcome.exchanges.iter().zip(&ran.outcome.exchanges).enumerate()
                {
                    if was.status.is_some() && is.status.is_none() {
                        wrong.push(format!("exchange {}: the client gets no response", number + 1));
                    }
                }
                if !wrong.is_empty() {
                    self.explored.cases.push(Case { what, how: Vec::new(), wrong });
                }
            }
        }
        Ok(())
    }

    /// Runs the scenario once more, within the budget.
    fn run(&mut self, scenario: &Scenario, schedule: Schedule, what: &str) -> Result<Run, ExploreError> {
        let exchanges = scenario.exchanges.len().max(1);
        let left = self.left.checked_sub(exchanges).ok_or_else(|| ExploreError::TooLarge {
            what: what.to_owned(),
            needed: None,
            budget: self.exploration.budget,
        })?;
        self.left = left;
        self.explored.runs += 1;
        let ran = run(scenario, &self.plugins, schedule, self.exploration)?;
        check_end(&ran)?;
        Ok(ran)
    }
}

fn run(
    scenario: &Scenario,
    plugins: &[Plugin<'_>],
    schedule: Schedule,
    exploration: &Exploration,
) -> Result<Run, RunError> {
    let (mut outcome, proxy) = play(scenario, plugins, None, Some(schedule), None)?;
    for exchange in &mut outcome.exchanges {
        if exploration.ignores_log {
            exchange.log.clear();
        }
        if exploration.ignores_metrics {
            exchange.metrics.clear();
        }
    }
    Ok(Run { outcome, schedule: proxy.take_schedule() })
}

fn check_end(run: &Run) -> Result<(), ExploreError> {
    match run.schedule.made.last() {
        Some(last) if run.schedule.made.len() >= CALLOUT_LIMIT => {
            Err(ExploreError::Endless { last: last.clone() })
        }
        _ => Ok(()),
    }
}

/// The next picks behind these, by what there was to choose from: the last that can be raised is.
fn next(picks: &[usize], choices: &[usize]) -> Option<Vec<usize>> {
    let pick = |place: usize| picks.get(place).copied().unwrap_or(0);
    let place = (0..choices.len())
        .rev()
        .find(|place| choices.get(*place).is_some_and(|of| pick(*place) + 1 < *of))?;
    Some((0..place).map(pick).chain([pick(place) + 1]).collect())
}

/// What is wrong with a run: traps, what lints find, and what differs from the run that it must be like. What is wrong with that one too is left out.
fn wrongs(run: &Run, like: Option<(&Run, &Scenario)>) -> Vec<String> {
    let known: BTreeSet<String> =
        like.map(|(base, _)| wrongs(base, None).into_iter().collect()).unwrap_or_default();
    let finding = |found: &Finding| format!("lint {found}");
    let mut wrong: Vec<String> = run.outcome.traps.iter().map(|trap| format!("trap: {trap}")).collect();
    wrong.extend(run.outcome.findings.iter().map(finding));
    for (number, exchange) in run.outcome.exchanges.iter().enumerate() {
        wrong.extend(
            exchange.findings.iter().map(|found| format!("exchange {}: {}", number + 1, finding(found))),
        );
    }
    wrong.retain(|wrong| !known.contains(wrong));
    if let Some((base, scenario)) = like {
        wrong.extend(case::differences(scenario, &base.outcome, &run.outcome));
    }
    wrong
}
