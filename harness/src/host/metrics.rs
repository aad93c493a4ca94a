//! Metrics as Envoy keeps them for plugins.

use super::abi::Status;
use std::collections::BTreeMap;

/// What a stat is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A sum.
    Counter,
    /// A value.
    Gauge,
    /// Samples.
    Histogram,
}

/// A proxy's stats, found by name and kind when they are defined and by number from then on.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    numbers: BTreeMap<(String, Kind), usize>,
    by_number: Vec<Stat>,
    /// The numbers of the stats that have changed since [`mark`](Self::mark).
    changed: Vec<usize>,
}

#[derive(Debug)]
struct Stat {
    name: String,
    kind: Kind,
    value: u64,
    /// What the value was when it was marked, where it has changed since.
    before: Option<u64>,
}

impl Stats {
    /// The steps that are told by [`steps`](Self::steps) begin here.
    pub(crate) fn mark(&mut self) {
        for number in self.changed.drain(..) {
            if let Some(stat) = self.by_number.get_mut(number) {
                stat.before = None;
            }
        }
    }

    /// How far each stat has gone since [`mark`](Self::mark), of those that were touched. Where one name is of several kinds, the last one's.
    pub(crate) fn steps(&self) -> BTreeMap<String, i64> {
        let mut changed: Vec<_> =
            self.changed.iter().filter_map(|number| self.by_number.get(*number)).collect();
        changed.sort_unstable_by_key(|stat| stat.kind);
        let step = |stat: &Stat| stat.value.wrapping_sub(stat.before.unwrap_or(0)).cast_signed();
        changed.into_iter().map(|stat| (stat.name.clone(), step(stat))).collect()
    }

    /// All stats: counters and gauges with their values, histograms with the count of samples. Where one name is of several kinds, the last one's.
    pub(crate) fn all(&self) -> BTreeMap<String, u64> {
        let value = |number: &usize| self.by_number.get(*number).map_or(0, |stat| stat.value);
        self.numbers.iter().map(|((name, _), number)| (name.clone(), value(number))).collect()
    }

    /// Whether there is a stat of that name and kind.
    pub(crate) fn has(&self, name: &str, kind: Kind) -> bool {
        self.numbers.contains_key(&(name.to_owned(), kind))
    }

    fn define(&mut self, name: String, kind: Kind) -> usize {
        let next = self.by_number.len();
        let number = *self.numbers.entry((name.clone(), kind)).or_insert(next);
        if number == next {
            self.by_number.push(Stat { name, kind, value: 0, before: None });
        }
        number
    }

    fn change(&mut self, number: usize, by: impl FnOnce(u64) -> u64) {
        let Some(stat) = self.by_number.get_mut(number) else { return };
        if stat.before.is_none() {
            stat.before = Some(stat.value);
            self.changed.push(number);
        }
        stat.value = by(stat.value);
    }
}

/// The ids that a VM has for stats.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// The stats of the ids of each kind, in the order of their definition.
    ids: [Vec<usize>; 3],
}

impl Metrics {
    /// `proxy_define_metric`. Each call gives a new id for the stat of that name: 4, 8, ... for each kind, which is in the low bits.
    pub(crate) fn define(&mut self, stats: &mut Stats, kind: u32, name: String) -> Result<u32, Status> {
        let what = kind_of(kind)?;
        let ids = self.ids.get_mut(kind as usize).ok_or(Status::BadArgument)?;
        ids.push(stats.define(name, what));
        let number = u32::try_from(ids.len()).map_err(|_error| Status::BadArgument)?;
        Ok(number << 2 | kind)
    }

    /// `proxy_increment_metric`. A counter only grows; a gauge wraps round below 0; a histogram refuses.
    pub(crate) fn increment(&self, stats: &mut Stats, id: u32, step: i64) -> Result<(), Status> {
        match self.stat(id)? {
            (Kind::Counter, _) if step <= 0 => Err(Status::BadArgument),
            (Kind::Histogram, _) => Err(Status::BadArgument),
            (Kind::Counter | Kind::Gauge, number) => {
                stats.change(number, |value| value.wrapping_add(step.cast_unsigned()));
                Ok(())
            }
        }
    }

    /// `proxy_record_metric`. A counter adds it up, and of a histogram the count of samples is kept.
    pub(crate) fn record(&self, stats: &mut Stats, id: u32, amount: u64) -> Result<(), Status> {
        let (kind, number) = self.stat(id)?;
        stats.change(number, |value| match kind {
            Kind::Counter => value.wrapping_add(amount),
            Kind::Gauge => amount,
            Kind::Histogram => value + 1,
        });
        Ok(())
    }

