//! The accounts of a fault: what clients saw, what the upstream got, what Envoy logged and counted, and what the modules did. They must agree to the
//! request.

use super::{line::Line, shop::Taken};
use std::collections::{BTreeMap, BTreeSet};

/// What a client saw of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// A whole answer with this status.
    Answer(u16),
    /// The head of an answer with this status, and then the end of the connection or the stream.
    Broken(u16),
    /// The end of the connection or the stream, and no answer.
    Nothing,
    /// The client left and looked at nothing.
    Left,
}

/// What a client must see: as [`Seen`], whose status is that of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// A whole answer.
    Answer,
    /// An answer that breaks off.
    Broken,
    /// No answer.
    Nothing,
    /// It has left.
    Left,
}

/// Whether the upstream gets a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upstream {
    /// The whole of it.
    Whole,
    /// The whole of it, with a body of this length and so many trailers.
    Exactly(usize, usize),
    /// Its head, and not all of its body.
    Head,
    /// Some of it or nothing: it was taken back before the upstream has read it.
    Perhaps,
    /// Nothing.
    Never,
}

/// How an exchange may end in Envoy's log: its status (0 is none), the flags, and what the details begin with.
pub type End = (u16, &'static str, &'static str);

/// What must come of a request.
#[derive(Debug)]
pub struct Rule {
    /// What the request is.
    pub name: &'static str,
    /// How it may end: one of these.
    pub ends: &'static [End],
    /// What the client must see.
    pub client: Client,
    /// What the upstream must get.
    pub upstream: Upstream,
    /// What the filters have of it.
    pub filters: Filters,
    /// The length of a body that breaks off, as its head has it: access-log's `bytes_received` is Envoy's `request.size`, which believes the head,
    /// while `%BYTES_RECEIVED%` is what came.
    pub promised: Option<u64>,
}

/// What the filters have of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filters {
    /// All of it.
    All,
    /// Its end: Envoy answers before the head is whole. Then it is logged and counted, and neither begins nor ends nor is decided of, and the line has
    /// no name.
    LogNameless,
    /// All of it or nothing: Envoy closes a connection on which there is more than it bears, and does not read the rest.
    Perhaps,
    /// Nothing: it goes before its head is whole and nobody answers. Envoy's own line of it has no name, and access-log no record.
    Nothing,
}

/// A request that was sent.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Its name, which no other one has.
    pub name: String,
    /// What must come of it.
    pub rule: &'static Rule,
    /// What its client saw.
    pub seen: Seen,
}

