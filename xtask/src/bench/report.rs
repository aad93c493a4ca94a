//! What was measured, as a table, as JSON and as a page.

use super::{
    Args, COPIES,
    goals::{self, Goal},
    measure::Round,
    stats::Summary,
    variant::Variant,
};
use comfy_table::Table;
use serde::Serialize;
use std::fmt::{self, Write as _};

/// The variant that ratios are to.
const REFERENCE: &str = "Lua get and set";
/// Above this spread of the baseline's turns the machine is too noisy to tell: the middle half of them is wider than 6 % of their median.
const NOISE_LIMIT: f64 = 0.06;
/// Above this spread a variant's own figure is too uncertain.
const SPREAD_LIMIT: f64 = 0.25;

/// A run of the bench.
#[derive(Debug, Serialize)]
pub struct Report {
    copies: usize,
    rounds: usize,
    requests: usize,
    /// Nanoseconds of CPU time of a request without a filter.
    baseline: Summary,
    variants: Vec<Row>,
    /// What this project's filters may cost beside their peers.
    goals: Vec<Goal>,
    /// What makes the run doubtful.
    doubts: Vec<String>,
}

/// A variant's figures.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    /// Nanoseconds per request and copy.
    cost: Summary,
    /// The cost as a part of the reference's in the same round.
    ratio: Summary,
}

impl Report {
    /// Works out what the rounds say.
    #[expect(clippy::cast_precision_loss, reason = "eight copies")]
    pub fn new(variants: &[Variant], rounds: &[Round], args: &Args) -> Self {
        let cost =
            |round: &Round, name: &str| round.get(name).map(|(own, beside)| (own - beside) / COPIES as f64);
        let rows = variants.iter().filter(|variant| !super::is_baseline(variant)).map(|variant| {
            let ratio = |round: &Round| Some(cost(round, &variant.name)? / cost(round, REFERENCE)?);
            Row {
                name: variant.name.clone(),
                cost: Summary::of(rounds.iter().filter_map(|round| cost(round, &variant.name)).collect()),
                ratio: Summary::of(rounds.iter().filter_map(ratio).collect()),
            }
        });
        let rows: Vec<Row> = rows.collect();
        let beside = rounds.iter().flat_map(|round| round.values().map(|(_, beside)| *beside));
        let baseline = Summary::of(beside.collect());
        let mut doubts = Vec::new();
        if baseline.spread() > NOISE_LIMIT {
            doubts.push(format!(
                "the machine was too noisy to tell: turns without a filter spread by {:.0} %",
                baseline.spread() * 100.0
            ));
        }
        for row in rows.iter().filter(|row| row.cost.spread() > SPREAD_LIMIT) {
            doubts.push(format!(
                "{}: its turns spread by {:.0} %, so its figure says little",
                row.name,
                row.cost.spread() * 100.0
            ));
        }
        Self {
            copies: COPIES,
            rounds: args.rounds,
            requests: args.requests,
            baseline,
            variants: rows,
            goals: goals::all(rounds),
            doubts,
        }
    }

    /// A page with a chart, complete in itself.
    pub fn html(&self) -> String {
        let widest = self.variants.iter().map(|row| row.cost.upper).fold(1.0, f64::max);
        let mut bars = String::new();
        for (index, row) in self.variants.iter().enumerate() {
            let y = 12 + index * 34;
            let [lower, median, upper] = [row.cost.lower, row.cost.median, row.cost.upper]
                .map(|value| 180.0 + value.max(0.0) / widest * 460.0);
            let _ = write!(
                bars,
                "<text x=\"170\" y=\"{}\" text-anchor=\"end\">{}</text><rect x=\"180\" y=\"{y}\" width=\"{:.1}\" height=\"20\"/>\
                 <line x1=\"{lower:.1}\" x2=\"{upper:.1}\" y1=\"{}\" y2=\"{}\"/><text x=\"{:.1}\" y=\"{}\">{:.0} ns, {:.2} x</text>",
                y + 15,
                escape(&row.name),
                median - 180.0,
                y + 10,
                y + 10,
                upper + 8.0,
                y + 15,
                row.cost.median,
                row.ratio.median,
            );
        }
        let mut doubts = String::new();
        for doubt in &self.doubts {
            let _ = write!(doubts, "<p><strong>{}</strong></p>", escape(doubt));
        }
        let height = 20 + self.variants.len() * 34;
        format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Outrigger: what filters cost</title><style>\
             :root{{color-scheme:light dark}}body{{font:15px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem}}\
             svg{{width:100%}}svg text{{font:13px system-ui,sans-serif;fill:currentColor}}svg rect{{fill:#3b82c4}}svg line{{stroke:currentColor;stroke-width:2}}\
             </style><h1>What filters cost a request</h1><p>Nanoseconds of CPU time of Envoy's worker per request and copy: {} copies in a chain, \
             {} rounds of {} requests in alternation with a chain without a filter ({:.0} ns). Medians; the lines are the middle half of the rounds. \
             Ratios are to {REFERENCE} in the same round.</p>{doubts}<svg viewBox=\"0 0 800 {height}\" role=\"img\" aria-label=\"Cost by variant\">{bars}</svg>\
             <pre>{}</pre></html>\n",
            self.copies,
            self.rounds,
            self.requests,
            self.baseline.median,
            escape(&self.to_string()),
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.set_header([
            "variant".to_owned(),
            "ns per copy".to_owned(),
            "middle half".to_owned(),
            format!("ratio to {REFERENCE}"),
        ]);
        for row in &self.variants {
            table.add_row([
                row.name.clone(),
                format!("{:.0}", row.cost.median),
                format!("{:.0}..{:.0}", row.cost.lower, row.cost.upper),
                format!("{:.2} ({:.2}..{:.2})", row.ratio.median, row.ratio.lower, row.ratio.upper),
            ]);
        }
        writeln!(
            f,
            "a request without a filter: {:.0} ns ({:.0}..{:.0})",
            self.baseline.median, self.baseline.lower, self.baseline.upper
        )?;
        for doubt in &self.doubts {
            writeln!(f, "note: {doubt}")?;
        }
        write!(f, "{table}")?;
        if self.goals.is_empty() {
            return Ok(());
        }
        let mut table = Table::new();
        table.set_header(["variant", "beside", "ratio", "at most", ""]);
        for goal in &self.goals {
            let Summary { lower, median, upper } = goal.ratio;
            table.add_row([
                goal.variant.to_owned(),
                goal.peer.to_owned(),
                format!("{median:.2} ({lower:.2}..{upper:.2})"),
                format!("{:.2}", goal.at_most),
                if goal.is_met() { "met" } else { "missed" }.to_owned(),
            ]);
        }
        write!(f, "\n{table}")
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
