//! Batches: the bodies of requests, built as records come.

use filter_kit::json;

/// What a closed batch ends in.
const END: &str = "]}]}]}";

/// What stands before the records of every batch.
#[derive(Debug)]
pub(super) struct Envelope(Box<str>);

impl Envelope {
    /// The envelope of a resource with these attributes.
    pub(super) fn new(resource: &[(&str, &str)]) -> Self {
        let mut text = String::from("{\"resourceLogs\":[{\"resource\":{\"attributes\":[");
        for (place, (key, value)) in resource.iter().enumerate() {
            text.push_str(if place == 0 { "{\"key\":" } else { ",{\"key\":" });
            json::string(&mut text, key);
            text.push_str(",\"value\":{\"stringValue\":");
            json::string(&mut text, value);
            text.push_str("}}");
        }
        text.push_str("]},\"scopeLogs\":[{\"scope\":{\"name\":\"outrigger\",\"version\":");
        json::string(&mut text, env!("CARGO_PKG_VERSION"));
        text.push_str("},\"logRecords\":[");
        Self(text.into())
    }

    /// The bytes of a batch beside its records.
    pub(super) fn size(&self) -> usize {
        self.0.len() + END.len()
    }

    /// A batch without records.
    pub(super) fn open(&self, now: u64) -> Batch {
        Batch { body: (*self.0).into(), records: 0, since: now, first_sent: None, is_closed: false }
    }
}

/// The body of a request.
#[derive(Debug)]
pub(super) struct Batch {
    body: String,
    records: usize,
    /// When its first record came.
    pub(super) since: u64,
    /// When it was sent for the first time.
    pub(super) first_sent: Option<u64>,
    is_closed: bool,
}

impl Batch {
    /// Adds a record. Nothing comes into a closed batch.
    pub(super) fn push(&mut self, record: &str) {
        if self.records > 0 {
            self.body.push(',');
        }
        self.body.push_str(record);
        self.records += 1;
    }

    /// Ends the body, and gives back what it grew ahead.
    pub(super) fn close(&mut self) {
        self.body.push_str(END);
        self.body.shrink_to_fit();
        self.is_closed = true;
    }

    pub(super) fn records(&self) -> usize {
        self.records
    }

    /// The bytes of the body as it is sent.
    pub(super) fn body_size(&self) -> usize {
        self.body.len() + if self.is_closed { 0 } else { END.len() }
    }

    /// The bytes of memory that the body takes.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.body.capacity()
    }

    pub(super) fn body(&self) -> &[u8] {
        self.body.as_bytes()
    }
}
