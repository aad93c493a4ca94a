//! Labels out of the names of stats.

use std::collections::BTreeMap;

/// A series: the metric's name and its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// The metric's name.
    pub name: String,
    /// The labels by name.
    pub labels: BTreeMap<String, String>,
}

/// Takes a stat's name apart: `hits_total;arm=b` (Envoy with `stats_tags` of Graphite's form), `arm=.=b;.;hits_total` (Istio's
/// `extraStatTags`), or a name without labels.
pub fn parse(stat: &str) -> Series {
    let (name, labels): (&str, Vec<(&str, &str)>) = if stat.contains("=.=") {
        let mut parts: Vec<&str> = stat.split(";.;").collect();
        (parts.pop().unwrap_or_default(), parts.iter().filter_map(|part| part.split_once("=.=")).collect())
    } else {
        let mut parts = stat.split(';');
        (parts.next().unwrap_or_default(), parts.filter_map(|part| part.split_once('=')).collect())
    };
    let labels = labels.into_iter().map(|(label, value)| (label.to_owned(), value.to_owned())).collect();
    Series { name: name.to_owned(), labels }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[track_caller]
    fn check(stat: &str, name: &str, labels: &[(&str, &str)]) {
        let series = parse(stat);
        let got: Vec<_> =
            series.labels.iter().map(|(label, value)| (label.as_str(), value.as_str())).collect();
        assert_eq!((series.name.as_str(), got.as_slice()), (name, labels));
    }

    #[test]
    fn both_encodings_are_read() {
        check("hits_total", "hits_total", &[]);
        check("hits_total;arm=b;route=a=b", "hits_total", &[("arm", "b"), ("route", "a=b")]);
        check("arm=.=b;.;route=.=a=b;.;hits_total", "hits_total", &[("arm", "b"), ("route", "a=b")]);
    }
}
