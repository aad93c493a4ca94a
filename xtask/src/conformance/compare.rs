//! Compares what the two hosts did, and writes the table.

use harness::{
    Bytes,
    conformance::{CRASH, Kind, Run, Sheet},
    outcome::is_added_by_proxy,
};
use regex::Regex;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

/// What differs and may: the sheet with its kind of exchange, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    (
        "module-import-memory (Module)",
        "a memory that the host gives: compilers have not made such plugins for years, and Envoy gives it one page",
    ),
    ("module-import-table (Module)", "a table that the host gives, likewise"),
    ("module-threads (Module)", "a shared memory: Envoy's engine has it, and a plugin has one thread"),
    (
        "module-much-memory (Module)",
        "a VM has 256 MiB here unless `Options::memory` says otherwise; Envoy has no limit but the engine's 4 GiB",
    ),
];

/// The most bytes of a body that are shown.
const SHOWN: usize = 1000;

/// What the table cannot say.
const NOTES: &str = include_str!("notes.md");

/// What came of the comparison.
#[derive(Debug, Default)]
pub struct Report {
    /// How many cells ran on both sides.
    pub cells: usize,
    /// How many of them differ without an exception.
    pub differ: usize,
    /// How many differ with one.
    pub excepted: usize,
    /// How many are plain refusals: the call is not possible in that callback.
    refusals: usize,
    /// How many exchanges end Envoy itself.
    crashes: usize,
    /// Every difference, in words.
    pub differences: Vec<String>,
    /// The sheets in which they are.
    pub sheets: BTreeSet<String>,
    /// The exceptions that were needed.
    needed: BTreeSet<&'static str>,
    /// Cells and differences, by call or by exchange.
    rows: BTreeMap<(String, String), (usize, usize)>,
}

/// Compares run with run.
pub fn compare(sheets: &[Sheet], on_harness: &[Run], on_envoy: &[Run]) -> Report {
    let mut report = Report::default();
    let mask = Mask::new();
    // What ran on one side alone would otherwise be compared with nothing.
    let names = |runs: &[Run]| -> Vec<(String, Option<Kind>)> {
        runs.iter().map(|run| (run.sheet.clone(), run.kind)).collect()
    };
    if names(on_harness) != names(on_envoy) {
        report.differ += 1;
        report.differences.push(format!(
            "the two sides ran other exchanges: {} on the harness, {} on Envoy",
            on_harness.len(),
            on_envoy.len()
        ));
    }
    for (one, other) in on_harness.iter().zip(on_envoy) {
        let lines = sheets.iter().find(|sheet| sheet.name == one.sheet).map_or(&[][..], |sheet| &sheet.lines);
        let before = report.differ;
        report.run(one, other, lines, &mask);
        if report.differ > before {
            // What kills VMs is run under each failure policy.
            let (sheet, _) = one.sheet.rsplit_once('/').unwrap_or((&one.sheet, ""));
            report.sheets.insert(sheet.to_owned());
        }
    }
    for (name, _) in EXCEPTIONS {
        let sheet = name.split(' ').next().unwrap_or_default();
        if sheets.iter().any(|known| known.name == sheet) && !report.needed.contains(name) {
            report.differ += 1;
            report.differences.push(format!("{name}: is an exception and does not differ"));
        }
    }
    report
}

