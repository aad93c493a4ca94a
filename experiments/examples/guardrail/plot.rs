//! The figures, drawn.

use crate::{BASES, BETA, FIRST, Figures, LATE, PROXIES};
use std::{error::Error, fmt::Write};

const STYLE: &str = "
  svg { font: 13px sans-serif }
  text { fill: #24292f }
  .title { font-weight: bold; font-size: 14px }
  .axis, .tick { stroke: #57606a; fill: none }
  .grid { stroke: #d0d7de; fill: none }
  .line { fill: none; stroke-width: 2 }
  .c0 { stroke: #0969da } .c1 { stroke: #bf3989 } .c2 { stroke: #1a7f37 } .c3 { stroke: #9a6700 }
  .f0 { fill: #0969da } .f1 { fill: #bf3989 }
  .stated { stroke: #cf222e; stroke-dasharray: 6 4 }
  .back { fill: #ffffff }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .back { fill: #0d1117 }
    .axis, .tick { stroke: #8d96a0 }
    .grid { stroke: #30363d }
    .c0 { stroke: #58a6ff } .c1 { stroke: #f778ba } .c2 { stroke: #3fb950 } .c3 { stroke: #d29922 }
    .f0 { fill: #58a6ff } .f1 { fill: #f778ba }
    .stated { stroke: #ff7b72 }
  }
";

/// The curves: of which of the figures, and what is said of them.
const CURVES: [(&str, &str); 4] = [
    (FIRST, "from the first request"),
    (LATE, "after 125,000 requests"),
    (PROXIES, "from the first, proxies: 100"),
    (BETA, "from the first, beta-binomial"),
];

/// Where a panel's axes are.
const TOP: f64 = 60.0;
const BOTTOM: f64 = 330.0;
const HEIGHT: f64 = BOTTOM - TOP;

/// Draws the figures.
pub fn draw(figures: &Figures) -> Result<String, Box<dyn Error>> {
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1020 430\" role=\"img\">\n<title>How soon the guardrail closes an arm, and how often it is wrong</title>\n<style>",
    );
    svg.push_str(STYLE);
    svg.push_str("</style>\n<rect class=\"back\" width=\"1020\" height=\"430\"/>\n");
    detection(&mut svg, figures)?;
    alarms(&mut svg, figures);
    svg.push_str("</svg>\n");
    Ok(svg)
}

fn text(svg: &mut String, (x, y): (f64, f64), attributes: &str, text: &str) {
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" {attributes}>{text}</text>");
}

fn line(svg: &mut String, class: &str, from: (f64, f64), to: (f64, f64)) {
    let ((x1, y1), (x2, y2)) = (from, to);
    let _ = writeln!(
        svg,
        "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
    );
}

/// What share of the jumps is caught within how many requests.
fn detection(svg: &mut String, figures: &Figures) -> Result<(), Box<dyn Error>> {
    const LEFT: f64 = 70.0;
    const WIDTH: f64 = 460.0;
    const MOST: u32 = 24_000;
    let x = |requests: f64| LEFT + WIDTH * requests / f64::from(MOST);
    let y = |percent: f64| BOTTOM - HEIGHT * percent / 100.0;
    text(
        svg,
        (LEFT, 24.0),
        "class=\"title\"",
        "An arm with 10 % of the requests goes from 1 % to 5 % errors",
    );
    text(svg, (LEFT, 44.0), "", "closed within so many requests, % of experiments");
    for percent in [0, 25, 50, 75, 100] {
        let at = y(f64::from(percent));
        line(svg, "grid", (LEFT, at), (LEFT + WIDTH, at));
        text(svg, (LEFT - 8.0, at + 4.0), "text-anchor=\"end\"", &percent.to_string());
    }
    for requests in (0..=MOST).step_by(4000) {
        let at = x(f64::from(requests));
        line(svg, "tick", (at, BOTTOM), (at, BOTTOM + 5.0));
        text(svg, (at, BOTTOM + 20.0), "text-anchor=\"middle\"", &requests.to_string());
    }
    line(svg, "axis", (LEFT, BOTTOM), (LEFT + WIDTH, BOTTOM));
    text(
        svg,
        (LEFT + WIDTH / 2.0, BOTTOM + 44.0),
        "text-anchor=\"middle\"",
        "requests of all arms since the jump",
    );
    for (place, (name, label)) in CURVES.iter().enumerate() {
        let found = figures.caught.iter().find(|(text, _)| text == name);
        let (_, caught) = found.ok_or("nothing was caught that is to be drawn")?;
        let mut path = format!("M{:.1} {:.1}", x(0.0), y(0.0));
        // A point a percent is as fine as it can be seen.
        for percent in 1..=100_u32 {
            let rank = (caught.len() * percent as usize).div_ceil(100).saturating_sub(1);
            let Some(caught) = caught.get(rank).filter(|caught| caught.all <= u64::from(MOST)) else { break };
            let requests = u32::try_from(caught.all).unwrap_or(MOST);
            let _ = write!(path, "L{:.1} {:.1}", x(f64::from(requests)), y(f64::from(percent)));
        }
        let _ = writeln!(svg, "<path class=\"line c{place}\" d=\"{path}\"/>");
        let (column, row) = if place < 2 { (LEFT, place) } else { (LEFT + 230.0, place - 2) };
        let row = BOTTOM + 70.0 + if row == 0 { 0.0 } else { 20.0 };
        line(svg, &format!("line c{place}"), (column, row - 4.0), (column + 24.0, row - 4.0));
        text(svg, (column + 30.0, row), "", label);
    }
    Ok(())
}

/// How often an arm is closed that is no reason to, on a logarithmic scale.
fn alarms(svg: &mut String, figures: &Figures) {
    const LEFT: f64 = 650.0;
    const WIDTH: f64 = 350.0;
    // From 0.01 % to 100 %.
    let y = |percent: f64| BOTTOM - HEIGHT * (percent.max(0.01).log10() + 2.0) / 4.0;
    text(svg, (LEFT, 24.0), "class=\"title\"", "False alarms, looking after each request");
    text(svg, (LEFT, 44.0), "", "% of experiments; the stated 1 % is dashed");
    for (percent, label) in [(0.01, "none"), (0.1, "0.1"), (1.0, "1"), (10.0, "10"), (100.0, "100")] {
        line(
            svg,
            if label == "1" { "stated" } else { "grid" },
            (LEFT, y(percent)),
            (LEFT + WIDTH, y(percent)),
        );
        text(svg, (LEFT - 8.0, y(percent) + 4.0), "text-anchor=\"end\"", label);
    }
    line(svg, "axis", (LEFT, BOTTOM), (LEFT + WIDTH, BOTTOM));
    for ((place, base), (worst, one_look)) in (0_u32..).zip(BASES).zip(&figures.alarms) {
        let at = LEFT + WIDTH * (f64::from(place) + 0.5) / 4.0;
        text(svg, (at, BOTTOM + 20.0), "text-anchor=\"middle\"", &format!("{:.1} %", base * 100.0));
        for (class, count, beside, anchor) in
            [("f0", worst, -10.0, "text-anchor=\"end\""), ("f1", one_look, 10.0, "")]
        {
            let percent = 100.0 * share(*count, figures.runs);
            let _ =
                writeln!(svg, "<circle class=\"{class}\" cx=\"{at:.1}\" cy=\"{:.1}\" r=\"6\"/>", y(percent));
            text(svg, (at + beside, y(percent) - 6.0), anchor, &format!("{percent:.2}"));
        }
    }
    text(svg, (LEFT + WIDTH / 2.0, BOTTOM + 44.0), "text-anchor=\"middle\"", "control's error rate");
    for (class, row, label) in [
        ("f0", BOTTOM + 70.0, "guardrail, most of 2 to 5 arms"),
        ("f1", BOTTOM + 90.0, "a test at 1 % for one look"),
    ] {
        let _ = writeln!(svg, "<circle class=\"{class}\" cx=\"{LEFT:.1}\" cy=\"{:.1}\" r=\"6\"/>", row - 4.0);
        text(svg, (LEFT + 14.0, row), "", label);
    }
}

#[allow(clippy::cast_precision_loss, reason = "they are thousands")]
fn share(count: u64, of: u64) -> f64 {
    count as f64 / of as f64
}
