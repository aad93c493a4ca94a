//! Requests of generated users: a key wherever experiments look for one.

use super::request::Recorded;
use crate::configuration::Configuration;
use harness::{
    Bytes,
    scenario::{Exchange, Request},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Where a key may stand.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Header(String),
    Cookie(String),
    Query(String),
    /// A cookie of visitors, whose keys have a form of their own.
    Visitor(String),
}

/// The places where the experiments of these configurations look for keys.
pub fn places(configurations: &[Configuration]) -> BTreeSet<Place> {
    let mut places = BTreeSet::new();
    for configuration in configurations {
        let config: Value =
            serde_json::from_slice(configuration.bytes.as_deref().unwrap_or(b"{}")).unwrap_or_default();
        for experiment in ["/experiments", "/ab_routing/experiments"]
            .iter()
            .filter_map(|path| config.pointer(path)?.as_array())
            .flatten()
        {
            let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
            for list in ["key", "fallback_key"] {
                for source in experiment.get(list).and_then(Value::as_array).into_iter().flatten() {
                    places.extend(text(source, "header").map(Place::Header));
                    places.extend(text(source, "cookie").map(Place::Cookie));
                    places.extend(text(source, "query").map(Place::Query));
                }
            }
            let visitor = experiment.get("visitor_cookie").and_then(|cookie| text(cookie, "name"));
            places.extend(visitor.map(Place::Visitor));
        }
    }
    places
}

/// The request of a user. The same number is the same user each time.
pub fn request(places: &BTreeSet<Place>, number: usize) -> Recorded {
    let key = format!("user-{number}");
    // SplitMix64, twice: 128 bits as the filter draws them.
    let word = |seed: u64| {
        let mut word = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    };
    let visitor = format!("{:016x}{:016x}", word(number as u64), word(!(number as u64)));
    let (mut headers, mut cookies, mut query) = (Vec::new(), Vec::new(), Vec::new());
    for place in places {
        match place {
            Place::Header(name) => headers.push((Bytes::from(name), Bytes::from(&key))),
            Place::Cookie(name) => cookies.push(format!("{name}={key}")),
            Place::Visitor(name) => cookies.push(format!("{name}={visitor}")),
            Place::Query(name) => query.push(format!("{name}={key}")),
        }
    }
    if !cookies.is_empty() {
        headers.push((Bytes::from("cookie"), Bytes::from(&cookies.join("; "))));
    }
    let path = if query.is_empty() { "/".to_owned() } else { format!("/?{}", query.join("&")) };
    let request = Request { path, headers, ..Request::default() };
    Recorded { id: json!(key), time: None, exchange: Exchange { request, ..Exchange::default() } }
}
