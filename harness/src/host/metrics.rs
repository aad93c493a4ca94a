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

/// A proxy's stats, by name and kind.
pub(crate) type Stats = BTreeMap<(String, Kind), u64>;

/// The ids that a VM has for stats.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    ids: BTreeMap<u32, (Kind, String)>,
    defined: [u32; 3],
}

impl Metrics {
    /// `proxy_define_metric`. Each call gives a new id for the stat of that name: 4, 8, ... for each kind, which is in the low bits.
    pub(crate) fn define(&mut self, stats: &mut Stats, kind: u32, name: String) -> Result<u32, Status> {
        let what = kind_of(kind)?;
        let number = self.defined.get_mut(kind as usize).ok_or(Status::BadArgument)?;
        *number = number.wrapping_add(1);
        let id = *number << 2 | kind;
        stats.entry((name.clone(), what)).or_insert(0);
        self.ids.insert(id, (what, name));
        Ok(id)
    }

    /// `proxy_increment_metric`. A counter only grows; a gauge wraps round below 0; a histogram refuses.
    pub(crate) fn increment(&self, stats: &mut Stats, id: u32, step: i64) -> Result<(), Status> {
        match self.value(stats, id)? {
            (Kind::Counter, value) if step > 0 => *value = value.wrapping_add(step.cast_unsigned()),
            (Kind::Gauge, value) => *value = value.wrapping_add(step.cast_unsigned()),
            (Kind::Counter | Kind::Histogram, _) => return Err(Status::BadArgument),
        }
        Ok(())
    }

    /// `proxy_record_metric`. A counter adds it up, and of a histogram the count of samples is kept.
    pub(crate) fn record(&self, stats: &mut Stats, id: u32, amount: u64) -> Result<(), Status> {
        match self.value(stats, id)? {
            (Kind::Counter, value) => *value = value.wrapping_add(amount),
            (Kind::Gauge, value) => *value = amount,
            (Kind::Histogram, samples) => *samples += 1,
        }
        Ok(())
    }

    /// `proxy_get_metric`. A histogram has no value.
    pub(crate) fn get(&self, stats: &mut Stats, id: u32) -> Result<u64, Status> {
        match self.value(stats, id)? {
            (Kind::Histogram, _) => Err(Status::BadArgument),
            (Kind::Counter | Kind::Gauge, value) => Ok(*value),
        }
    }

    fn value<'s>(&self, stats: &'s mut Stats, id: u32) -> Result<(Kind, &'s mut u64), Status> {
        kind_of(id & 3)?;
        let (kind, name) = self.ids.get(&id).ok_or(Status::NotFound)?;
        let value = stats.get_mut(&(name.clone(), *kind)).ok_or(Status::NotFound)?;
        Ok((*kind, value))
    }
}

/// All stats: counters and gauges with their values, histograms with the count of samples. Where one name is of several kinds, the last one's.
pub(crate) fn all(stats: &Stats) -> BTreeMap<String, u64> {
    stats.iter().map(|((name, _), value)| (name.clone(), *value)).collect()
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
        let (mut metrics, mut stats) = (Metrics::default(), Stats::new());
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
    }
}
