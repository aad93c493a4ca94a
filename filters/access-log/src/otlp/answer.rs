//! What a collector answers.

use filter_kit::settings::Node;

/// The longest answer that is read, in bytes: it is a number and a sentence. A longer one stays with the host.
pub const LIMIT: usize = 65_536;

/// What an answer says about the batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The collector has it, but for so many records, which it has dropped.
    Taken { rejected: u64 },
    /// It may be sent again.
    Later,
    /// It must not be sent again.
    Refused,
}

/// Reads an answer (OTLP specification, "OTLP/HTTP Response"). No answer is a connection that failed: to be tried again.
///
/// Of the body only `partialSuccess` is read, and a body that is none says nothing. The message in it may hold what was logged: it stays there.
pub(super) fn read(status: Option<u16>, body: &[u8]) -> Answer {
    match status {
        Some(200..=299) => Answer::Taken { rejected: rejected(body).unwrap_or(0) },
        None | Some(429 | 502 | 503 | 504) => Answer::Later,
        Some(_) => Answer::Refused,
    }
}

fn rejected(body: &[u8]) -> Option<u64> {
    if body.len() > LIMIT {
        return None;
    }
    let answer = Node::parse(body).ok()?;
    // Readers of proto3's JSON take both spellings of a name, and 64-bit numbers as strings or as numbers.
    let partial = answer.get("partialSuccess").or_else(|| answer.get("partial_success"))?;
    match partial.get("rejectedLogRecords").or_else(|| partial.get("rejected_log_records"))? {
        Node::String(text) => text.parse().ok(),
        Node::Number(text) => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, read};

    #[test]
    fn answers_are_taken_for_what_the_specification_says() {
        for status in [200, 202, 204, 299] {
            assert_eq!(read(Some(status), b"{}"), Answer::Taken { rejected: 0 });
        }
        for status in [None, Some(429), Some(502), Some(503), Some(504)] {
            assert_eq!(read(status, b"{}"), Answer::Later);
        }
        for status in
            [0, 100, 199, 300, 301, 307, 400, 401, 403, 404, 408, 413, 415, 428, 430, 500, 501, 505, 599, 999]
        {
            assert_eq!(read(Some(status), b"{}"), Answer::Refused, "{status}");
        }
    }

    #[test]
    fn rejected_records_are_read_and_garbage_says_nothing() {
        for (body, expected) in [
            (r#"{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"too old"}}"#, 3),
            (r#"{"partialSuccess":{"rejectedLogRecords":3}}"#, 3),
            (r#"{"partial_success":{"rejected_log_records":"3"}}"#, 3),
            (r#"{"partialSuccess":{"errorMessage":"a warning"}}"#, 0),
            (r#"{"partialSuccess":{}}"#, 0),
            (r#"{"partialSuccess":null}"#, 0),
            (r#"{"partialSuccess":{"rejectedLogRecords":-3}}"#, 0),
            (r#"{"partialSuccess":{"rejectedLogRecords":1e99}}"#, 0),
            (r#"{"partialSuccess":{"rejectedLogRecords":[]}}"#, 0),
            (r#"{"partialSuccess":[3]}"#, 0),
            ("[]", 0),
            ("", 0),
            ("\u{0}\u{1}", 0),
            ("<html>", 0),
            (&"[".repeat(60_000), 0),
            (&[r#"{"partialSuccess":{"rejectedLogRecords":3}}"#, &" ".repeat(70_000)].concat(), 0),
        ] {
            assert_eq!(read(Some(200), body.as_bytes()), Answer::Taken { rejected: expected }, "{body:.80}");
        }
    }
}
