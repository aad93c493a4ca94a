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

/// The stats that a VM has defined.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    ids: BTreeMap<u32, (Kind, String)>,
    values: BTreeMap<(String, Kind), u64>,
    defined: u32,
}

impl Metrics {
    /// `proxy_define_metric`. Each call gives a new id for the stat of that name: 4, 8, ... with the kind in the low bits.
    pub(crate) fn define(&mut self, kind: u32, name: String) -> Result<u32, Status> {
        let what = match kind {
            0 => Kind::Counter,
            1 => Kind::Gauge,
            2 => Kind::Histogram,
            _ => return Err(Status::BadArgument),
        };
        self.defined = self.defined.wrapping_add(1);
        let id = self.defined << 2 | kind;
        self.values.entry((name.clone(), what)).or_insert(0);
        self.ids.insert(id, (what, name));
        Ok(id)
    }

    /// `proxy_increment_metric`. A counter only grows; a gauge wraps round below 0; a histogram refuses.
    pub(crate) fn increment(&mut self, id: u32, step: i64) -> Result<(), Status> {
        match self.value(id)? {
            (Kind::Counter, value) if step > 0 => *value = value.wrapping_add(step.cast_unsigned()),
            (Kind::Gauge, value) => *value = value.wrapping_add(step.cast_unsigned()),
            (Kind::Counter | Kind::Histogram, _) => return Err(Status::BadArgument),
        }
        Ok(())
    }

    /// `proxy_record_metric`. A counter adds it up, and of a histogram the count of samples is kept.
    pub(crate) fn record(&mut self, id: u32, amount: u64) -> Result<(), Status> {
        match self.value(id)? {
            (Kind::Counter, value) => *value = value.wrapping_add(amount),
            (Kind::Gauge, value) => *value = amount,
            (Kind::Histogram, samples) => *samples += 1,
        }
        Ok(())
    }

    /// `proxy_get_metric`. A histogram has no value.
    pub(crate) fn get(&mut self, id: u32) -> Result<u64, Status> {
        match self.value(id)? {
            (Kind::Histogram, _) => Err(Status::BadArgument),
            (Kind::Counter | Kind::Gauge, value) => Ok(*value),
        }
    }

    /// All stats: counters and gauges with their values, histograms with the count of samples. Where one name is of several kinds, the last one's.
    pub(crate) fn all(&self) -> BTreeMap<String, u64> {
        self.values.iter().map(|((name, _), value)| (name.clone(), *value)).collect()
    }

    fn value(&mut self, id: u32) -> Result<(Kind, &mut u64), Status> {
        let (kind, name) = self.ids.get(&id).ok_or(Status::NotFound)?;
        let value = self.values.get_mut(&(name.clone(), *kind)).ok_or(Status::NotFound)?;
        Ok((*kind, value))
    }
}

#[cfg(test)]
mod tests {
    use super::{Metrics, Status};

    #[test]
    fn stats_behave_as_envoys_do() {
        let mut metrics = Metrics::default();
        let [counter, again, gauge, histogram] = [(0, "c"), (0, "c"), (1, "g"), (2, "h")]
            .map(|(kind, name)| metrics.define(kind, name.to_owned()).unwrap());
        assert!(counter != again && metrics.define(3, "x".to_owned()) == Err(Status::BadArgument));
        assert_eq!(
            [
                metrics.increment(counter, 2),
                metrics.increment(again, 3),
                metrics.increment(counter, 0),
                metrics.increment(counter, -1)
            ],
            [Ok(()), Ok(()), Err(Status::BadArgument), Err(Status::BadArgument)]
        );
        assert_eq!(metrics.get(counter), Ok(5));
        assert_eq!(
            (metrics.increment(gauge, -93), metrics.get(gauge)),
            (Ok(()), Ok(18_446_744_073_709_551_523))
        );
        assert_eq!(
            [metrics.increment(histogram, 1), metrics.record(histogram, 7), metrics.record(99, 1)],
            [Err(Status::BadArgument), Ok(()), Err(Status::NotFound)]
        );
        assert_eq!(metrics.get(histogram), Err(Status::BadArgument));
    }
}
