//! A request that asks for a trace of its own decision: a header with a signature, which somebody with the secret has made for this very request.
//!
//! `1764122400.9f86d081884c7d659a2feaa0c55ad015`: until when it counts, in seconds since 1970, and the first half of an HMAC-SHA-256 in hexadecimal digits, of
//! method, authority, path with query, and that time, each on a line.

use crate::{Policy, bucket::Bucket, pending::Pending};
use filter_kit::{
    Bounded, Effects, Environment, HeaderName, Secret, View,
    metrics::{Kind, Metrics, SeriesId},
    settings::Field,
};

/// The longest time that a signature counts, in seconds.
pub const LONGEST: u64 = 60;
/// The most bytes of the header.
const BYTES: usize = 128;
/// The most signatures that are looked at in a second, in one VM: each costs an HMAC over the request's path, and a good one a line.
const PER_SECOND: u64 = 10;
/// The most bytes of a trace in a response.
const ANSWER: usize = 4096;

/// Who may ask, and what is counted of it.
#[derive(Debug)]
pub struct Ask {
    /// The header.
    pub header: HeaderName,
    secret: Secret,
    /// Whether the trace stands in the response too.
    is_answered: bool,
    bucket: Bucket,
    counts: [SeriesId; RESULTS.len()],
}

/// What becomes of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Result {
    Explained,
    Repeated,
    Oversized,
    Malformed,
    Expired,
    TooFar,
    Limited,
    Forged,
}

/// Their names, in their order.
const RESULTS: [&str; 8] =
    ["explained", "repeated", "oversized", "malformed", "expired", "too_far", "limited", "forged"];

/// The lines that are signed.
fn parts<'p>([method, authority, path]: [&'p [u8]; 3], until: &'p str) -> [&'p [u8]; 9] {
    let end = b"\n";
    [b"outrigger-explain-1", end, method, end, authority, end, path, end, until.as_bytes()]
}

/// The header's value for a request with this method, authority and path with query, that counts until a time in seconds since 1970: at most
/// [`LONGEST`] from when it is used.
pub fn sign(secret: &Secret, request: [&[u8]; 3], until: u64) -> String {
    let until = until.to_string();
    let signature = secret.sign(&parts(request, &until));
    [&until, ".", signature.as_str()].concat()
}

impl Ask {
    /// Reads `{"header": "x-outrigger-explain", "secret_env": "EXPLAIN_SECRET", "respond": false}`.
    pub fn read(field: &Field<'_, '_>, environment: &Environment<'_>, metrics: &mut Metrics) -> Option<Self> {
        field.only(&["header", "secret_env", "secret", "respond"]);
        if !field.is_given() {
            return None;
        }
        let secret = Secret::read(field, environment);
        if secret.is_none() {
            field.get("secret_env").refuse("must name a variable of the VM's environment, got nothing");
        }
        let header = field.get("header");
        let name = header.text().unwrap_or("x-outrigger-explain");
        let results = metrics.family(Kind::Counter, "policy_explain_total", &["result"]);
        Some(Self {
            header: header.header_named(name, true)?,
            secret: secret?,
            is_answered: field.get("respond").flag(false),
            bucket: Bucket::new(PER_SECOND),
            counts: RESULTS.map(|result| metrics.series(results, &[Bounded::own(result)])),
        })
    }

    fn look(&self, view: &View<'_>) -> Result {
        let mut all = view.request_headers().all(self.header.as_str());
        let (Some(value), None) = (all.next(), all.next()) else { return Result::Repeated };
        if value.len() > BYTES {
            return Result::Oversized;
        }
        let text = std::str::from_utf8(value).ok();
        let Some((until, signature)) = text.and_then(|text| text.split_once('.')) else {
            return Result::Malformed;
        };
        let digits = until.bytes().all(|byte| byte.is_ascii_digit());
        let Some(time) = until.parse::<u64>().ok().filter(|_| digits) else { return Result::Malformed };
        let now = view.now() / 1_000_000_000;
        if time <= now {
            return Result::Expired;
        }
        if time > now + LONGEST {
            return Result::TooFar;
        }
        if !self.bucket.take(view.now()) {
            return Result::Limited;
        }
        let host = view.request_header(":authority").unwrap_or_default();
        let request = [view.method(), host, view.target()];
        if self.secret.has_signed(&parts(request, until), signature) {
            Result::Explained
        } else {
            Result::Forged
        }
    }
}

impl Policy {
    /// Takes the header off a request, and explains what is decided where it is a good one.
    #[cold]
    #[inline(never)]
    pub fn answer<'a>(
        &'a self,
        ask: &'a Ask,
        view: &'a View<'_>,
        stream: &mut Option<Pending>,
        effects: &mut Effects<'a>,
    ) {
        effects.remove_request_header(&ask.header);
        let result = ask.look(view);
        if let Some(count) = ask.counts.get(result as usize) {
            effects.count(*count);
        }
        if result != Result::Explained {
            return;
        }
        let trace = self.trace(view);
        self.log("policy_explain", &trace, view, None, effects);
        if ask.is_answered {
            let trace = Bounded::new(trace.as_bytes(), ANSWER).into_owned();
            stream.get_or_insert_default().trace = Some(trace);
        }
    }
}
