//! Values in scenario files: bytes, headers, times, and what is expected of a value.

use super::{Chunk, Headers, PAUSE_MS};
use crate::{
    Bytes,
    expect::{Expected, SeriesExpectation},
};
use toml::{Table, Value, value::Datetime, value::Offset};

/// The most bytes that `{ repeat, times }` may stand for.
const REPEATED_LIMIT: usize = 64 << 20;

/// A value that cannot be used: its key and the rule that it breaks.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) key: String,
    pub(super) rule: String,
}

impl Problem {
    pub(super) fn new(key: &str, rule: impl Into<String>) -> Self {
        Self { key: key.to_owned(), rule: rule.into() }
    }

    /// The same problem, seen from outside of the table that holds it.
    pub(super) fn inside(self, table: &str) -> Self {
        Self { key: format!("{table}.{}", self.key), ..self }
    }
}

/// A string, `{ hex = ".." }` or `{ repeat = "..", times = N }`.
pub(super) fn bytes(key: &str, value: &Value) -> Result<Bytes, Problem> {
    let read = || match value {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        Value::Table(table) => {
            let mut parts: Vec<_> = table.iter().map(|(name, value)| (name.as_str(), value)).collect();
            parts.sort_by_key(|(name, _)| *name);
            match parts.as_slice() {
                [("hex", Value::String(hex))] => decode_hex(hex),
                [("repeat", Value::String(text)), ("times", Value::Integer(times))] => {
                    let times = usize::try_from(*times).ok()?;
                    (text.len().checked_mul(times)? <= REPEATED_LIMIT)
                        .then(|| text.repeat(times).into_bytes())
                }
                _ => None,
            }
        }
        _ => None,
    };
    let rule = || format!("must be a string, {{ hex }} or {{ repeat, times }}, got {value}");
    read().map(Bytes).ok_or_else(|| Problem::new(key, rule()))
}

/// The chunks of a body. Each may have an `after_ms` beside its bytes, and then the bytes of a plain one are `text`.
pub(super) fn chunks(key: &str, values: &[Value]) -> Result<Vec<Chunk>, Problem> {
    let chunk = |(index, value): (usize, &Value)| {
        let key = format!("{key}[{index}]");
        let mut rest = value.clone();
        let after = rest.as_table_mut().and_then(|table| table.remove("after_ms"));
        let text = rest.as_table().filter(|table| table.len() == 1).and_then(|table| table.get("text"));
        let bytes = bytes(&key, text.filter(|text| text.is_str()).unwrap_or(&rest))?;
        let after_ms = match after {
            None => PAUSE_MS,
            Some(after) => {
                after.as_integer().and_then(|after| u64::try_from(after).ok()).ok_or_else(|| {
                    Problem::new(&format!("{key}.after_ms"), "must be a number of milliseconds")
                })?
            }
        };
        Ok(Chunk { bytes, after_ms })
    };
    values.iter().enumerate().map(chunk).collect()
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        text.chars().map(|digit| u8::try_from(digit.to_digit(16)?).ok()).collect::<Option<_>>()?;
    let pairs =
        digits.chunks(2).map(|pair| if let [high, low] = pair { Some(high << 4 | low) } else { None });
    pairs.collect()
}

/// A table of values (a list is a repeated header; the order is that of the names), or a list of pairs, which keeps its order.
pub(super) fn headers(key: &str, value: Option<&Value>) -> Result<Headers, Problem> {
    let mut headers = Headers::new();
    match value {
        None => {}
        Some(Value::Table(table)) => {
            for (name, value) in table {
                let key = format!("{key}.{name}");
                for value in value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice) {
                    headers.push((Bytes::from(name), bytes(&key, value)?));
                }
            }
        }
        Some(Value::Array(pairs)) => {
            for pair in pairs {
                let Some([name, value]) = pair.as_array().map(Vec::as_slice) else {
                    return Err(Problem::new(key, format!("must be a list of [name, value], got {pair}")));
                };
                headers.push((bytes(key, name)?, bytes(key, value)?));
            }
        }
        Some(other) => {
            return Err(Problem::new(key, format!("must be a table or a list of pairs, got {other}")));
        }
    }
    Ok(headers)
}

