//! Reads scenario files.

use super::{
    Chunk, Cluster, Connection, Exchange, GrpcAnswers, PAUSE_MS, Request, Response, Route, Scenario,
    UPSTREAMS,
    lines::Lines,
    raw::{RawExpect, RawGrpc, RawRequest, RawResponse, RawRoute, RawScenario},
    rules::{allowed, checks, explored, of_connections},
    values::{self, Problem},
};
use crate::{
    expect::{Expect, LogExpectation},
    outcome::LEVELS,
};
use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};
use toml::{Table, Value};

/// 2026-01-01T00:00:00Z, where the clock of a scenario stands that does not set it.
const DEFAULT_CLOCK: u64 = 1_767_225_600_000_000_000;

/// What several scenarios in one file may share.
const SHARED: [&str; 13] = [
    "allow",
    "config",
    "env",
    "explore",
    "routes",
    "upstreams",
    "seed",
    "clock",
    "cookies",
    "root_id",
    "vm_config",
    "metadata",
    "tcp",
];

/// The most exchanges that `repeat` may stand for.
const REPEAT_LIMIT: usize = 100_000;

/// A scenario file that cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum ScenarioError {
    /// The file or folder cannot be read.
    Io(PathBuf, io::Error),
    /// The file is no TOML.
    Syntax(PathBuf, Box<toml::de::Error>),
    /// A key is unknown, or its value cannot be used.
    Value {
        /// The file.
        file: PathBuf,
        /// The line of the key, or of what is around it, from 1.
        line: usize,
        /// The scenario's name; empty for what is outside of all scenarios, or where it has none.
        scenario: String,
        /// The key's path: `exchange[1].request.headers.cookie`; `.` is the scenario itself.
        key: String,
        /// The rule that the value breaks.
        rule: String,
    },
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(file, error) => write!(f, "{}: {error}", file.display()),
            Self::Syntax(file, error) => write!(f, "{}: {error}", file.display()),
            Self::Value { file, line, scenario, key, rule } => {
                write!(f, "{}:{line}: ", file.display())?;
                if !scenario.is_empty() {
                    write!(f, "{scenario:?}: ")?;
                }
                write!(f, "{key}: {rule}")
            }
        }
    }
}

impl std::error::Error for ScenarioError {}

/// Reads the scenarios of a file, or of every `.toml` file in a folder.
///
/// # Errors
/// As [`load_file`].
pub fn load(path: &Path) -> Result<Vec<Scenario>, ScenarioError> {
    if path.is_dir() { load_dir(path) } else { load_file(path) }
}

/// Reads the scenarios of a file.
///
/// # Errors
/// The file cannot be read, or something in it cannot be used: which file, scenario and key.
pub fn load_file(path: &Path) -> Result<Vec<Scenario>, ScenarioError> {
    let text = fs::read_to_string(path).map_err(|error| ScenarioError::Io(path.to_path_buf(), error))?;
    parse(path, &text)
}

/// Reads the scenarios of every `.toml` file in a folder, in the order of their names.
///
/// # Errors
/// As [`load_file`].
pub fn load_dir(folder: &Path) -> Result<Vec<Scenario>, ScenarioError> {
    let failed = |error| ScenarioError::Io(folder.to_path_buf(), error);
    let entries = fs::read_dir(folder).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let mut files: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    let mut scenarios = Vec::new();
    for file in files {
        scenarios.extend(load_file(&file)?);
    }
    Ok(scenarios)
}

pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<Scenario>, ScenarioError> {
    let lines = Lines::of(text);
    let fail_at = |place: Option<usize>, scenario: &str, problem: Problem| ScenarioError::Value {
        file: path.to_path_buf(),
        line: lines.find(place, &problem.key),
        scenario: scenario.to_owned(),
        key: problem.key,
        rule: problem.rule,
    };
    let fail = |scenario: &str, problem: Problem| fail_at(None, scenario, problem);
    let mut shared: Table =
        toml::from_str(text).map_err(|error| ScenarioError::Syntax(path.to_path_buf(), Box::new(error)))?;
    let has_several = shared.contains_key("scenario");
    let own = match shared.remove("scenario") {
        None => vec![Value::Table(std::mem::take(&mut shared))],
        Some(Value::Array(own)) if !own.is_empty() => own,
        Some(_) => return Err(fail("", Problem::new("scenario", "must be [[scenario]] tables"))),
    };
    if let Some(key) = shared.keys().find(|key| !SHARED.contains(&key.as_str())) {
        let rule = format!("cannot be shared by scenarios; what can is {}", SHARED.join(", "));
        return Err(fail("", Problem::new(key, rule)));
    }
    let scenario = |(index, own): (usize, Value)| {
        let Value::Table(own) = own else {
            return Err(fail("", Problem::new(&format!("scenario[{index}]"), "must be a table")));
        };
        let place = has_several.then_some(index);
        let name = own.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut table = shared.clone();
        table.extend(own);
        let mut scenario = read(table, path).map_err(|problem| fail_at(place, &name, problem))?;
        scenario.line = lines.find(place, ".");
        Ok(scenario)
    };
    own.into_iter().enumerate().map(scenario).collect()
}

