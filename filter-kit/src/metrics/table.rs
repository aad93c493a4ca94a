//! The series that a VM has defined.

use super::Kind;

/// The host's ids of the series that this VM has defined, by kind and name.
///
/// Envoy gives a new id at each definition and never lets a stat go, and a VM outlives a push of a new configuration: a series is defined
/// once for a VM, and found again.
#[derive(Debug, Default)]
pub struct Table(Vec<(Kind, Box<str>, u32)>);

impl Table {
    /// An empty table.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The id of a series, which is defined where it is not yet.
    #[inline(never)]
    pub fn id(
        &mut self,
        kind: Kind,
        name: &str,
        define: impl FnOnce(Kind, &str) -> Option<u32>,
    ) -> Option<u32> {
        match self.0.binary_search_by(|(other, text, _)| (*other, &**text).cmp(&(kind, name))) {
            Ok(place) => self.0.get(place).map(|(_, _, id)| *id),
            Err(place) => {
                let id = define(kind, name)?;
                self.0.insert(place, (kind, name.into(), id));
                Some(id)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Table;
    use crate::metrics::Kind;

    #[test]
    fn a_series_is_defined_once_and_one_that_the_host_refuses_is_asked_for_again() {
        let mut table = Table::new();
        assert_eq!(table.id(Kind::Gauge, "x", |_, _| None), None);
        assert_eq!(table.id(Kind::Gauge, "x", |_, _| Some(7)), Some(7));
        assert_eq!(table.id(Kind::Gauge, "x", |_, _| Some(8)), Some(7));
        assert_eq!(table.id(Kind::Counter, "x", |_, _| Some(9)), Some(9));
    }
}
