//! What is seen of requests besides their answers: lines of the access log, and series.

use crate::{http, visitor::Visitor};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use std::{collections::BTreeMap, fs, net::SocketAddr, path::Path, thread, time::Duration};

/// Fields of a log line that are of their time or of the machine, and the arm, which a new visitor's id decides.
const OF_ITS_TIME: [&str; 6] =
    ["start_time", "duration", "request_id", "user_agent", "upstream_host", "arm.checkout"];

/// Where Envoy shows what it has seen.
pub struct Seen<'a> {
    /// The file of the access log.
    pub log: &'a Path,
    /// The admin interface.
    pub admin: SocketAddr,
    /// Where requests go.
    pub listener: SocketAddr,
}

impl Seen<'_> {
    /// A line of the access log says what the page says, in the fields that are not of their time.
    ///
    /// # Errors
    /// None does within five seconds.
    pub fn line(&self, shown: &[String]) -> Result<()> {
        let shown = whole(&shown.concat())?;
        let mut last = String::from("no line in the access log");
        until(&shown.to_string(), || {
            for line in fs::read_to_string(self.log)?.lines() {
                let own: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
                match within(&shown, &own, "") {
                    Ok(()) => return Ok(Some(())),
                    Err(error) => last = format!("{error}: {line}"),
                }
            }
            Ok(None)
        })
        .with_context(|| last)
    }

    /// The series that the page shows are there, by name and labels. Which arm a new visitor is in is of its time.
    ///
    /// # Errors
    /// One is not there within five seconds.
    pub fn series(&self, shown: &[String]) -> Result<()> {
        for line in shown.iter().filter(|line| line.as_str() != "...") {
            let wanted = series(line).with_context(|| format!("no series: {line}"))?;
            until(line, || {
                // A new visitor is in either experiment, and in any arm.
                Visitor::default().ask(self.listener, "127.0.0.1:10000", "/products", &[])?;
                let text = String::from_utf8(http::get(self.admin, "/stats/prometheus")?)?;
                Ok(text.lines().any(|line| series(line).as_ref() == Some(&wanted)).then_some(()))
            })?;
        }
        Ok(())
    }
}

fn until<T>(what: &str, mut attempt: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    for _ in 0..50 {
        if let Some(found) = attempt()? {
            return Ok(found);
        }
        thread::sleep(Duration::from_millis(100));
    }
    bail!("not seen in five seconds: {what}")
}

/// An object of which the page shows the beginning, up to `...`.
fn whole(shown: &str) -> Result<Value> {
    let Some((begin, _)) = shown.split_once("...") else {
        return serde_json::from_str(shown).with_context(|| shown.to_owned());
    };
    let (mut depth, mut is_text) = (0_usize, false);
    for byte in begin.bytes() {
        match byte {
            b'"' => is_text = !is_text,
            b'{' if !is_text => depth += 1,
            b'}' if !is_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    let text = format!("{}{}", begin.trim_end_matches(','), "}".repeat(depth));
    serde_json::from_str(&text).with_context(|| text.clone())
}

/// Whether all that is shown is there.
fn within(shown: &Value, own: &Value, field: &str) -> Result<()> {
    if let Some(fields) = shown.as_object() {
        for (name, value) in fields {
            // A visitor may be in another experiment.
            if !OF_ITS_TIME.contains(&name.as_str()) {
                let own = own.get(name).with_context(|| format!("no {field}.{name}"))?;
                within(value, own, &format!("{field}.{name}"))?;
            }
        }
        return Ok(());
    }
    ensure!(shown == own, "{field} is {own}, the page says {shown}");
    Ok(())
}

/// The name and labels of a series' line.
fn series(line: &str) -> Option<(&str, BTreeMap<&str, &str>)> {
    let (series, _) = line.rsplit_once(' ')?;
    let (name, labels) = series.strip_suffix('}')?.split_once('{')?;
    let mut labels: BTreeMap<_, _> =
        labels.split("\",").filter_map(|label| label.split_once("=\"")).collect();
    for value in labels.values_mut() {
        *value = value.trim_end_matches('"');
    }
    if let Some(arm) = labels.get_mut("arm") {
        *arm = "";
    }
    Some((name, labels))
}

#[cfg(test)]
mod tests {
    use super::{series, whole, within};
    use serde_json::json;

    #[test]
    fn what_is_shown_of_a_line_is_read_up_to_the_dots() {
        let shown = whole(r#"{"request":{"route":"/a/{id}","code":200,..."#).unwrap();
        assert_eq!(shown, json!({"request": {"route": "/a/{id}", "code": 200}}));
        let own = |code| json!({"request": {"route": "/a/{id}", "code": code, "more": 1}});
        assert!(within(&shown, &own(200), "").is_ok());
        assert!(within(&shown, &own(201), "").is_err());
        assert!(within(&shown, &json!({"request": {"code": 200}}), "").is_err());
    }

    #[test]
    fn a_series_is_its_name_and_labels() {
        assert_eq!(series("a{x=\"1\",arm=\"b\"} 5"), series("a{arm=\"c\",x=\"1\"} 7"));
        assert_ne!(series("a{x=\"1\"} 5"), series("a{x=\"2\"} 5"));
        assert_ne!(series("a{x=\"1\"} 5"), series("b{x=\"1\"} 5"));
    }
}
