//! The attempts as they are written, in `filters/*/bypass/*.toml`.

use super::signed;
use crate::e2e::rbac::generate::{Edge, Paths};
use anyhow::{Context as _, Result, bail, ensure};
use harness::{
    Bytes,
    expect::Expected,
    scenario::{self, Headers},
};
use serde::Deserialize;
use std::{collections::BTreeMap, collections::BTreeSet, fs, path::Path};
use toml::{Table, Value};

/// A file: what is attacked, and by what.
#[derive(Debug)]
pub struct Corpus {
    /// The file, without its folders.
    pub name: String,
    /// The filter.
    pub filter: String,
    /// What is attacked, by its name.
    pub sets: BTreeMap<String, Set>,
    /// The attempts.
    pub groups: Vec<Group>,
}

/// What is attacked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Set {
    /// The filter's configuration; a policy's without its mode.
    pub config: serde_json::Value,
    /// Where Envoy takes the client's address from.
    #[serde(default)]
    pub edge: Edge,
    /// What Envoy makes of paths.
    #[serde(default)]
    pub paths: Paths,
    /// Whether Envoy's own RBAC cannot be asked: the policies have what Istio's have not.
    #[serde(default)]
    pub beyond_istio: bool,
    /// Headers that must never get to an upstream.
    #[serde(default)]
    pub never: Vec<String>,
}

/// Attempts of one kind.
#[derive(Debug)]
pub struct Group {
    /// What they have in common.
    pub name: String,
    /// The attempts.
    pub rows: Vec<Row>,
}

/// An attempt.
#[derive(Debug, Clone)]
pub struct Row {
    /// What is sent.
    pub send: Send,
    /// Who sends it: the URI of the certificate.
    pub certificate: Option<String>,
    /// The claims of a token that Envoy finds good.
    pub claims: Option<serde_json::Value>,
    /// The right decisions, by the name of what is attacked.
    pub decisions: BTreeMap<String, [Decision; 2]>,
    /// What the upstream must get, where it gets anything.
    pub upstream: Vec<(String, Expected)>,
    /// Why that is right.
    pub why: String,
}

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Send {
    /// A request of HTTP/1: all of its bytes, and its method.
    One(Vec<u8>, String),
    /// The fields of a request of HTTP/2.
    Two(Headers),
}