/// What is expected of each header that is named, names in lower case.
pub(super) fn each(key: &str, table: &Table) -> Result<Vec<(String, Expected)>, Problem> {
    let pair = |(name, value): (&String, &Value)| {
        Ok((name.to_ascii_lowercase(), expected(&format!("{key}.{name}"), value)?))
    };
    table.iter().map(pair).collect()
}

/// Bytes, a list of what is expected of each value, `{ matches = "regex" }` or `{ absent = true }`.
pub(super) fn expected(key: &str, value: &Value) -> Result<Expected, Problem> {
    let single = |name| value.as_table().filter(|table| table.len() == 1).and_then(|table| table.get(name));
    if let Value::Array(values) = value {
        return values.iter().map(|value| expected(key, value)).collect::<Result<_, _>>().map(Expected::Each);
    }
    match (single("absent"), single("matches")) {
        (Some(Value::Boolean(true)), _) => Ok(Expected::Absent),
        (Some(_), _) => Err(Problem::new(key, "`absent` must be true")),
        (_, Some(Value::String(text))) => regex::bytes::Regex::new(&format!("^(?:{text})$"))
            .map(Expected::Matches)
            .map_err(|error| Problem::new(key, format!("`matches` must be a regex: {error}"))),
        (_, Some(_)) => Err(Problem::new(key, "`matches` must be a string")),
        (None, None) => bytes(key, value).map(Expected::Exactly),
    }
}

/// The steps that are expected of a metric: a table of labels and a `value`, or a list of them.
pub(super) fn series(key: &str, table: &Table) -> Result<Vec<SeriesExpectation>, Problem> {
    let one = |name: &str, value: &Value| {
        let fail = || {
            let rule = format!("must be a table of labels and a whole `value`, got {value}");
            Problem::new(&format!("{key}.{name}"), rule)
        };
        let mut labels = value.as_table().ok_or_else(fail)?.clone();
        let Some(Value::Integer(step)) = labels.remove("value") else { return Err(fail()) };
        let label = |(label, value): (String, Value)| Some((label, value.as_str()?.to_owned()));
        let labels = labels.into_iter().map(label).collect::<Option<_>>().ok_or_else(fail)?;
        Ok(SeriesExpectation { name: name.to_owned(), labels, value: step })
    };
    let mut series = Vec::new();
    for (name, value) in table {
        for value in value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice) {
            series.push(one(name, value)?);
        }
    }
    Ok(series)
}

/// Reads `2026-11-23T00:00:00Z`: nanoseconds since 1970.
pub(super) fn nanoseconds(key: &str, text: &str) -> Result<u64, Problem> {
    let read = || {
        let time: Datetime = text.parse().ok()?;
        let (date, clock, Offset::Z) = (time.date?, time.time?, time.offset?) else { return None };
        let (year, month, day) = (i64::from(date.year), i64::from(date.month), i64::from(date.day));
        // Days from the civil calendar, with years that begin in March (H. Hinnant, "chrono-compatible low-level date algorithms").
        let year = if month <= 2 { year - 1 } else { year };
        let of_era = year.rem_euclid(400);
        let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let days =
            year.div_euclid(400) * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
        let of_day = i64::from(clock.hour) * 3600
            + i64::from(clock.minute) * 60
            + i64::from(clock.second.unwrap_or(0));
        let seconds = u64::try_from(days * 86_400 + of_day).ok()?;
        seconds.checked_mul(1_000_000_000)?.checked_add(u64::from(clock.nanosecond.unwrap_or(0)))
    };
    let rule = || format!("must be a time such as 2026-11-23T00:00:00Z, got {text:?}");
    read().ok_or_else(|| Problem::new(key, rule()))
}