fn read(table: Table, file: &Path) -> Result<Scenario, Problem> {
    let raw: RawScenario = serde_path_to_error::deserialize(Value::Table(table)).map_err(|error| {
        Problem::new(&error.path().to_string(), error.into_inner().to_string().trim_end())
    })?;
    raw.convert(file)
}

impl RawScenario {
    fn convert(self, file: &Path) -> Result<Scenario, Problem> {
        if self.name.is_empty() {
            return Err(Problem::new("name", "must say what must be so"));
        }
        let only_harness = match (self.only.as_deref(), self.reason) {
            (None, None) => None,
            (Some("harness"), Some(reason)) => Some(reason),
            (Some("harness"), None) => return Err(Problem::new("reason", "must be given with `only`")),
            (None, Some(_)) => return Err(Problem::new("reason", "must not be given without `only`")),
            (Some(other), _) => {
                return Err(Problem::new("only", format!("must be \"harness\", got {other:?}")));
            }
        };
        let allow = self.allow.into_iter().map(allowed).collect::<Result<_, _>>()?;
        let explore = self.explore.map_or(Ok(None), explored)?;
        let folder = file.parent().unwrap_or(Path::new(""));
        let snapshot = self.snapshot.map(|name| folder.join(name));
        let config = match self.config {
            None => None,
            Some(Value::String(text)) => Some(text.into_bytes()),
            Some(config) => {
                Some(serde_json::to_vec(&config).map_err(|error| Problem::new("config", error.to_string()))?)
            }
        };
        let cluster = |(name, raw): (String, RawResponse)| {
            let cluster = raw.cluster().map_err(|problem| problem.inside(&format!("upstreams.{name}")))?;
            Ok((name, cluster))
        };
        let upstreams = self.upstreams.into_iter().map(cluster).collect::<Result<BTreeMap<_, _>, _>>()?;
        let route = |(index, raw): (usize, RawRoute)| {
            raw.convert(&upstreams).map_err(|problem| problem.inside(&format!("routes[{index}]")))
        };
        let routes = self.routes.into_iter().enumerate().map(route).collect::<Result<_, _>>()?;
        let config_error = self.expect.as_ref().and_then(|expect| expect.config_error.clone());
        let has_more = match &self.expect {
            Some(expect) => !expect.convert().map_err(|problem| problem.inside("expect"))?.is_empty(),
            None => false,
        };
        let mut exchanges = Vec::new();
        if let Some(request) = self.request {
            let (response, expect) = (self.response.unwrap_or_default(), self.expect.unwrap_or_default());
            exchanges.push(exchange(&request, &response, &expect)?);
        } else if self.response.is_some() || (self.expect.is_some() && config_error.is_none()) {
            return Err(Problem::new("request", "must be given with `response` or `expect`"));
        }
        for (index, raw) in self.exchange.into_iter().enumerate() {
            let inside = |problem: Problem| problem.inside(&format!("exchange[{index}]"));
            if !(1..=REPEAT_LIMIT).contains(&raw.repeat) {
                let rule = format!("must be 1..={REPEAT_LIMIT}, got {}", raw.repeat);
                return Err(inside(Problem::new("repeat", rule)));
            }
            if raw.expect.config_error.is_some() {
                return Err(inside(Problem::new("expect.config_error", "is for a whole scenario")));
            }
            let mut exchange = exchange(&raw.request, &raw.response, &raw.expect).map_err(inside)?;
            exchange.after_ms = raw.after_ms;
            exchanges.extend(std::iter::repeat_n(exchange, raw.repeat));
        }
        if config_error.is_some() && has_more {
            let rule = "must stand alone: there is no exchange of which anything else could be expected";
            return Err(Problem::new("expect.config_error", rule));
        }
        if exchanges.is_empty() == config_error.is_none() {
            return Err(Problem::new(".", "must have exchanges, or `expect.config_error` and none"));
        }
        for exchange in &mut exchanges {
            exchange.connection.metadata.clone_from(&self.metadata);
            exchange.is_tcp = self.tcp;
        }
        if self.tcp {
            of_connections(&exchanges)?;
        }
        let clock = self.clock.map(|text| values::nanoseconds("clock", &text)).transpose()?;
        let is_checked = config_error.is_some() || snapshot.is_some() || explore.is_some();
        if !is_checked {
            checks(&exchanges)?;
        }
        Ok(Scenario {
            name: self.name,
            file: file.to_path_buf(),
            line: 1,
            only_harness,
            allow,
            explore,
            snapshot,
            seed: self.seed,
            clock: clock.unwrap_or(DEFAULT_CLOCK),
            config,
            env: self.env,
            root_id: self.root_id,
            vm_config: self.vm_config,
            routes,
            upstreams,
            cookies: self.cookies,
            is_tcp: self.tcp,
            config_error,
            exchanges,
        })
    }
}