/// What must become of an attempt. In Istio's mode and in the strict one these may differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The answer's status: 200 where it gets through.
    Status(u16),
    /// The connection or the stream is ended without an answer.
    Closed,
    /// It gets through with these arms: the values of `x-arm`, joined by a comma.
    Arm(String),
    /// It gets through, with a trace of the decision or without.
    Explained(bool),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCorpus {
    set: BTreeMap<String, Set>,
    group: Vec<RawGroup>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGroup {
    name: String,
    rows: Vec<RawRow>,
}

#[derive(Debug, Deserialize)]
struct RawRow {
    method: Option<String>,
    path: Option<Value>,
    authority: Option<Value>,
    headers: Option<Value>,
    version: Option<String>,
    fields: Option<Value>,
    raw: Option<Value>,
    claims: Option<serde_json::Value>,
    certificate: Option<String>,
    #[serde(default)]
    upstream: Table,
    why: String,
    #[serde(flatten)]
    decisions: BTreeMap<String, Value>,
}

impl Corpus {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or two attempts are one: with the place.
    pub fn load(filter: &str, file: &Path) -> Result<Self> {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let raw: RawCorpus = toml::from_str(&text).with_context(|| format!("{}", file.display()))?;
        let mut groups = Vec::new();
        let mut seen = BTreeSet::new();
        for group in raw.group {
            let mut rows = Vec::new();
            for (number, row) in group.rows.into_iter().enumerate() {
                let at = format!("{name}: {}: row {number}", group.name);
                let written = format!(
                    "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
                    row.method,
                    row.path,
                    row.authority,
                    row.headers,
                    row.version,
                    row.fields,
                    row.raw,
                    row.claims,
                    row.certificate
                );
                let row = Row::read(row).with_context(|| at.clone())?;
                for set in row.decisions.keys() {
                    ensure!(raw.set.contains_key(set), "{at}: there is no set {set}");
                    ensure!(seen.insert((set.clone(), written.clone())), "{at}: is there twice for {set}");
                }
                rows.push(row);
            }
            groups.push(Group { name: group.name, rows });
        }
        Ok(Self { name, filter: filter.to_owned(), sets: raw.set, groups })
    }
}

fn text(value: Option<&Value>, default: &str) -> Result<Vec<u8>> {
    let bytes = value.map_or(Ok(Bytes::from(default)), scenario::bytes).map_err(anyhow::Error::msg)?;
    signed::fill(&bytes.0)
}

fn headers(value: Option<&Value>) -> Result<Headers> {
    let headers = value.map_or(Ok(Headers::new()), scenario::headers).map_err(anyhow::Error::msg)?;
    headers.into_iter().map(|(name, value)| Ok((name, Bytes(signed::fill(&value.0)?)))).collect()
}

impl Row {
    fn read(raw: RawRow) -> Result<Self> {
        let method = raw.method.as_deref().unwrap_or("GET");
        let path = text(raw.path.as_ref(), "/")?;
        let authority = text(raw.authority.as_ref(), "shop.example")?;
        let mut headers = headers(raw.headers.as_ref())?;
        if let Some(claims) = &raw.claims {
            let token = signed::token(claims);
            headers.push((Bytes::from("authorization"), Bytes::from(&format!("Bearer {token}"))));
        }
        let send = match (raw.raw, raw.fields, raw.version.as_deref()) {
            (Some(raw), None, None) => Send::One(text(Some(&raw), "")?, method.to_owned()),
            (None, Some(fields), Some("2")) => Send::Two(self::headers(Some(&fields))?),
            (None, None, Some("2")) => {
                let pseudo = [
                    (":method", method.as_bytes()),
                    (":scheme", b"http"),
                    (":authority", &authority),
                    (":path", &path),
                ];
                let pseudo =
                    pseudo.into_iter().map(|(name, value)| (Bytes::from(name), Bytes(value.to_vec())));
                Send::Two(pseudo.chain(headers).collect())
            }
            (None, None, version @ (None | Some("1.0" | "1.1"))) => {
                let mut bytes = [method.as_bytes(), b" ", &path, b" HTTP/"].concat();
                bytes.extend(version.unwrap_or("1.1").bytes());
                bytes.extend([&b"\r\nhost: "[..], &authority, b"\r\n"].concat());
                for (name, value) in &headers {
                    bytes.extend([&name.0[..], b": ", &value.0, b"\r\n"].concat());
                }
                bytes.extend(b"\r\n");
                Send::One(bytes, method.to_owned())
            }
            _ => bail!("`raw` stands alone, and `fields` with version 2"),
        };
        ensure!(!raw.why.is_empty() && !raw.decisions.is_empty(), "must have a decision, and say why");
        let decisions = raw.decisions.iter().map(|(set, value)| Ok((set.clone(), decisions(value)?)));
        Ok(Self {
            send,
            certificate: raw.certificate,
            claims: raw.claims,
            decisions: decisions.collect::<Result<_>>()?,
            upstream: scenario::expected(&raw.upstream).map_err(anyhow::Error::msg)?,
            why: raw.why,
        })
    }
}

/// One for both modes, or Istio's and the strict one.
fn decisions(value: &Value) -> Result<[Decision; 2]> {
    if let Some([istio, strict]) = value.as_array().map(Vec::as_slice) {
        return Ok([decision(istio)?, decision(strict)?]);
    }
    let both = decision(value)?;
    Ok([both.clone(), both])
}

fn decision(value: &Value) -> Result<Decision> {
    match value {
        Value::Integer(status) => Ok(Decision::Status(u16::try_from(*status)?)),
        Value::String(text) if text == "closed" => Ok(Decision::Closed),
        Value::String(arm) => Ok(Decision::Arm(arm.clone())),
        Value::Boolean(explained) => Ok(Decision::Explained(*explained)),
        other => bail!("a decision is a status, \"closed\", an arm, true or false, got {other}"),
    }
}
