//! The metrics that a configuration makes, and what their names must be. Whatever is generated from a configuration is generated from this.

use filter_kit::{
    concat,
    metrics::{Encoding, Kind, OVERFLOW},
    settings::Field,
};

/// The longest name of a metric or a label, in bytes.
const LONGEST: usize = 100;

/// A metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Its name.
    pub name: String,
    /// What it measures.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: Vec<String>,
    /// The upper bounds of a histogram's buckets.
    pub buckets: Vec<u64>,
    /// What it is in the default set.
    pub role: Role,
}

/// What a metric is in the default set, for what is generated about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Requests that are over.
    Requests,
    /// Requests that failed.
    Errors,
    /// The duration.
    Duration,
    /// The size of the request's body.
    RequestSize,
    /// The size of the response's body.
    ResponseSize,
    /// Requests that began.
    Started,
    /// Requests that ended.
    Ended,
    /// Defined in the configuration.
    Defined,
    /// The filter's own: label sets that the budget refused.
    Refused,
    /// Another one of the filter's own.
    Own,
}

/// All metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalogue(Vec<Described>);

impl Catalogue {
    /// The metrics, in the order of their definition.
    pub fn metrics(&self) -> &[Described] {
        &self.0
    }

    /// The metric of a role.
    pub fn of(&self, role: Role) -> Option<&Described> {
        self.0.iter().find(|metric| metric.role == role)
    }

    /// The names of all labels, each once, that of overflow among them.
    pub fn labels(&self) -> Vec<&str> {
        let mut labels: Vec<&str> = Vec::new();
        for label in self.0.iter().flat_map(|metric| &metric.labels).map(String::as_str).chain([OVERFLOW.0]) {
            if !labels.contains(&label) {
                labels.push(label);
            }
        }
        labels
    }

    /// Adds a metric, or refuses its name: at `field`, where it was given.
    pub fn add(&mut self, field: &Field<'_, '_>, metric: Described) {
        let name = &metric.name;
        if !is_name(name) {
            field.refuse_text("must be 1 to 100 letters, digits and `_`, and begin with no digit", name);
        } else if ends_as_response_code(name) {
            field.refuse_text("must not end like a response code (`_rq_503`), which Envoy takes away", name);
        } else if let Some(other) = self.0.iter().find(|other| clash(other, &metric)) {
            let rule =
                concat(&["must be another name than `", &other.name, "` and what Prometheus makes of it"]);
            field.refuse_text(&rule, name);
        }
        self.0.push(metric);
    }

    /// Refuses the name of a label at `field`.
    pub fn check_label(&self, field: &Field<'_, '_>, label: &str, encoding: Encoding) {
        if !is_name(label) || label.starts_with("__") || ["le", "quantile", OVERFLOW.0].contains(&label) {
            let rule = "must be 1 to 100 letters, digits and `_`, begin with no digit and no `__`, and not be `le`, `quantile` or `otel_metric_overflow`";
            field.refuse_text(rule, label);
        }
        if encoding == Encoding::Envoy {
            return;
        }
        // Istio's regex for a label is not anchored, and would match within the longer one.
        let clashing = |other: &&str| *other != label && (other.ends_with(label) || label.ends_with(*other));
        if let Some(other) = self.labels().into_iter().find(clashing) {
            let rule = [
                "must not end in another label's name, nor another in it (`",
                other,
                "`), with Istio's encoding",
            ];
            field.refuse_text(&concat(&rule), label);
        }
    }
}

fn is_name(name: &str) -> bool {
    let is_first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    is_first && name.len() <= LONGEST && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn ends_as_response_code(name: &str) -> bool {
    let tail = name.as_bytes();
    let of = |length: usize| {
        tail.len().checked_sub(length).and_then(|start| tail.get(start..)).unwrap_or_default()
    };
    let is_code = |code: &[u8]| matches!(code, [code, b'x', b'x'] | [code, _, _] if code.is_ascii_digit());
    of(6).strip_prefix(b"_rq").is_some_and(is_code) || of(7).strip_prefix(b"_rq_").is_some_and(is_code)
}

/// Whether two metrics would have a name in common in Prometheus' text: a histogram is written as `_bucket`, `_sum` and `_count`.
fn clash(one: &Described, other: &Described) -> bool {
    let written = |metric: &Described, name: &str| {
        let suffix = name.strip_prefix(metric.name.as_str());
        suffix == Some("")
            || metric.kind == Kind::Histogram && matches!(suffix, Some("_bucket" | "_sum" | "_count"))
    };
    written(one, &other.name) || written(other, &one.name)
}
