//! What holds whatever comes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed, as it should")]

use filter_kit::{
    Environment, Filter as _,
    fake::{Shared, Stream},
    load,
};
use metrics::MetricsFilter;
use proptest::prelude::*;
use std::collections::BTreeSet;

const CONFIG: &str = r#"{"define":[{"name":"seen_total","kind":"counter","budget":20,"labels":[
    {"label":"x","on":"header","name":"x-label"}, {"label":"y","on":"query","name":"y","limit":3}]}],
    "default_set":{"budget":30},"metrics":{"labels":"LABELS"}}"#;

fn filter(labels: &str) -> MetricsFilter {
    load(CONFIG.replace("LABELS", labels).as_bytes(), &Environment::EMPTY).unwrap()
}

/// Whether a stat's name keeps a page of metrics valid, and its labels can be taken out of it.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_graphic())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_in_any_number_make_few_plain_names(
        values in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..200), "[ -~]{0,20}"), 1..200),
        istio in any::<bool>(),
    ) {
        let labels = if istio { "istio" } else { "envoy" };
        let shared = Shared::default();
        // Two workers, and one that takes the place of the second: together they keep to the budget of one.
        let workers = vec![filter(labels), filter(labels), filter(labels)];
        let mut names = BTreeSet::new();
        let mut counted = 0;
        for worker in &workers {
            shared.configure(worker.metrics());
            for (header, query) in &values {
                let stream = Stream::get(&format!("/?y={}", query.replace(['#', '&', '+', '%'], "_")));
                let outcome = stream.header("x-label", header).header("x-arm", header).sharing(&shared).drive(worker);
                prop_assert!(outcome.reply.is_none());
                for (name, value) in outcome.metrics {
                    prop_assert!(is_plain(&name), "{name:?}");
                    if name.starts_with("seen_total") || name.ends_with(";seen_total") {
                        counted += value;
                        names.insert(name);
                    }
                }
            }
        }
        let all = u64::try_from(values.len() * workers.len()).unwrap();
        prop_assert_eq!(counted, all);
        prop_assert!(names.len() <= 21, "{}", names.len());
    }
}

#[test]
fn what_an_exchange_took_is_counted_in_whole_units() {
    let filter = filter("envoy");
    let outcome = Stream::get("/a").at(1_700_000_000_000_000_000).drive(&filter);
    let series =
        |name: &str| outcome.metrics.iter().find(|(stat, _)| stat.starts_with(name)).map(|(_, value)| *value);
    assert_eq!(series("http_server_request_duration_milliseconds;"), Some(0));
    assert_eq!(series("http_server_requests_total;"), Some(1));
    assert_eq!(series("http_server_requests_ended_total;"), series("http_server_requests_started_total;"));
}

#[test]
fn nothing_is_held_back_and_nothing_is_changed() {
    let filter = filter("envoy");
    let sent = Stream::get("/a?b=c").header("cookie", "a=b").response_header("x", "y");
    let outcome = sent.drive(&filter);
    assert_eq!((outcome.reply, outcome.state.len(), outcome.log.len()), (None, 0, 0));
    assert_eq!(outcome.response_header("x"), ["y"]);
}
