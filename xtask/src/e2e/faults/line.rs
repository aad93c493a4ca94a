//! A line of Envoy's access log, with access-log's record in it.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::fmt;

/// What Envoy is asked to write: fields between tabs, the record last.
pub const FORMAT: &str = "%REQ(X-N)%\t%RESPONSE_CODE%\t%RESPONSE_FLAGS%\t%RESPONSE_CODE_DETAILS%\t%BYTES_RECEIVED%\t%BYTES_SENT%\t\
                          %UPSTREAM_HOST%\t%FILTER_STATE(wasm.outrigger.log:PLAIN)%\n";

/// A line.
#[derive(Clone)]
pub struct Line {
    /// The request's name; `-` where Envoy has no headers of it.
    pub name: String,
    /// The status; 0 where there was no response.
    pub status: u16,
    flags: String,
    details: String,
    received: u64,
    sent: u64,
    /// Whether Envoy has an upstream's host for it.
    pub is_upstream: bool,
    /// access-log's record.
    pub record: Value,
}

impl Line {
    /// Reads a line of [`FORMAT`].
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self> {
        let [name, status, flags, details, received, sent, host, record] =
            text.splitn(8, '\t').collect::<Vec<_>>()[..]
        else {
            bail!("no line of the log: {text}");
        };
        Ok(Self {
            name: name.to_owned(),
            status: status.parse().with_context(|| text.to_owned())?,
            flags: flags.to_owned(),
            details: details.to_owned(),
            received: received.parse()?,
            sent: sent.parse()?,
            is_upstream: host != "-",
            record: serde_json::from_str(record).unwrap_or_default(),
        })
    }

    /// Whether it ended so.
    pub fn is(&self, (status, flags, details): &super::accounts::End) -> bool {
        self.status == *status && self.flags == *flags && self.details.starts_with(details)
    }

    /// Its status, flags and details, without what Envoy adds to these in braces.
    pub fn end(&self) -> String {
        let details = self.details.split('{').next().unwrap_or_default();
        format!("{} {} {details}", self.status, self.flags)
    }

    /// Whether access-log has left a record.
    pub fn is_recorded(&self) -> bool {
        self.record.is_object()
    }

    /// A field of the record that says otherwise than Envoy, but for the length of a body that was promised and broke off.
    pub fn record_differs(&self, promised: Option<u64>) -> Option<&'static str> {
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let record = &self.record;
        let differs = [
            ("response_code", record["response_code"].as_u64().unwrap_or(0) != u64::from(self.status)),
            ("response_code_details", text(&record["response_code_details"]) != self.details),
            ("bytes_received", record["bytes_received"].as_u64() != promised.or(Some(self.received))),
            ("bytes_sent", record["bytes_sent"].as_u64() != Some(self.sent)),
            ("x_n", text(&record["x_n"]) != self.name),
        ];
        differs.iter().find(|(_, differs)| *differs).map(|(field, _)| *field)
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, status, flags, details, received, sent, record, .. } = self;
        write!(to, "{name} {status} {flags} {details}, {received} bytes received, {sent} sent; {record}")
    }
}