    /// `proxy_get_metric`. A histogram has no value.
    pub(crate) fn get(&self, stats: &Stats, id: u32) -> Result<u64, Status> {
        match self.stat(id)? {
            (Kind::Histogram, _) => Err(Status::BadArgument),
            (Kind::Counter | Kind::Gauge, number) => {
                stats.by_number.get(number).map(|stat| stat.value).ok_or(Status::NotFound)
            }
        }
    }

    /// Whether an id is of a gauge, which may be set again and again.
    pub(crate) fn is_gauge(&self, id: u32) -> bool {
        self.stat(id).is_ok_and(|(kind, _)| kind == Kind::Gauge)
    }

    fn stat(&self, id: u32) -> Result<(Kind, usize), Status> {
        let kind = kind_of(id & 3)?;
        let ids = self.ids.get((id & 3) as usize).ok_or(Status::NotFound)?;
        let number = (id >> 2).checked_sub(1).and_then(|number| ids.get(number as usize));
        Ok((kind, *number.ok_or(Status::NotFound)?))
    }
}

fn kind_of(number: u32) -> Result<Kind, Status> {
    match number {
        0 => Ok(Kind::Counter),
        1 => Ok(Kind::Gauge),
        2 => Ok(Kind::Histogram),
        _ => Err(Status::BadArgument),
    }
}

#[cfg(test)]
mod tests {
    use super::{Metrics, Stats, Status};

    #[test]
    fn stats_behave_as_envoys_do() {
        let (mut metrics, mut stats) = (Metrics::default(), Stats::default());
        let stats = &mut stats;
        let [counter, again, gauge, histogram] = [(0, "c"), (0, "c"), (1, "g"), (2, "h")]
            .map(|(kind, name)| metrics.define(stats, kind, name.to_owned()).unwrap());
        assert!(counter != again && metrics.define(stats, 3, "x".to_owned()) == Err(Status::BadArgument));
        assert_eq!(
            [
                metrics.increment(stats, counter, 2),
                metrics.increment(stats, again, 3),
                metrics.increment(stats, counter, 0),
                metrics.increment(stats, counter, -1)
            ],
            [Ok(()), Ok(()), Err(Status::BadArgument), Err(Status::BadArgument)]
        );
        assert_eq!(metrics.get(stats, counter), Ok(5));
        assert_eq!(
            (metrics.increment(stats, gauge, -93), metrics.get(stats, gauge)),
            (Ok(()), Ok(18_446_744_073_709_551_523))
        );
        assert_eq!(
            [
                metrics.increment(stats, histogram, 1),
                metrics.record(stats, histogram, 7),
                metrics.record(stats, 400, 1)
            ],
            [Err(Status::BadArgument), Ok(()), Err(Status::NotFound)]
        );
        assert_eq!(metrics.get(stats, histogram), Err(Status::BadArgument));
        assert_eq!(metrics.get(stats, 0), Err(Status::NotFound));
    }

    #[test]
    fn steps_are_told_of_what_was_touched_since_the_mark() {
        let (mut metrics, mut stats) = (Metrics::default(), Stats::default());
        let [a, b, gauge] = [(0, "a"), (0, "b"), (1, "gauge")]
            .map(|(kind, name)| metrics.define(&mut stats, kind, name.to_owned()).unwrap());
        metrics.record(&mut stats, a, 3).unwrap();
        stats.mark();
        assert!(stats.steps().is_empty());
        for (id, amount) in [(a, 1), (a, 1), (gauge, 9), (gauge, 4)] {
            metrics.record(&mut stats, id, amount).unwrap();
        }
        metrics.increment(&mut stats, gauge, -6).unwrap();
        assert_eq!(
            stats.steps().into_iter().collect::<Vec<_>>(),
            [("a".to_owned(), 2), ("gauge".to_owned(), -2)]
        );
        stats.mark();
        metrics.record(&mut stats, b, 7).unwrap();
        assert_eq!(stats.steps().into_iter().collect::<Vec<_>>(), [("b".to_owned(), 7)]);
        let all = stats.all();
        assert_eq!(["a", "b", "gauge"].map(|name| all[name]), [5, 7, u64::MAX - 1]);
        assert!(stats.has("gauge", super::Kind::Gauge) && !stats.has("gauge", super::Kind::Counter));
    }
}
