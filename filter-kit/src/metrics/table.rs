//! The series that a VM has defined.

use super::{FamilyId, Kind, Metrics};
use crate::Bounded;

/// The ids of the series that this VM has defined, by name.
///
/// Envoy gives a new id at each definition and never lets a stat go, and a VM outlives a push of a new configuration: a series is defined
/// once for a VM, and found again. Past the budget a new label set counts in its metric's overflow series.
#[derive(Debug, Default)]
pub struct Table {
    series: Ids,
    overflow: Ids,
}

/// Ids in the order of kind and name.
#[derive(Debug, Default)]
struct Ids(Vec<(Kind, Box<str>, u32)>);

impl Table {
    /// An empty table.
    pub const fn new() -> Self {
        Self { series: Ids(Vec::new()), overflow: Ids(Vec::new()) }
    }

    /// The count of series defined, overflow series not counted.
    pub fn len(&self) -> usize {
        self.series.0.len()
    }

    /// Whether no series is defined.
    pub fn is_empty(&self) -> bool {
        self.series.0.is_empty()
    }

    /// The id of a series that the configuration names; these are admitted whatever the budget, which was checked when it was compiled.
    pub fn known(
        &mut self,
        kind: Kind,
        name: &str,
        define: impl FnOnce(Kind, &str) -> Option<u32>,
    ) -> Option<u32> {
        self.series.find_or_define(kind, name, usize::MAX, define)
    }

    /// The id of the series of these label values, or of the family's overflow series when the budget is used up.
    pub fn labelled(
        &mut self,
        metrics: &Metrics,
        family: FamilyId,
        values: &[Bounded<'_>],
        define: impl Fn(Kind, &str) -> Option<u32>,
    ) -> Option<u32> {
        let (kind, name) = metrics.name(family, values);
        if let Some(id) = self.series.find_or_define(kind, &name, metrics.budget(), &define) {
            return Some(id);
        }
        let (kind, name) = metrics.overflow(family);
        self.overflow.find_or_define(kind, &name, usize::MAX, define)
    }
}

impl Ids {
    fn find_or_define(
        &mut self,
        kind: Kind,
        name: &str,
        limit: usize,
        define: impl FnOnce(Kind, &str) -> Option<u32>,
    ) -> Option<u32> {
        match self.0.binary_search_by(|(other, text, _)| (*other, &**text).cmp(&(kind, name))) {
            Ok(place) => self.0.get(place).map(|(_, _, id)| *id),
            Err(place) if self.0.len() < limit => {
                let id = define(kind, name)?;
                self.0.insert(place, (kind, name.into(), id));
                Some(id)
            }
            Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Table;
    use crate::{
        Bounded,
        metrics::{Kind, Metrics, MetricsConfig},
    };
    use std::cell::RefCell;

    #[test]
    fn a_series_is_defined_once_and_the_budget_holds() {
        let mut metrics = Metrics::new(&MetricsConfig { budget: 3, ..MetricsConfig::default() });
        let family = metrics.family(Kind::Counter, "hits_total", &["user"]);
        let mut table = Table::new();
        let defined = RefCell::new(Vec::new());
        for user in (0..1000).chain(0..1000) {
            let value = [Bounded::own(format!("u{user}"))];
            let id = table.labelled(&metrics, family, &value, |_, name| {
                defined.borrow_mut().push(name.to_owned());
                u32::try_from(defined.borrow().len()).ok()
            });
            assert_eq!(id, Some(if user < 3 { user + 1 } else { 4 }));
        }
        assert_eq!(
            defined.into_inner(),
            [
                "hits_total;user=u0",
                "hits_total;user=u1",
                "hits_total;user=u2",
                "hits_total;otel_metric_overflow=true"
            ]
        );
        assert_eq!(table.len(), 3);
    }

    #[test]
    fn a_series_that_the_host_refuses_is_asked_for_again() {
        let mut table = Table::new();
        assert_eq!(table.known(Kind::Gauge, "x", |_, _| None), None);
        assert_eq!(table.known(Kind::Gauge, "x", |_, _| Some(7)), Some(7));
        assert_eq!(table.known(Kind::Gauge, "x", |_, _| Some(8)), Some(7));
    }
}