fn exchange(request: &RawRequest, response: &RawResponse, expect: &RawExpect) -> Result<Exchange, Problem> {
    Ok(Exchange {
        connection: Connection::default(),
        after_ms: 0,
        is_tcp: false,
        request: request.convert().map_err(|problem| problem.inside("request"))?,
        response: response.upstream().map_err(|problem| problem.inside("response"))?,
        expect: expect.convert().map_err(|problem| problem.inside("expect"))?,
    })
}

impl RawRoute {
    fn convert(self, clusters: &BTreeMap<String, Cluster>) -> Result<Route, Problem> {
        let header = match (self.header, self.value) {
            (None, None) => None,
            (Some(header), Some(value)) => Some((header.to_ascii_lowercase(), value)),
            (None, Some(_)) => return Err(Problem::new("header", "must be given with `value`")),
            (Some(_), None) => return Err(Problem::new("value", "must be given with `header`")),
        };
        let is_dead = matches!(clusters.get(&self.upstream), Some(Cluster::Refuses | Cluster::Empty));
        if !is_dead && !UPSTREAMS.contains(&self.upstream.as_str()) {
            let rule =
                format!("must be v1, v2, or a cluster that refuses or is empty, got {:?}", self.upstream);
            return Err(Problem::new("upstream", rule));
        }
        Ok(Route {
            name: self.name.unwrap_or_default(),
            header,
            prefix: self.prefix,
            upstream: self.upstream,
            timeout_ms: self.timeout_ms,
        })
    }
}

impl RawRequest {
    fn convert(&self) -> Result<Request, Problem> {
        let default = Request::default();
        let is_chunked = self.chunks.is_some() || self.trailers.is_some();
        Ok(Request {
            method: self.method.clone().unwrap_or(default.method),
            path: self.path.clone().unwrap_or(default.path),
            authority: self.authority.clone().unwrap_or(default.authority),
            scheme: default.scheme,
            headers: values::headers("headers", self.headers.as_ref())?,
            chunks: body(self.body.as_ref(), self.chunks.as_deref())?,
            is_chunked,
            trailers: values::headers("trailers", self.trailers.as_ref())?,
            end_after_ms: if is_chunked { PAUSE_MS } else { 0 },
        })
    }
}

impl RawResponse {
    fn convert(&self) -> Result<Response, Problem> {
        let status = self.status.unwrap_or(200);
        if !(200..=599).contains(&status) {
            return Err(Problem::new("status", format!("must be 200..=599, got {status}")));
        }
        Ok(Response {
            status,
            headers: values::headers("headers", self.headers.as_ref())?,
            chunks: body(self.body.as_ref(), self.chunks.as_deref())?,
            is_chunked: self.chunks.is_some() || self.trailers.is_some(),
            trailers: values::headers("trailers", self.trailers.as_ref())?,
            end_after_ms: if self.chunks.is_some() { PAUSE_MS } else { 0 },
            after_ms: self.after_ms.unwrap_or(0),
            cut: self.cut,
        })
    }