/// Takes out what no two runs share: ports, dates and durations.
struct Mask(Vec<(Regex, &'static str)>);

impl Mask {
    fn new() -> Self {
        let masks = [
            (r"127\.0\.0\.1:\d+", "127.0.0.1:*"),
            (r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", "DATE"),
            (r"(x-envoy-upstream-service-time\\x00)\d+", "${1}*"),
            // How many digits that has: it stands behind the length of the name.
            (r"(\\x1d\\x00\\x00\\x00)\\x0\d(\\x00\\x00\\x00)", "${1}*${2}"),
        ];
        Self(masks.into_iter().filter_map(|(regex, by)| Some((Regex::new(regex).ok()?, by))).collect())
    }

    fn apply(&self, line: &str) -> String {
        self.0.iter().fold(line.to_owned(), |line, (regex, by)| regex.replace_all(&line, *by).into_owned())
    }
}

/// What ran, the call if it is the answer of one, and that answer.
type Cell = (String, String, String);

/// A cell: `callback#n sheet:line call = answer`, or a callback with its arguments; before it the VM, where there are several.
fn cells(run: &Run, lines: &[String], mask: &Mask) -> Vec<Cell> {
    let mut contexts = Contexts::default();
    let mut cells: Vec<Cell> = Vec::new();
    for line in &run.lines {
        let (vm, line) = line.split_once("| ").unwrap_or(("", line));
        let at = if vm.is_empty() { String::new() } else { format!("{vm}| ") };
        if let Some(cell) = line.strip_prefix("cell ")
            && let Some((place, answer)) = cell.split_once(" = ")
        {
            let mut words = place.split(' ');
            let (callback, sheet, call) = (
                words.next().unwrap_or_default(),
                words.next().unwrap_or_default(),
                words.next().unwrap_or_default(),
            );
            let number: usize = sheet.rsplit(':').next().and_then(|number| number.parse().ok()).unwrap_or(0);
            let text = lines.get(number.wrapping_sub(1)).map_or("", String::as_str);
            let mut answer = mask.apply(answer);
            if text.contains("request\\0headers\"") {
                answer = unordered(&answer);
            }
            if is_volatile(text) && answer.starts_with("0 ") {
                "0 *".clone_into(&mut answer);
            }
            cells.push((format!("{at}{callback} {text}"), call.to_owned(), answer));
            continue;
        }
        let line = contexts.rename(vm, line);
        // In which parts a large body comes is the network's affair.
        let is_of_network = match run.kind {
            Some(Kind::Large) => line.starts_with("call request_body["),
            Some(Kind::LargeAnswer) => line.starts_with("call response_body["),
            _ => false,
        };
        if is_of_network {
            continue;
        }
        cells.push((format!("{at}{line}"), String::new(), String::new()));
    }
    cells
}

/// The ids of streams' contexts, which grow with every stream that a VM has seen: they are told by the order of their first appearance.
#[derive(Default)]
struct Contexts(Vec<(String, String)>);

impl Contexts {
    fn rename(&mut self, vm: &str, line: &str) -> String {
        let Some((call, rest)) = line.split_once('[') else { return line.to_owned() };
        let is_of_root = ["vm_start", "configure", "tick", "queue_ready", "http_call", "grpc"]
            .iter()
            .any(|name| call.strip_prefix("call ").is_some_and(|call| call.starts_with(name)))
            || line.ends_with(", 0]") && call == "call context_create";
        let end = rest.find([',', ']']).unwrap_or(rest.len());
        let (id, rest) = rest.split_at(end);
        if is_of_root || !call.starts_with("call ") {
            return line.to_owned();
        }
        let key = (vm.to_owned(), id.to_owned());
        let number = self.0.iter().position(|known| *known == key).unwrap_or_else(|| {
            self.0.push(key);
            self.0.len() - 1
        });
        format!("{call}[stream {number}{rest}")
    }
}

/// A map that is written in any order: its bytes, sorted.
fn unordered(answer: &str) -> String {
    let mut letters: Vec<char> = answer.chars().collect();
    letters.sort_unstable();
    letters.into_iter().collect()
}

/// Whether the answer is of the moment: ports, ids of connections, times.
fn is_volatile(line: &str) -> bool {
    [
        "\\0port\"",
        "connection\\0id",
        "connection_id",
        "get_current_time",
        "clock_time_get 0",
        "clock_time_get 1",
    ]
    .iter()
    .any(|part| line.contains(part))
}

impl Report {
    fn run(&mut self, one: &Run, other: &Run, lines: &[String], mask: &Mask) {
        let kind = one.kind.unwrap_or(Kind::Get);
        let name = format!("{} ({kind:?})", one.sheet);
        let (ours, theirs) = (cells(one, lines, mask), cells(other, lines, mask));
        let order = |cells: &[Cell]| -> Vec<String> {
            cells.iter().filter(|cell| cell.1.is_empty()).map(|cell| cell.0.clone()).collect()
        };
        let (mut our_order, mut their_order) = (order(&ours), order(&theirs));
        // Threads, and consumers of queues, come in any order.
        let is_any = |line: &String| kind == Kind::Root || line.starts_with("call queue_ready");
        our_order.sort_by_key(|line| if is_any(line) { line.clone() } else { String::new() });
        their_order.sort_by_key(|line| if is_any(line) { line.clone() } else { String::new() });
        let mut unmatched: Vec<_> = theirs.iter().filter(|cell| !cell.1.is_empty()).collect();
        let mut missing = Vec::new();
        for cell in ours.iter().filter(|cell| !cell.1.is_empty()) {
            // Of the same calls of several threads the one with the same answer.
            let same = unmatched.iter().position(|other| other.0 == cell.0 && other.2 == cell.2);
            let Some(at) = same.or_else(|| unmatched.iter().position(|other| other.0 == cell.0)) else {
                missing.push(format!("only on the harness: {} = {}", cell.0, cell.2));
                continue;
            };
            let found = unmatched.remove(at);
            let is_refusal = cell.2 == found.2 && is_refusal(&cell.1, &cell.2);
            self.refusals += usize::from(is_refusal);
            self.cell(&name, &cell.1, &cell.0, &cell.2, &found.2);
        }
        missing.extend(unmatched.iter().map(|cell| format!("only on Envoy: {} = {}", cell.0, cell.2)));
        let exchange = |run: &Run, order: &[String]| {
            let mut text = format!("{}\n", order.join("\n"));
            if !matches!(kind, Kind::Root | Kind::Module) {
                let _ = write!(
                    text,
                    "status {:?}\nresponse {} {:?}\nupstream {:?}\nrequest {} {:?}",
                    run.status,
                    headers(&run.response_headers),
                    shown(&run.response_body),
                    run.upstream,
                    headers(&run.request_headers),
                    shown(&run.request_body)
                );
            }
            text
        };
        let mut ours = exchange(one, &our_order);
        for line in missing {
            let _ = write!(ours, "\n{line}");
        }
        if one.lines == [CRASH] || other.lines == [CRASH] {
            (self.crashes, ours) = (self.crashes + 1, format!("{:?}", one.lines.last()));
            self.cell(&name, "exchange", "the exchange", &ours, &format!("{:?}", other.lines.last()));
            return;
        }
        self.cell(&name, "exchange", "the exchange", &ours, &exchange(other, &their_order));
    }

    fn cell(&mut self, run: &str, group: &str, what: &str, ours: &str, theirs: &str) {
        self.cells += 1;
        let callback = if group == "exchange" {
            "exchanges".to_owned()
        } else {
            what.split(['#', ' ']).next().unwrap_or_default().to_owned()
        };
        let row = self.rows.entry((group.to_owned(), callback)).or_default();
        row.0 += 1;
        if ours == theirs {
            return;
        }
        if let Some((name, _)) = EXCEPTIONS.iter().find(|(name, _)| *name == run) {
            self.excepted += 1;
            self.needed.insert(name);
            return;
        }
        row.1 += 1;
        self.differ += 1;
        self.differences.push(if group == "exchange" {
            format!("{run}: {}", difference(ours, theirs))
        } else {
            format!("{run}: {what}: harness {ours}, Envoy {theirs}")
        });
    }

    /// The table.
    pub fn render(&self) -> String {
        let calls: BTreeSet<&str> =
            self.rows.keys().map(|(call, _)| call.as_str()).filter(|call| *call != "exchange").collect();
        let exchanges =
            self.rows.get(&("exchange".to_owned(), "exchanges".to_owned())).copied().unwrap_or_default();
        let mut text = String::from(
            "# Conformance\n\nWritten by `cargo xtask conformance`: one probe makes every host call, with good, edge and bad arguments, in every callback that can\nreach it, on the harness and on a real Envoy 1.40.0, and every answer is compared. A cell is one call in one callback with one set of\narguments, or one exchange: the order of callbacks with their arguments, and what client and upstream got.\n\n",
        );
        let _ = writeln!(
            text,
            "{} cells, {} differ, {} excepted; {} are plain refusals of a phase; {} are exchanges.\n",
            self.cells, self.differ, self.excepted, self.refusals, exchanges.0
        );
        text.push_str("| call | cells | differ | callbacks |\n|---|---|---|---|\n");
        for call in calls {
            let rows = self.rows.iter().filter(|((name, _), _)| name == call);
            let (mut count, mut differ, mut callbacks) = (0, 0, Vec::new());
            for ((_, callback), (number, wrong)) in rows {
                count += number;
                differ += wrong;
                callbacks.push(callback.as_str());
            }
            let _ = writeln!(text, "| `{call}` | {count} | {differ} | {} |", callbacks.len());
        }
        let _ = writeln!(text, "| exchanges | {} | {} | |", exchanges.0, exchanges.1);
        text.push_str("\n## Exceptions\n\n");
        if EXCEPTIONS.is_empty() {
            text.push_str("None.\n");
        }
        for (what, why) in EXCEPTIONS {
            let _ = writeln!(text, "- `{what}`: {why}");
        }
        text.push_str(NOTES);
        text
    }
}

/// Whether an answer only says that there is nothing to be had in this callback.
fn is_refusal(call: &str, answer: &str) -> bool {
    let is_bound_to_phase = call.contains("header_map") || call.contains("buffer");
    is_bound_to_phase && matches!(answer, "2" | "1" | "0 \"\"" | "2 -" | "1 -" | "2 - -" | "1 - -")
}

fn headers(headers: &[(Bytes, Bytes)]) -> String {
    let mut kept: Vec<String> = headers
        .iter()
        .map(|(name, value)| (name.lossy().to_ascii_lowercase(), value.lossy()))
        .filter(|(name, value)| {
            !(is_added_by_proxy(name.as_bytes()) || name == ":authority" && value.is_empty())
        })
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    kept.sort();
    format!("[{}]", kept.join(", "))
}

/// A body, of which a large one is shown by its size alone.
fn shown(body: &Bytes) -> String {
    if body.0.len() > SHOWN { format!("{} bytes", body.0.len()) } else { body.lossy() }
}

/// The lines that are not on both sides.
fn difference(ours: &str, theirs: &str) -> String {
    let mut text = String::new();
    let (ours, theirs): (Vec<_>, Vec<_>) = (ours.lines().collect(), theirs.lines().collect());
    for (side, lines, others) in [("harness", &ours, &theirs), ("Envoy", &theirs, &ours)] {
        for line in lines.iter().filter(|line| !others.contains(line)) {
            let _ = write!(text, "\n  {side}: {line}");
        }
    }
    if text.is_empty() {
        format!("in another order:\n  harness: {ours:?}\n  Envoy: {theirs:?}")
    } else {
        text
    }
}
