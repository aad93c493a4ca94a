//! Reads scenario files.

use super::{Cluster, Exchange, Headers, Request, Response, Route, Scenario};
use crate::{
    Bytes,
    expect::{Expect, Expected, LogExpectation, SeriesExpectation},
};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};
use toml::{Table, Value};

/// A scenario file that cannot be used.
#[derive(Debug)]
pub enum ScenarioError {
    /// The file cannot be read.
    Io(PathBuf, io::Error),
    /// The file is no TOML, or has a key that no scenario has.
    Syntax(PathBuf, Box<toml::de::Error>),
    /// A value cannot be used; the scenario and the key are named.
    Value {
        /// The file.
        file: PathBuf,
        /// The scenario's name.
        scenario: String,
        /// The key and what is wrong with its value.
        message: String,
    },
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(file, error) => write!(f, "{}: {error}", file.display()),
            Self::Syntax(file, error) => write!(f, "{}: {error}", file.display()),
            Self::Value { file, scenario, message } => {
                write!(f, "{}: {scenario:?}: {message}", file.display())
            }
        }
    }
}

impl std::error::Error for ScenarioError {}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawScenario {
    name: String,
    only: Option<String>,
    reason: Option<String>,
    seed: u64,
    clock: Option<String>,
    config: Option<Value>,
    routes: Vec<RawRoute>,
    upstreams: BTreeMap<String, Table>,
    cookies: bool,
    exchange: Vec<RawExchange>,
    request: Option<RawRequest>,
    response: Option<RawResponse>,
    expect: Option<RawExpect>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawRoute {
    header: Option<String>,
    value: Option<String>,
    prefix: Option<String>,
    upstream: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExchange {
    #[serde(default = "once")]
    repeat: usize,
    request: RawRequest,
    #[serde(default)]
    response: Option<RawResponse>,
    #[serde(default)]
    expect: Option<RawExpect>,
}

fn once() -> usize {
    1
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawRequest {
    method: Option<String>,
    path: Option<String>,
    authority: Option<String>,
    headers: Option<Value>,
    body: Option<Value>,
    chunks: Option<Vec<Value>>,
    trailers: Option<Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawResponse {
    status: Option<u16>,
    headers: Option<Value>,
    body: Option<Value>,
    delay_ms: u64,
    refuse: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawExpect {
    upstream: Option<String>,
    status: Option<u16>,
    reset: bool,
    untouched: bool,
    request_headers: Table,
    request_body: Option<Value>,
    response_headers: Table,
    response_body: Option<Value>,
    metrics: Table,
    log: Option<Vec<RawLog>>,
    config_error: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLog {
    level: String,
    text: Value,
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
    let syntax = |error| ScenarioError::Syntax(path.to_path_buf(), Box::new(error));
    let mut common: Table = toml::from_str(text).map_err(syntax)?;
    let own = match common.remove("scenario") {
        None => vec![Table::new()],
        Some(own) => own.try_into().map_err(syntax)?,
    };
    let scenario = |own: Table| {
        let mut table = common.clone();
        table.extend(own);
        let raw: RawScenario = table.try_into().map_err(syntax)?;
        let name = raw.name.clone();
        let fail = |message| ScenarioError::Value { file: path.to_path_buf(), scenario: name, message };
        raw.convert(path).map_err(fail)
    };
    own.into_iter().map(scenario).collect()
}

impl RawScenario {
    fn convert(self, file: &Path) -> Result<Scenario, String> {
        if self.name.is_empty() {
            return Err("name: must say what must be so".to_owned());
        }
        let only_harness = match (self.only.as_deref(), self.reason) {
            (None, None) => None,
            (Some("harness"), Some(reason)) => Some(reason),
            (Some("harness"), None) => return Err("reason: must be given with `only`".to_owned()),
            (None, Some(_)) => return Err("reason: must not be given without `only`".to_owned()),
            (Some(other), _) => return Err(format!("only: must be \"harness\", got {other:?}")),
        };
        let config = match self.config {
            None => None,
            Some(Value::String(text)) => Some(text.into_bytes()),
            Some(config) => Some(serde_json::to_vec(&config).map_err(|error| format!("config: {error}"))?),
        };
        let mut upstreams = BTreeMap::new();
        for (name, table) in self.upstreams {
            let raw: RawResponse = table.try_into().map_err(|error| format!("upstreams.{name}: {error}"))?;
            upstreams.insert(
                name,
                if raw.refuse {
                    Cluster::Refuses
                } else {
                    Cluster::Answers { delay_ms: raw.delay_ms, response: raw.convert()? }
                },
            );
        }
        let config_error = self.expect.as_ref().and_then(|expect| expect.config_error.clone());
        let mut exchanges = Vec::new();
        if let Some(request) = self.request {
            exchanges.push(Exchange::new(&request, self.response.as_ref(), self.expect.as_ref())?);
        }
        for raw in self.exchange {
            let exchange = Exchange::new(&raw.request, raw.response.as_ref(), raw.expect.as_ref())?;
            exchanges.extend(std::iter::repeat_n(exchange, raw.repeat));
        }
        if exchanges.is_empty() == config_error.is_none() {
            return Err("must have exchanges, or `expect.config_error` and none".to_owned());
        }
        Ok(Scenario {
            name: self.name,
            file: file.to_path_buf(),
            only_harness,
            seed: self.seed,
            clock: self.clock.as_deref().map(nanoseconds).transpose()?.unwrap_or(DEFAULT_CLOCK),
            config,
            routes: self.routes.into_iter().map(RawRoute::convert).collect::<Result<_, _>>()?,
            upstreams,
            cookies: self.cookies,
            config_error,
            exchanges,
        })
    }
}

/// 2026-01-01T00:00:00Z.
const DEFAULT_CLOCK: u64 = 1_767_225_600_000_000_000;

/// Reads `2026-11-23T00:00:00Z`: nanoseconds since 1970.
fn nanoseconds(text: &str) -> Result<u64, String> {
    let fail = || format!("clock: must be a time such as 2026-11-23T00:00:00Z, got {text:?}");
    let time: toml::value::Datetime = text.parse().map_err(|_| fail())?;
    let (Some(date), Some(clock), Some(toml::value::Offset::Z)) = (time.date, time.time, time.offset) else {
        return Err(fail());
    };
    let (year, month, day) = (i64::from(date.year), i64::from(date.month), i64::from(date.day));
    // Days from the civil calendar, with years that begin in March (H. Hinnant, "chrono-compatible low-level date algorithms").
    let year = if month <= 2 { year - 1 } else { year };
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = year.div_euclid(400) * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let seconds = days * 86_400
        + i64::from(clock.hour) * 3600
        + i64::from(clock.minute) * 60
        + i64::from(clock.second.unwrap_or(0));
    let nanoseconds =
        u64::try_from(seconds).map_err(|_| fail())?.checked_mul(1_000_000_000).ok_or_else(fail)?;
    Ok(nanoseconds + u64::from(clock.nanosecond.unwrap_or(0)))
}

impl RawRoute {
    fn convert(self) -> Result<Route, String> {
        let header = match (self.header, self.value) {
            (None, None) => None,
            (Some(header), Some(value)) => Some((header.to_ascii_lowercase(), value)),
            _ => return Err("routes: `header` and `value` go together".to_owned()),
        };
        if !["v1", "v2"].contains(&self.upstream.as_str()) {
            return Err(format!("routes: upstream must be v1 or v2, got {:?}", self.upstream));
        }
        Ok(Route { header, prefix: self.prefix, upstream: self.upstream })
    }
}

impl Exchange {
    fn new(
        request: &RawRequest,
        response: Option<&RawResponse>,
        expect: Option<&RawExpect>,
    ) -> Result<Self, String> {
        let response = response.map(RawResponse::convert).transpose()?.unwrap_or_default();
        Ok(Self {
            request: request.convert()?,
            response,
            expect: expect.map(RawExpect::convert).transpose()?.unwrap_or_default(),
        })
    }
}

impl RawRequest {
    fn convert(&self) -> Result<Request, String> {
        let default = Request::default();
        let chunks = match (&self.body, &self.chunks) {
            (None, None) => Vec::new(),
            (Some(body), None) => vec![bytes("request.body", body)?],
            (None, Some(chunks)) => {
                chunks.iter().map(|chunk| bytes("request.chunks", chunk)).collect::<Result<_, _>>()?
            }
            (Some(_), Some(_)) => return Err("request: `body` and `chunks` exclude each other".to_owned()),
        };
        Ok(Request {
            method: self.method.clone().unwrap_or(default.method),
            path: self.path.clone().unwrap_or(default.path),
            authority: self.authority.clone().unwrap_or(default.authority),
            headers: headers("request.headers", self.headers.as_ref())?,
            chunks,
            is_chunked: self.chunks.is_some() || self.trailers.is_some(),
            trailers: headers("request.trailers", self.trailers.as_ref())?,
        })
    }
}

impl RawResponse {
    fn convert(&self) -> Result<Response, String> {
        Ok(Response {
            status: self.status.unwrap_or(200),
            headers: headers("response.headers", self.headers.as_ref())?,
            body: self
                .body
                .as_ref()
                .map(|body| bytes("response.body", body))
                .transpose()?
                .unwrap_or_default(),
        })
    }
}

impl RawExpect {
    fn convert(&self) -> Result<Expect, String> {
        let each = |key: &str, table: &Table| {
            let pair =
                |(name, value): (&String, &Value)| Ok((name.to_ascii_lowercase(), expected(key, value)?));
            table.iter().map(pair).collect::<Result<Vec<_>, String>>()
        };
        let one =
            |key: &str, value: &Option<Value>| value.as_ref().map(|value| expected(key, value)).transpose();
        let mut metrics = Vec::new();
        for (name, value) in &self.metrics {
            match value {
                Value::Array(items) => metrics
                    .extend(items.iter().map(|item| series(name, item)).collect::<Result<Vec<_>, _>>()?),
                item => metrics.push(series(name, item)?),
            }
        }
        let log = |line: &RawLog| {
            Ok(LogExpectation { level: line.level.clone(), text: expected("expect.log.text", &line.text)? })
        };
        Ok(Expect {
            upstream: self.upstream.clone(),
            status: self.status,
            reset: self.reset,
            untouched: self.untouched,
            request_headers: each("expect.request_headers", &self.request_headers)?,
            request_body: one("expect.request_body", &self.request_body)?,
            response_headers: each("expect.response_headers", &self.response_headers)?,
            response_body: one("expect.response_body", &self.response_body)?,
            metrics,
            log: self
                .log
                .as_ref()
                .map(|lines| lines.iter().map(log).collect::<Result<_, String>>())
                .transpose()?,
        })
    }
}

/// A string, `{ hex = ".." }` or `{ repeat = "..", times = N }`.
fn bytes(key: &str, value: &Value) -> Result<Bytes, String> {
    let fail = |got: &dyn fmt::Display| {
        format!("{key}: must be a string, {{ hex }} or {{ repeat, times }}, got {got}")
    };
    match value {
        Value::String(text) => Ok(Bytes::from(text)),
        Value::Table(table) => match (table.get("hex"), table.get("repeat"), table.get("times"), table.len())
        {
            (Some(Value::String(hex)), None, None, 1) => {
                decode_hex(hex).map(Bytes).ok_or_else(|| fail(&value))
            }
            (None, Some(Value::String(text)), Some(Value::Integer(times @ 0..=10_000_000)), 2) => {
                Ok(Bytes::from(&text.repeat(usize::try_from(*times).unwrap_or(0))))
            }
            _ => Err(fail(&value)),
        },
        _ => Err(fail(&value)),
    }
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        text.chars().map(|digit| u8::try_from(digit.to_digit(16)?).ok()).collect::<Option<_>>()?;
    let pairs =
        digits.chunks(2).map(|pair| if let [high, low] = pair { Some(high << 4 | low) } else { None });
    pairs.collect()
}

/// A table of values (a list is a repeated header), or a list of pairs.
fn headers(key: &str, value: Option<&Value>) -> Result<Headers, String> {
    let mut headers = Headers::new();
    match value {
        None => {}
        Some(Value::Table(table)) => {
            for (name, value) in table {
                match value {
                    Value::Array(values) => {
                        for value in values {
                            headers.push((Bytes::from(name), bytes(key, value)?));
                        }
                    }
                    value => headers.push((Bytes::from(name), bytes(key, value)?)),
                }
            }
        }
        Some(Value::Array(pairs)) => {
            for pair in pairs {
                match pair.as_array().map(Vec::as_slice) {
                    Some([name, value]) => headers.push((bytes(key, name)?, bytes(key, value)?)),
                    _ => return Err(format!("{key}: must be a list of [name, value], got {pair}")),
                }
            }
        }
        Some(other) => return Err(format!("{key}: must be a table or a list of pairs, got {other}")),
    }
    Ok(headers)
}

/// Bytes, a list of what is expected of each value, `{ matches = "regex" }` or `{ absent = true }`.
fn expected(key: &str, value: &Value) -> Result<Expected, String> {
    match value {
        Value::Array(values) => {
            Ok(Expected::Each(values.iter().map(|value| expected(key, value)).collect::<Result<_, _>>()?))
        }
        Value::Table(table) if table.len() == 1 && table.contains_key("absent") => {
            match table.get("absent") {
                Some(Value::Boolean(true)) => Ok(Expected::Absent),
                _ => Err(format!("{key}: `absent` must be true")),
            }
        }
        Value::Table(table) if table.len() == 1 && table.contains_key("matches") => {
            let Some(Value::String(text)) = table.get("matches") else {
                return Err(format!("{key}: `matches` must be a string"));
            };
            let regex = regex::bytes::Regex::new(&format!("^(?:{text})$"))
                .map_err(|error| format!("{key}: {error}"))?;
            Ok(Expected::Matches(regex))
        }
        value => bytes(key, value).map(Expected::Exactly),
    }
}

/// Labels and a value.
fn series(name: &str, value: &Value) -> Result<SeriesExpectation, String> {
    let fail =
        || format!("expect.metrics.{name}: must be a table of labels and a whole `value`, got {value}");
    let mut labels = value.as_table().ok_or_else(fail)?.clone();
    let Some(Value::Integer(step)) = labels.remove("value") else { return Err(fail()) };
    let label = |(label, value): (String, Value)| Some((label, value.as_str()?.to_owned()));
    let labels = labels.into_iter().map(label).collect::<Option<_>>().ok_or_else(fail)?;
    Ok(SeriesExpectation { name: name.to_owned(), labels, value: step })
}