/// Everything that is known of a fault.
#[derive(Debug, Clone, Default)]
pub struct Books {
    /// What was sent.
    pub sent: Vec<Sent>,
    /// What Envoy logged.
    pub lines: Vec<Line>,
    /// What the upstream got.
    pub taken: BTreeMap<String, Taken>,
    /// The steps of Envoy's counters, those of both clusters as `cluster.`.
    pub envoy: BTreeMap<String, i64>,
    /// The steps of the modules' counters, by name, and by name and label as `NAME LABEL=VALUE`.
    pub plugins: BTreeMap<String, i64>,
    /// How many requests Envoy still holds, downstream and upstream.
    pub active: i64,
    /// What else Envoy's counters, and the modules', must say: those that only this fault moves.
    pub also: [Vec<(&'static str, usize)>; 2],
}

impl Books {
    /// What does not agree: nothing, when all is well.
    pub fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.active != 0 {
            wrong.push(format!("{} requests are still under way", self.active));
        }
        self.check_lines(&mut wrong);
        self.check_records(&mut wrong);
        self.check_upstream(&mut wrong);
        self.check_counts(&mut wrong);
        wrong
    }

    /// Every request has one line, which is as its rule says, and its client saw what the line says.
    fn check_lines(&self, wrong: &mut Vec<String>) {
        let mut named = BTreeMap::<&str, Vec<&Line>>::new();
        for line in &self.lines {
            named.entry(&line.name).or_default().push(line);
        }
        let nameless = named.remove("-").unwrap_or_default();
        for (filters, is_recorded) in [(Filters::LogNameless, true), (Filters::Nothing, false)] {
            let refused: Vec<&Sent> = self.sent.iter().filter(|sent| sent.rule.filters == filters).collect();
            let ends: BTreeSet<End> = refused.iter().flat_map(|sent| sent.rule.ends).copied().collect();
            let lines: Vec<_> = nameless.iter().filter(|line| line.is_recorded() == is_recorded).collect();
            if lines.len() != refused.len() {
                wrong.push(format!("{} lines for {} requests of {filters:?}", lines.len(), refused.len()));
            }
            let odd = lines.iter().filter(|line| !ends.iter().any(|end| line.is(end)));
            wrong.extend(odd.map(|line| format!("a line without a name: {line:?}")));
        }
        for sent in &self.sent {
            let (name, rule) = (&sent.name, sent.rule);
            let agrees = matches!(
                (rule.client, sent.seen),
                (Client::Answer, Seen::Answer(_))
                    | (Client::Broken, Seen::Broken(_))
                    | (Client::Nothing, Seen::Nothing)
                    | (Client::Left, Seen::Left)
            );
            if !agrees {
                wrong.push(format!("{} {name}: the client saw {:?}", rule.name, sent.seen));
            }
            let lines = named.remove(name.as_str()).unwrap_or_default();
            if matches!(rule.filters, Filters::Nothing | Filters::LogNameless) {
                let statuses: Vec<u16> = rule.ends.iter().map(|(status, ..)| *status).collect();
                if let Seen::Answer(status) = sent.seen
                    && !statuses.contains(&status)
                {
                    wrong.push(format!("{} {name}: the client saw {status}", rule.name));
                }
                if !lines.is_empty() {
                    wrong.push(format!(
                        "{} {name}: has {} lines, and must have none",
                        rule.name,
                        lines.len()
                    ));
                }
                continue;
            }
            if rule.filters == Filters::Perhaps && lines.is_empty() {
                continue;
            }
            let [line] = lines[..] else {
                wrong.push(format!("{} {name}: {} lines in place of one", rule.name, lines.len()));
                continue;
            };
            if !rule.ends.iter().any(|end| line.is(end)) {
                wrong.push(format!("{} {name}: {line:?}", rule.name));
            }
            if let Seen::Answer(status) | Seen::Broken(status) = sent.seen
                && status != line.status
            {
                wrong.push(format!(
                    "{} {name}: the client saw {status}, and the log {}",
                    rule.name, line.status
                ));
            }
        }
        wrong.extend(named.keys().map(|name| format!("nobody has sent {name}")));
    }

    /// Each line has access-log's record, which says the same.
    fn check_records(&self, wrong: &mut Vec<String>) {
        let promised =
            |name: &str| self.sent.iter().find(|sent| sent.name == name).and_then(|sent| sent.rule.promised);
        for line in self.lines.iter().filter(|line| line.is_recorded()) {
            if let Some(difference) = line.record_differs(promised(&line.name)) {
                wrong.push(format!("the record of {} differs in {difference}: {line:?}", line.name));
            }
        }
    }

    /// The upstream got what Envoy sent, once.
    fn check_upstream(&self, wrong: &mut Vec<String>) {
        let mut taken = self.taken.clone();
        for sent in &self.sent {
            let got = taken.remove(&sent.name).unwrap_or_default();
            let heads = match sent.rule.upstream {
                Upstream::Whole | Upstream::Exactly(..) | Upstream::Head => 1..=1,
                Upstream::Perhaps => 0..=1,
                Upstream::Never => 0..=0,
            };
            let is_whole = match sent.rule.upstream {
                Upstream::Whole => got.body.is_some(),
                Upstream::Exactly(body, trailers) => got.body == Some(body) && got.trailers == trailers,
                Upstream::Head => got.body.is_none(),
                _ => true,
            };
            if !heads.contains(&got.heads) || !is_whole {
                wrong.push(format!("{} {}: the upstream got {got:?}", sent.rule.name, sent.name));
            }
        }
        wrong.extend(taken.keys().map(|name| format!("the upstream got {name}, which nobody has sent")));
        let to_upstream = self.lines.iter().filter(|line| line.is_upstream).count();
        self.equal(
            "requests of the log with an upstream, and those that Envoy's clusters counted",
            to_upstream,
            self.of("cluster.upstream_rq_total") + self.of("cluster.upstream_rq_cancelled"),
            wrong,
        );
        let (all, heads) =
            (self.of("cluster.upstream_rq_total"), self.taken.values().map(|got| got.heads).sum());
        let may = self.sent.iter().filter(|sent| sent.rule.upstream == Upstream::Perhaps).count();
        if may == 0 {
            self.equal(
                "requests that the upstream got, and those that Envoy's clusters counted",
                heads,
                all,
                wrong,
            );
        } else if i64::try_from(heads).is_ok_and(|heads| heads > all) {
            wrong.push(format!("the upstream got {heads} requests, and Envoy's clusters counted {all}"));
        }
    }

    /// Envoy's counters and the modules' have the steps that the log and the rules say.
    fn check_counts(&self, wrong: &mut Vec<String>) {
        for (name, expected) in self.envoy_expected() {
            self.equal(&format!("requests, and {name}"), expected, self.of(&name), wrong);
        }
        for (name, expected) in self.plugins_expected() {
            self.equal(&format!("requests, and {name}"), expected, self.count(&name), wrong);
        }
    }

    /// How many requests the filters have seen.
    fn filtered(&self) -> usize {
        let read: BTreeSet<&str> = self.lines.iter().map(|line| line.name.as_str()).collect();
        let is_seen = |sent: &&Sent| match sent.rule.filters {
            Filters::All => true,
            Filters::Perhaps => read.contains(sent.name.as_str()),
            _ => false,
        };
        self.sent.iter().filter(is_seen).count()
    }

    /// The steps of Envoy's counters by the lines of the log.
    fn envoy_expected(&self) -> BTreeMap<String, usize> {
        let mut expected: BTreeMap<String, usize> = (1..=5)
            .map(|class| (format!("downstream_rq_{class}xx"), self.lines(|line| line.status / 100 == class)))
            .collect();
        expected.insert("downstream_rq_total".to_owned(), self.lines.len());
        expected.insert("downstream_rq_completed".to_owned(), self.lines(|line| line.status > 0));
        expected.extend(self.also[0].iter().map(|(name, count)| ((*name).to_owned(), *count)));
        expected
    }

    /// The steps of the modules' counters by the lines of the log, and by what the filters have seen.
    fn plugins_expected(&self) -> BTreeMap<String, usize> {
        let requests = "http_server_requests_total";
        let mut expected: BTreeMap<String, usize> = (1..=5)
            .map(|class| {
                let lines = self.lines(|line| line.is_recorded() && line.status / 100 == class);
                (format!("{requests} http_response_status_class={class}xx"), lines)
            })
            .collect();
        for arm in ["control", "b"] {
            let is_of = |line: &Line| line.record["arm.checkout"] == arm;
            expected.insert(format!("ab_exposures_total arm={arm}"), self.lines(is_of));
        }
        for method in ["GET", "POST"] {
            let lines = self.lines(|line| line.is_recorded() && line.record["method"] == method);
            expected.insert(format!("{requests} http_request_method={method}"), lines);
        }
        let none = self.lines(|line| line.is_recorded() && line.status == 0);
        let seen = self.filtered();
        for (name, count) in [
            ("http_server_requests_total http_response_status_class=none", none),
            (requests, self.lines(Line::is_recorded)),
            ("http_server_errors_total", none + self.lines(|line| line.is_recorded() && line.status >= 500)),
            ("http_server_requests_started_total", seen),
            ("http_server_requests_ended_total", seen),
            ("policy_decisions_total", seen),
            // What policy denies here it denies by the body, which comes when the request has its arm.
            ("ab_exposures_total", seen),
        ] {
            expected.insert(name.to_owned(), count);
        }
        // What would be lost.
        for name in [
            "access_log_sampled_out_total",
            "access_log_values_dropped_total reason=too_long",
            "access_log_values_dropped_total reason=undecodable",
            "metrics_refused_total",
            "policy_records_dropped_total",
            "ab_not_bucketed_total",
        ] {
            expected.insert(name.to_owned(), 0);
        }
        expected.extend(self.also[1].iter().map(|(name, count)| ((*name).to_owned(), *count)));
        expected
    }

    fn lines(&self, is_it: impl Fn(&Line) -> bool) -> usize {
        self.lines.iter().filter(|line| is_it(line)).count()
    }

    fn equal(&self, what: &str, one: usize, other: i64, wrong: &mut Vec<String>) {
        if i64::try_from(one).ok() != Some(other) {
            wrong.push(format!("{what}: {one} and {other}, of {} requests", self.sent.len()));
        }
    }

    fn of(&self, name: &str) -> i64 {
        self.envoy.get(name).copied().unwrap_or(0)
    }

    fn count(&self, name: &str) -> i64 {
        self.plugins.get(name).copied().unwrap_or(0)
    }

    /// How many requests of each rule ended how.
    pub fn ends(&self) -> BTreeMap<(&str, String), usize> {
        let lines: BTreeMap<&str, &Line> = self.lines.iter().map(|line| (line.name.as_str(), line)).collect();
        let mut ends = BTreeMap::new();
        for sent in &self.sent {
            let end = lines
                .get(sent.name.as_str())
                .map_or_else(|| "without a line of its own".to_owned(), |line| line.end());
            *ends.entry((sent.rule.name, end)).or_default() += 1;
        }
        ends
    }

    /// Falsifies one account after the other, and says which falsehoods were not seen.
    pub fn unseen(&self) -> Vec<String> {
        let mut unseen = Vec::new();
        let mut attempt = |what: String, change: &dyn Fn(&mut Self)| {
            let mut false_books = self.clone();
            change(&mut false_books);
            if false_books.check().is_empty() {
                unseen.push(what);
            }
        };
        let upstream = ["cluster.upstream_rq_total".to_owned()];
        for name in self.envoy_expected().keys().chain(&upstream) {
            attempt(format!("one more in {name}"), &|books| {
                *books.envoy.entry(name.clone()).or_default() += 1;
            });
        }
        for name in self.plugins_expected().keys() {
            attempt(format!("one less in {name}"), &|books| {
                *books.plugins.entry(name.clone()).or_default() -= 1;
            });
        }
        attempt("a line lost".to_owned(), &|books| drop(books.lines.pop()));
        attempt("a line twice".to_owned(), &|books| books.lines.extend(books.lines.last().cloned()));
        let logged = |sent: &Sent| self.lines.iter().any(|line| line.name == sent.name);
        if let Some(place) = self.sent.iter().position(logged) {
            attempt("a request lost".to_owned(), &|books| drop(books.sent.remove(place)));
        }
        attempt("a request under way".to_owned(), &|books| books.active += 1);
        if let Some(name) = self.taken.keys().next() {
            attempt("a request twice upstream".to_owned(), &|books| {
                books.taken.entry(name.clone()).or_default().heads += 1;
            });
        }
        if let Some(place) = self.sent.iter().position(|sent| matches!(sent.seen, Seen::Answer(_))) {
            attempt("a client that saw another status".to_owned(), &|books| {
                books.sent.get_mut(place).into_iter().for_each(|sent| sent.seen = Seen::Answer(299));
            });
        }
        attempt("a record without a status".to_owned(), &|books| {
            if let Some(line) = books.lines.iter_mut().find(|line| line.is_recorded()) {
                line.record["response_code"] = serde_json::json!(299);
            }
        });
        unseen
    }
}
