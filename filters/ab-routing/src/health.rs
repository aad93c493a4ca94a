//! How arms do, seen from responses and from the timer.

use crate::Pending;
use experiments::{Experiments, experiment::Experiment, health::Health};
use filter_kit::{Bounded, Effects, Level, MetricChange, View};
use std::time::Duration;

/// How often a worker looks at what the others have found.
pub(crate) const PERIOD: Duration = Duration::from_secs(1);

/// What Envoy says of a reply of its own for want of a healthy host.
const NO_HOST: &[u8] = b"no_healthy_upstream";

/// The longest text of a line, in bytes.
const LINE_LIMIT: usize = 512;

/// Experiments whose arms are watched, by their places, and the arms. The first ones cost no allocation.
#[derive(Debug, Default)]
pub struct Watched {
    first: [(u8, u8); 4],
    count: u8,
    more: Vec<(u8, u8)>,
}

impl Watched {
    /// Adds one.
    pub(crate) fn push(&mut self, experiment: u8, arm: u8) {
        match self.first.get_mut(usize::from(self.count)) {
            Some(free) => {
                *free = (experiment, arm);
                self.count += 1;
            }
            None => self.more.push((experiment, arm)),
        }
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn iter(&self) -> impl Iterator<Item = &(u8, u8)> {
        self.first.iter().take(usize::from(self.count)).chain(&self.more)
    }
}

/// Makes what workers share, and says what is closed.
pub(crate) fn begin<'a>(filter: &'a Experiments, view: &View<'_>) -> Effects<'a> {
    let mut effects = Effects::default();
    for (experiment, health) in watched(filter) {
        let (is_new, closed) = health.prepare(view);
        // A gauge begins at 0, which would be an alarm.
        let ratio = health.ratio(view).unwrap_or(1000);
        effects.measure(MetricChange::Known(health.ratio_series, ratio));
        if is_new && health.guardrail.is_some() {
            say(&mut effects, &["the guardrail of ", &experiment.name, " begins: all arms are open"]);
        }
        for (arm, series) in health.arms.iter().enumerate() {
            if let Some(series) = series.closed {
                let is_closed = closed >> arm & 1 != 0;
                effects.measure(MetricChange::Known(series, u64::from(is_closed)));
            }
        }
    }
    effects
}

/// Counts a response for its arms.
#[cold]
pub(crate) fn respond<'a>(
    filter: &'a Experiments,
    pending: &Pending,
    view: &View<'_>,
    effects: &mut Effects<'a>,
) {
    let status = view.status_alone().unwrap_or(0);
    let milliseconds = view.now().saturating_sub(pending.began) / 1_000_000;
    let has_no_host = status == 503
        && view.property(&["response", "code_details"]).is_some_and(|details| *details == *NO_HOST);
    for (place, arm) in pending.watched.iter() {
        let Some(experiment) = filter.all.get(usize::from(*place)) else { continue };
        let Some(health) = &experiment.health else { continue };
        let Some(series) = health.arms.get(usize::from(*arm)) else { continue };
        if let Some(class) =
            usize::from(status / 100).checked_sub(1).and_then(|class| series.responses.get(class))
        {
            effects.count(*class);
        }
        effects.measure(MetricChange::Known(series.duration, milliseconds));
        if has_no_host && *arm != health.control && health.leave_alone(*arm, view.now()) {
            say(
                effects,
                &[
                    "arm ",
                    experiment.arm_name(usize::from(*arm)),
                    " of ",
                    &experiment.name,
                    " has no healthy host: control",
                ],
            );
        }
        if health.respond(*arm, status, milliseconds) {
            exchange(experiment, health, view, effects);
        }
    }
}

/// Tells the other workers, and hears of them.
pub(crate) fn tick<'a>(filter: &'a Experiments, view: &View<'_>) -> Effects<'a> {
    let mut effects = Effects::default();
    for (experiment, health) in watched(filter) {
        exchange(experiment, health, view, &mut effects);
        if let Some(ratio) = health.ratio(view) {
            effects.measure(MetricChange::Known(health.ratio_series, ratio));
        }
    }
    effects
}

fn exchange(experiment: &Experiment, health: &Health, view: &View<'_>, effects: &mut Effects<'_>) {
    let news = health.exchange(view);
    for (arm, series) in health.arms.iter().enumerate() {
        let (Some(series), true) = (series.closed, news.closed >> arm & 1 != 0) else { continue };
        effects.measure(MetricChange::Known(series, 1));
        say(
            effects,
            &["the guardrail closed arm ", experiment.arm_name(arm), " of ", &experiment.name, ": control"],
        );
    }
}

fn watched(filter: &Experiments) -> impl Iterator<Item = (&Experiment, &Health)> {
    filter.all.iter().filter_map(|experiment| Some((experiment, experiment.health.as_deref()?)))
}

fn say(effects: &mut Effects<'_>, parts: &[&str]) {
    let text = parts.concat();
    effects.log(Level::Warn, Bounded::new(text.as_bytes(), LINE_LIMIT).into_owned());
}
