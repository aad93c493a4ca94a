//! Which exchanges are logged. All is known by then: it is decided at the end.

use filter_kit::{TraceParent, settings::Field};

/// The most rules.
const RULE_LIMIT: usize = 64;
/// One: the number of values that what is drawn may have. OpenTelemetry's consistent probability sampling draws 56 bits.
const ONE: u64 = 1 << 56;

/// Which exchanges are logged.
#[derive(Debug)]
pub struct Sampling {
    /// The values from which on an exchange is logged where no rule says otherwise.
    threshold: u64,
    rules: Vec<Rule>,
    /// Whether errors are logged whatever else.
    errors: bool,
}

/// The share of the exchanges that all of this holds for.
#[derive(Debug)]
struct Rule {
    threshold: u64,
    status: Option<(u16, u16)>,
    /// From this many nanoseconds on.
    slower_than: Option<u64>,
    route: Option<Box<str>>,
}

/// What the decision is about.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The response's status; `None` where there was no response.
    pub status: Option<u16>,
    /// How long the exchange took, in nanoseconds.
    pub duration: u64,
    /// The label of its route.
    pub route: &'a str,
}

impl Seen<'_> {
    /// Whether the response is a server's error, or there was none.
    pub fn is_error(&self) -> bool {
        self.status.is_none_or(|status| status >= 500)
    }
}

impl Sampling {
    /// Reads `{"rate": 0.1, "errors": true, "rules": [{"status": [400, 499], "slower_than_ms": 500, "route": "/a", "rate": 1}]}`. Without anything
    /// all is logged.
    pub fn read(config: &Field<'_, '_>) -> Self {
        config.only(&["rate", "errors", "rules"]);
        let rules = config.get("rules").items_up_to(RULE_LIMIT).map(|item| Rule::read(&item)).collect();
        Self {
            threshold: threshold(&config.get("rate")).unwrap_or(0),
            rules,
            errors: config.get("errors").flag(true),
        }
    }

    /// Whether an exchange is logged. `draw` gives 56 bits, evenly spread, and is asked only where it decides.
    pub fn is_logged(&self, seen: &Seen<'_>, draw: impl FnOnce() -> u64) -> bool {
        if self.errors && seen.is_error() {
            return true;
        }
        let rule = self.rules.iter().find(|rule| rule.holds(seen));
        match rule.map_or(self.threshold, |rule| rule.threshold) {
            0 => true,
            ONE => false,
            threshold => draw() >= threshold,
        }
    }
}

impl Rule {
    fn read(field: &Field<'_, '_>) -> Self {
        field.only(&["status", "slower_than_ms", "route", "rate"]);
        let rate = field.get("rate");
        if !rate.is_given() {
            rate.refuse("must be 0..=1, got nothing");
        }
        let (status, slower_than, route) =
            (field.get("status"), field.get("slower_than_ms"), field.get("route"));
        if !status.is_given() && !slower_than.is_given() && !route.is_given() {
            field.refuse("must say status, slower_than_ms or route: the rate of all others is sampling.rate");
        }
        Self {
            threshold: threshold(&rate).unwrap_or(0),
            status: read_status(&status),
            slower_than: slower_than
                .whole(0, 86_400_000)
                .and_then(|ms| u64::try_from(ms).ok())
                .map(|ms| ms * 1_000_000),
            route: route.text().map(Into::into),
        }
    }

    fn holds(&self, seen: &Seen<'_>) -> bool {
        self.status
            .is_none_or(|(least, most)| seen.status.is_some_and(|status| (least..=most).contains(&status)))
            && self.slower_than.is_none_or(|least| seen.duration >= least)
            && self.route.as_deref().is_none_or(|route| route == seen.route)
    }
}

/// Both ends of a range of statuses, or one status.
fn read_status(field: &Field<'_, '_>) -> Option<(u16, u16)> {
    if !field.is_given() {
        return None;
    }
    let ends: Vec<u16> = field
        .items_up_to(2)
        .filter_map(|item| item.whole(100, 599).and_then(|status| u16::try_from(status).ok()))
        .collect();
    match ends.as_slice() {
        [least, most] if least <= most => Some((*least, *most)),
        _ => {
            field.refuse("must be the least and the most status, such as [400, 499]");
            None
        }
    }
}

