//! The body as the rules that wait for it see it.

use crate::{Policy, explain::Seen, extension::media_type, facts::Facts, fields::Body};

impl Policy {
    /// The body as rules about its fields see it.
    pub(crate) fn body_of<'b>(&self, seen: Seen<'b>) -> Body<'b> {
        if seen.body.is_empty() || seen.request.is_last() {
            return Body::Empty;
        }
        // What waits for the body knows of what kind it is.
        let facts = Facts::new(&self.program, seen.request);
        let all = (0..).take(self.program.rules.len()).collect();
        let mut stream = None;
        let _ = self.begin(seen.request, self.judge(&facts, all), &mut stream);
        let is_read = seen.body.len() <= self.shared.limit_bytes;
        match stream.and_then(|pending| pending.body) {
            Some(waiting) if is_read && !waiting.is_encoded => {
                Body::read(seen.body, waiting.is_json, waiting.is_form)
            }
            Some(_) => Body::Unread,
            // Nobody waits: it is decided, whatever the body.
            None => {
                let kind = seen.request.request_header("content-type").map(media_type).unwrap_or_default();
                Body::read(seen.body, kind.to_ascii_lowercase().ends_with(b"json"), false)
            }
        }
    }
}