    fn upstream(&self) -> Result<Response, Problem> {
        for (key, is_given) in [
            ("refuse", self.refuse),
            ("empty", self.empty),
            ("grpc", self.grpc.is_some()),
            ("delay_ms", self.delay_ms.is_some()),
        ] {
            if is_given {
                return Err(Problem::new(key, "is for `upstreams`"));
            }
        }
        self.convert()
    }

    fn cluster(&self) -> Result<Cluster, Problem> {
        for (key, is_given) in [
            ("trailers", self.trailers.is_some()),
            ("chunks", self.chunks.is_some()),
            ("after_ms", self.after_ms.is_some()),
            ("cut", self.cut.is_some()),
        ] {
            if is_given {
                return Err(Problem::new(key, "is for `response`"));
            }
        }
        let response = self.convert()?;
        let delay_ms = self.delay_ms.unwrap_or(0);
        let kinds = [("refuse", self.refuse), ("empty", self.empty), ("grpc", self.grpc.is_some())];
        let mut kinds = kinds.into_iter().filter_map(|(kind, is_given)| is_given.then_some(kind));
        let Some(kind) = kinds.next() else { return Ok(Cluster::Answers { response, delay_ms }) };
        let stands_alone = kinds.next().is_none() && response == Response::default();
        if !stands_alone || (kind != "grpc" && delay_ms > 0) {
            return Err(Problem::new(kind, "must stand alone"));
        }
        match &self.grpc {
            Some(raw) => raw.convert(delay_ms).map(Cluster::Grpc).map_err(|problem| problem.inside("grpc")),
            None if self.refuse => Ok(Cluster::Refuses),
            None => Ok(Cluster::Empty),
        }
    }
}

impl RawGrpc {
    fn convert(&self, delay_ms: u64) -> Result<GrpcAnswers, Problem> {
        if self.status > 16 {
            return Err(Problem::new("status", format!("must be 0..=16, got {}", self.status)));
        }
        let message = |(index, value): (usize, &Value)| values::bytes(&format!("messages[{index}]"), value);
        Ok(GrpcAnswers {
            initial: values::headers("initial", self.initial.as_ref())?,
            messages: self.messages.iter().enumerate().map(message).collect::<Result<_, _>>()?,
            trailers: values::headers("trailers", self.trailers.as_ref())?,
            status: self.status,
            message: self.message.clone(),
            delay_ms,
        })
    }
}

/// A body as it is given: whole, or in chunks.
fn body(body: Option<&Value>, chunks: Option<&[Value]>) -> Result<Vec<Chunk>, Problem> {
    match (body, chunks) {
        (None, None) => Ok(Vec::new()),
        (Some(body), None) => Ok(vec![Chunk::from(values::bytes("body", body)?)]),
        (None, Some(chunks)) => values::chunks("chunks", chunks),
        (Some(_), Some(_)) => Err(Problem::new("chunks", "must not be given together with `body`")),
    }
}

impl RawExpect {
    fn convert(&self) -> Result<Expect, Problem> {
        let one = |key: &str, value: &Option<Value>| {
            value.as_ref().map(|value| values::expected(key, value)).transpose()
        };
        let log = |(index, line): (usize, &super::raw::RawLog)| {
            if !LEVELS.contains(&line.level.as_str()) {
                let rule = format!("must be one of {}, got {:?}", LEVELS.join(", "), line.level);
                return Err(Problem::new(&format!("log[{index}].level"), rule));
            }
            let text = values::expected(&format!("log[{index}].text"), &line.text)?;
            Ok(LogExpectation { level: line.level.clone(), text })
        };
        let log = self.log.as_ref().map(|lines| lines.iter().enumerate().map(log).collect()).transpose()?;
        Ok(Expect {
            upstream: self.upstream.clone(),
            status: self.status,
            reset: self.reset,
            untouched: self.untouched,
            request_headers: values::each("request_headers", &self.request_headers)?,
            request_body: one("request_body", &self.request_body)?,
            request_trailers: values::each("request_trailers", &self.request_trailers)?,
            response_headers: values::each("response_headers", &self.response_headers)?,
            response_body: one("response_body", &self.response_body)?,
            response_trailers: values::each("response_trailers", &self.response_trailers)?,
            metrics: values::series("metrics", &self.metrics)?,
            max_instructions: self.max_instructions,
            max_host_calls: self.max_host_calls,
            log,
            state: values::each("state", &self.state)?,
        })
    }
}