/// What a rate leaves out: OpenTelemetry's rejection threshold.
fn threshold(field: &Field<'_, '_>) -> Option<u64> {
    let rate = field.number()?;
    if !(0.0..=1.0).contains(&rate.value) {
        field.refuse_got("must be 0..=1", rate.text);
        return None;
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 2^56, and no more exact than the rate is"
    )]
    let threshold = ((1.0 - rate.value) * ONE as f64) as u64;
    Some(threshold)
}

/// The 56 random bits of a trace's id: its last seven bytes (W3C Trace Context, level 2, random flag; OpenTelemetry reads them so in any case).
pub fn randomness(trace: &TraceParent<'_>) -> u64 {
    trace.trace_id().get(18..).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0)
}

/// 56 bits of a text that is random itself, such as a request's id: FNV-1a, stirred once more, since its high bits are weak.
pub fn hash(text: &[u8]) -> u64 {
    let hash = text.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash ^ hash >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8
}

#[cfg(test)]
mod tests {
    use super::{ONE, Sampling, Seen, hash, randomness};
    use filter_kit::{
        TraceParent,
        settings::{Field, Node},
    };
    use std::cell::RefCell;

    fn read(config: &str) -> Result<Sampling, String> {
        let node = Node::parse(config.as_bytes()).unwrap();
        let refused = RefCell::default();
        let field = Field::root(&node, &refused);
        let sampling = Sampling::read(&field);
        field.finish(sampling).map_err(|error| error.to_string())
    }

    #[test]
    fn errors_come_first_then_the_first_rule_that_holds_then_the_rate() {
        let config = r#"{"rate":0.25,"rules":[{"route":"/health","rate":0},{"status":[400,499],"rate":0.5},{"slower_than_ms":500,"rate":1}]}"#;
        let sampling = read(config).unwrap();
        let share = |status: Option<u16>, ms: u64, route: &str| {
            let seen = Seen { status, duration: ms * 1_000_000, route };
            (0..1000).filter(|step| sampling.is_logged(&seen, || step * (ONE / 1000) + ONE / 2000)).count()
        };
        assert_eq!(share(Some(200), 10, "/a"), 250);
        assert_eq!(share(Some(404), 10, "/a"), 500);
        assert_eq!(share(Some(200), 500, "/a"), 1000);
        assert_eq!(share(Some(200), 500, "/health"), 0);
        assert_eq!(share(Some(503), 10, "/health"), 1000);
        assert_eq!(share(None, 10, "/health"), 1000);
        let none = read(r#"{"rate":0,"errors":false}"#).unwrap();
        assert!(!none.is_logged(&Seen { status: None, duration: 0, route: "" }, || ONE - 1));
    }

    #[test]
    fn a_rule_that_cannot_be_is_refused_with_its_path() {
        let refused = |config| read(config).unwrap_err();
        assert_eq!(refused(r#"{"rate":1.5}"#), "rate: must be 0..=1, got 1.5");
        assert_eq!(
            refused(r#"{"rules":[{"status":[400,499]}]}"#),
            "rules[0].rate: must be 0..=1, got nothing"
        );
        assert_eq!(
            refused(r#"{"rules":[{"rate":1}]}"#),
            "rules[0]: must say status, slower_than_ms or route: the rate of all others is sampling.rate"
        );
        assert_eq!(
            refused(r#"{"rules":[{"rate":1,"status":[499,400]}]}"#),
            "rules[0].status: must be the least and the most status, such as [400, 499]"
        );
        assert!(
            refused(r#"{"rules":[{"rate":1,"status":[99,400]}]}"#)
                .starts_with("rules[0].status[0]: must be 100..=599")
        );
    }

    #[test]
    fn what_is_drawn_is_spread_evenly() {
        let low = (0..10_000).filter(|index| hash(format!("id-{index}").as_bytes()) < ONE / 4).count();
        assert!((2300..2700).contains(&low), "{low}");
        let trace = TraceParent::parse(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
        assert_eq!(randomness(&trace), 0x48_eb21_1c80_319c);
    }
}
