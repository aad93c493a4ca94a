use super::{Batch, Counts, Due, Exporter, delay::MILLISECOND};
use filter_kit::{
    Environment,
    settings::{Field, Node},
};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use proptest::prelude::*;
use std::cell::RefCell;

mod config;
mod wire;

const RECORD: &str = r#"{"body":{"stringValue":"x"}}"#;

fn read(config: &str) -> Result<Option<Exporter>, String> {
    let variables = |name: &str| match name {
        "TOKEN" => Some("Bearer hunter2".to_owned()),
        "EMPTY" => Some(String::new()),
        "BROKEN" => Some("hunter2\r\nx: y".to_owned()),
        _ => None,
    };
    let node = Node::parse(config.as_bytes()).unwrap();
    let refused = RefCell::default();
    let field = Field::root(&node, &refused);
    let exporter = Exporter::read(&field, &Environment::new(&variables));
    field.finish(exporter).map_err(|error| error.to_string())
}

fn exporter(config: &str) -> Exporter {
    read(config).unwrap().unwrap()
}

/// Small batches that are sent after 100 ms, and sent again after 1 s, 2 s and 4 s at most, for 20 s.
#[test]
fn what_waits_goes_over_to_the_next_configuration_s_exporter() {
    let (old, mut new) = (small(), exporter(r#"{"cluster": "c", "batch": {"interval_ms": 10}}"#));
    old.push("{}", 0);
    new.inherit(&old);
    // A stream of before leaves its record with the old one, and a new one with the new.
    old.push("{}", 0);
    new.push("{}", 0);
    assert_eq!((new.counts().pushed, new.counts().queued), (3, 3));
    let mut sent = 0;
    for now in [u64::MAX / 4, u64::MAX / 2] {
        assert!(new.poll(now, || 0).is_some());
        new.answered(Some(200), None, b"", now);
        sent += 1;
    }
    assert_eq!((sent, new.counts().sent, new.counts().queued, old.counts().sent), (2, 3, 0, 3));
}

#[test]
fn a_batch_whose_callout_ended_with_a_push_is_sent_again_at_once() {
    let (old, mut new) = (small(), exporter(r#"{"cluster": "c"}"#));
    old.push("{}", 0);
    let now = u64::MAX / 4;
    assert!(old.poll(now, || 0).is_some());
    new.inherit(&old);
    assert!(new.poll(now, || 0).is_none(), "an answer is still waited for");
    new.answered(None, None, b"", now);
    assert!(new.poll(now, || 0).is_some());
    // The next one without an answer has failed.
    new.answered(None, None, b"", now);
    assert!(new.poll(now, || 0).is_none());
    assert_eq!((new.counts().retried, new.counts().queued), (1, 1));
}

fn small() -> Exporter {
    exporter(
        r#"{"cluster": "c", "timeout_ms": 1000, "batch": {"records": 3, "interval_ms": 100},
            "retry": {"initial_ms": 1000, "max_ms": 4000, "elapsed_ms": 20000}}"#,
    )
}

const fn ms(milliseconds: u64) -> u64 {
    1_000_000_000_000 + milliseconds * MILLISECOND
}

fn poll(exporter: &Exporter, now: u64) -> Option<String> {
    let callout = exporter.poll(now, || u64::MAX)?;
    Some(String::from_utf8(callout.body.into_owned()).unwrap())
}

fn records(body: &str) -> usize {
    let request: ExportLogsServiceRequest = serde_json::from_str(body).unwrap();
    request.resource_logs[0].scope_logs[0].log_records.len()
}

const fn dropped(counts: &Counts) -> u64 {
    counts.queue_full + counts.rejected + counts.refused + counts.expired
}

#[track_caller]
fn check(exporter: &Exporter, expected: &str) {
    let Counts { pushed, sent, batches, retried, queued, queue_full, rejected, refused, expired } =
        exporter.counts();
    let got = format!(
        "{pushed} = {sent} sent + {queue_full} full + {rejected} rejected + {refused} refused + {expired} expired + {queued} queued; {batches} batches, {retried} retried"
    );
    assert_eq!(got, expected);
}

#[test]
fn a_batch_is_due_by_count_by_bytes_or_by_age() {
    let exporter = small();
    assert_eq!(poll(&exporter, ms(0)), None);
    assert_eq!(exporter.push(RECORD, ms(0)), Due::Later);
    assert_eq!(poll(&exporter, ms(99)), None);
    assert_eq!(records(&poll(&exporter, ms(100)).unwrap()), 1);
    assert_eq!(poll(&exporter, ms(300)), None, "one is on its way");
    exporter.answered(Some(200), None, b"{}", ms(300));
    let due: Vec<_> = (0..4).map(|_| exporter.push(RECORD, ms(300))).collect();
    assert_eq!(due, [Due::Later, Due::Later, Due::Now, Due::Now]);
    assert_eq!(records(&poll(&exporter, ms(300)).unwrap()), 3);
    assert_eq!(exporter.push(RECORD, ms(300)), Due::Later, "one is on its way");
    exporter.answered(Some(200), None, b"", ms(301));
    assert_eq!(poll(&exporter, ms(399)), None);
    assert_eq!(records(&poll(&exporter, ms(400)).unwrap()), 2);
    check(
        &exporter,
        "6 = 4 sent + 0 full + 0 rejected + 0 refused + 0 expired + 2 queued; 2 batches, 0 retried",
    );

    let exporter = self::exporter(r#"{"cluster": "c", "batch": {"bytes": 4096}}"#);
    let record = format!(r#"{{"body":{{"stringValue":"{}"}}}}"#, "x".repeat(1000));
    assert_eq!(
        [(); 4].map(|()| exporter.push(&record, ms(0))),
        [Due::Later, Due::Later, Due::Later, Due::Now]
    );
    let body = poll(&exporter, ms(0)).unwrap();
    assert!(records(&body) == 3 && body.len() <= 4096, "{}", body.len());
    exporter.answered(Some(200), None, b"", ms(0));
    let large = format!(r#"{{"body":{{"stringValue":"{}"}}}}"#, "x".repeat(9000));
    assert_eq!(exporter.push(&large, ms(0)), Due::Now);
    assert_eq!(records(&poll(&exporter, ms(0)).unwrap()), 1);
    exporter.answered(Some(200), None, b"", ms(0));
    assert_eq!(records(&poll(&exporter, ms(0)).unwrap()), 1, "a record that is larger than a batch is one");
}

#[test]
fn a_clock_that_is_set_back_holds_nothing_up() {
    let exporter = small();
    exporter.push(RECORD, ms(1_000_000));
    assert!(poll(&exporter, ms(0)).is_some());
    exporter.answered(Some(503), None, b"", ms(5000));
    assert!(poll(&exporter, ms(1)).is_some());
    exporter.answered(Some(503), Some(b"3600"), b"", ms(2));
    check(
        &exporter,
        "1 = 0 sent + 0 full + 0 rejected + 0 refused + 1 expired + 0 queued; 0 batches, 1 retried",
    );
}

#[test]
fn the_back_off_doubles_up_to_its_limit_and_half_of_it_is_drawn() {
    let exporter = small();
    exporter.push(RECORD, ms(0));
    let mut now = 100;
    assert!(poll(&exporter, ms(now)).is_some());
    for (most, status) in
        [(1000, Some(429)), (2000, Some(502)), (4000, Some(503)), (4000, Some(504)), (4000, None)]
    {
        exporter.answered(status, None, b"partialSuccess", ms(now));
        assert_eq!(exporter.poll(ms(now + most / 2 - 1), || 0), None);
        assert!(exporter.poll(ms(now + most / 2), || panic!("drawn already")).is_some());
        now += most / 2;
    }
    check(
        &exporter,
        "1 = 0 sent + 0 full + 0 rejected + 0 refused + 0 expired + 1 queued; 0 batches, 5 retried",
    );
}

#[test]
fn a_batch_is_sent_again_as_it_was() {
    let exporter = small();
    exporter.push(RECORD, ms(0));
    let first = poll(&exporter, ms(100)).unwrap();
    exporter.push(RECORD, ms(100));
    let mut now = 100;
    let mut waits = Vec::new();
    for failure in 0.. {
        exporter.answered(Some(503), None, b"", ms(now));
        if exporter.counts().expired > 0 {
            break;
        }
        let from = now;
        let again = loop {
            now += 1;
            // The upper end of what is drawn: 1 s of 500 ms to 1 s, and so on.
            let spread = [500, 1000, 2000].get(failure).copied().unwrap_or(2000) * MILLISECOND;
            if let Some(callout) = exporter.poll(ms(now), || spread) {
                break callout.body.into_owned();
            }
        };
        assert_eq!(again, first.as_bytes());
        waits.push(now - from);
    }
    // 1 + 2 + 4 + 4 + 4 s are 15, and the next attempt would come after 17 to 19 s: still in time. The one behind it is not.
    assert_eq!(waits, [1000, 2000, 4000, 4000, 4000, 4000]);
    check(
        &exporter,
        "2 = 0 sent + 0 full + 0 rejected + 0 refused + 1 expired + 1 queued; 0 batches, 6 retried",
    );
    // The next batch has to wait as well, as long as the last.
    assert_eq!(exporter.poll(ms(now + 1999), || 0), None);
    let next = exporter.poll(ms(now + 2000), || panic!("drawn already")).unwrap();
    assert_eq!(records(std::str::from_utf8(&next.body).unwrap()), 1);
    exporter.answered(Some(200), None, b"", ms(now + 2001));
    // Now that the collector is back, a failure is a first one.
    exporter.push(RECORD, ms(now + 3000));
    assert!(poll(&exporter, ms(now + 3100)).is_some());
    exporter.answered(Some(503), None, b"", ms(now + 3100));
    assert_eq!(exporter.poll(ms(now + 3599), || 0), None);
    assert!(exporter.poll(ms(now + 3600), || 0).is_some());
}

#[test]
fn retry_after_is_honoured_for_the_next_batch_too() {
    let exporter = small();
    for _ in 0..6 {
        exporter.push(RECORD, ms(0));
    }
    assert!(poll(&exporter, ms(0)).is_some());
    exporter.answered(Some(429), Some(b"7"), b"", ms(10));
    assert_eq!(exporter.push(RECORD, ms(10)), Due::Later, "it has to wait");
    assert_eq!(exporter.poll(ms(7009), || 0), None);
    assert!(exporter.poll(ms(7010), || 0).is_some());
    // Too long for this batch.
    exporter.answered(Some(503), Some(b"60"), b"", ms(7020));
    check(
        &exporter,
        "7 = 0 sent + 0 full + 0 rejected + 0 refused + 3 expired + 4 queued; 0 batches, 1 retried",
    );
    assert_eq!(exporter.poll(ms(67_019), || 0), None);
    assert!(exporter.poll(ms(67_020), || 0).is_some());
    // The jitter on top is at most the initial back-off.
    exporter.answered(Some(429), Some(b"1"), b"", ms(67_020));
    assert_eq!(exporter.poll(ms(68_020), || 1_000_000_000), None);
    assert!(exporter.poll(ms(69_020), || 0).is_some());
    // What is no Retry-After is a back-off, and so is one on an answer that does not allow another attempt.
    exporter.answered(Some(400), Some(b"9"), b"", ms(69_020));
    assert!(exporter.poll(ms(69_120), || 0).is_some());
    check(
        &exporter,
        "7 = 0 sent + 0 full + 0 rejected + 3 refused + 3 expired + 1 queued; 0 batches, 2 retried",
    );
}

#[test]
fn a_partial_success_is_no_failure() {
    let exporter = small();
    for body in [
        r#"{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"m"}}"#,
        r#"{"partialSuccess":{"rejectedLogRecords":99}}"#,
        "garbage",
    ] {
        for _ in 0..3 {
            exporter.push(RECORD, ms(0));
        }
        assert!(poll(&exporter, ms(0)).is_some());
        exporter.answered(Some(200), Some(b"60"), body.as_bytes(), ms(0));
    }
    check(
        &exporter,
        "9 = 4 sent + 0 full + 5 rejected + 0 refused + 0 expired + 0 queued; 3 batches, 0 retried",
    );
}

#[test]
fn an_answer_that_never_comes_is_a_failure_and_a_late_one_is_none() {
    let exporter = small();
    exporter.answered(Some(200), None, b"", ms(0));
    exporter.push(RECORD, ms(0));
    assert!(poll(&exporter, ms(100)).is_some());
    assert_eq!(exporter.poll(ms(11_100), || 0), None, "1 s of timeout and 10 s of grace");
    assert_eq!(exporter.poll(ms(11_101), || 0), None, "now it waits");
    exporter.answered(Some(200), None, b"", ms(11_200));
    check(
        &exporter,
        "1 = 0 sent + 0 full + 0 rejected + 0 refused + 0 expired + 1 queued; 0 batches, 0 retried",
    );
    assert!(exporter.poll(ms(11_601), || 0).is_some());
    exporter.answered(Some(200), None, b"", ms(11_700));
    check(
        &exporter,
        "1 = 1 sent + 0 full + 0 rejected + 0 refused + 0 expired + 0 queued; 1 batches, 1 retried",
    );
}

#[test]
fn where_nothing_may_be_sent_again_a_failure_drops_the_batch() {
    let exporter = exporter(r#"{"cluster": "c", "batch": {"records": 1}, "retry": {"elapsed_ms": 0}}"#);
    exporter.push(RECORD, ms(0));
    assert!(poll(&exporter, ms(0)).is_some());
    exporter.answered(Some(503), None, b"", ms(0));
    check(
        &exporter,
        "1 = 0 sent + 0 full + 0 rejected + 0 refused + 1 expired + 0 queued; 0 batches, 0 retried",
    );
}

#[test]
fn with_the_collector_down_memory_is_bounded_and_every_record_is_counted() {
    let exporter = exporter(
        r#"{"cluster": "c", "batch": {"records": 100, "bytes": 8192, "interval_ms": 100}, "queue_bytes": 100000, "retry": {"elapsed_ms": 30000}}"#,
    );
    let record = format!(r#"{{"body":{{"stringValue":"{}"}}}}"#, "x".repeat(300));
    let mut refused = 0;
    // A minute at 1,000 requests a second.
    for n in 0..60_000 {
        if exporter.push(&record, ms(n)) == Due::Refused {
            refused += 1;
        }
        if n % 100 == 0 && exporter.poll(ms(n), || n).is_some() {
            exporter.answered(Some(503), None, b"", ms(n + 1));
        }
        let state = exporter.state.borrow();
        let batches = || state.full.iter().chain(&state.open);
        let held: usize = batches().map(Batch::body_size).sum();
        assert!(held == state.bytes && held <= 100_000, "{held}");
        let allocated: usize = batches().chain(&state.current).map(Batch::capacity).sum();
        assert!(allocated <= 100_000 + 2 * 8192 + 8192, "{allocated}");
    }
    let counts = exporter.counts();
    assert_eq!((counts.queue_full, counts.pushed), (refused, 60_000));
    assert_eq!(counts.pushed, counts.sent + dropped(&counts) + counts.queued);
    assert!(counts.expired > 0 && counts.sent == 0 && counts.queued > 250, "{counts:?}");
}

#[derive(Debug, Clone)]
enum Step {
    Push(usize),
    Wait(u64),
    Poll(u64),
    Answer(Option<u16>, Option<&'static str>, &'static str),
}

fn step() -> impl Strategy<Value = Step> {
    let status = prop_oneof![
        4 => Just(Some(200)),
        6 => prop::sample::select(vec![Some(429), Some(502), Some(503), Some(504), None]),
        2 => prop::sample::select(vec![Some(400), Some(404), Some(413), Some(500), Some(0), Some(302)]),
    ];
    let retry_after = prop::sample::select(vec![
        None,
        None,
        Some("1"),
        Some("0"),
        Some("99999"),
        Some("soon"),
        Some("Sun, 06 Nov 1994 08:49:37 GMT"),
    ]);
    let body = prop::sample::select(vec![
        "",
        "{}",
        "\u{0}garbage",
        r#"{"partialSuccess":{"rejectedLogRecords":"2"}}"#,
        r#"{"partialSuccess":{"rejectedLogRecords":18446744073709551615}}"#,
    ]);
    prop_oneof![
        10 => (2_usize..3000).prop_map(Step::Push),
        4 => (0_u64..2_000).prop_map(Step::Wait),
        1 => (0_u64..40_000).prop_map(Step::Wait),
        8 => any::<u64>().prop_map(Step::Poll),
        4 => (status, retry_after, body).prop_map(|(status, after, body)| Step::Answer(status, after, body)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn every_record_is_sent_dropped_or_queued_whatever_is_answered(steps in prop::collection::vec(step(), 0..300)) {
        let exporter = exporter(
            r#"{"cluster": "c", "timeout_ms": 100, "batch": {"records": 5, "bytes": 4096, "interval_ms": 100}, "queue_bytes": 20000,
                "retry": {"initial_ms": 100, "max_ms": 1000, "elapsed_ms": 5000}}"#,
        );
        let (mut now, mut sent, mut pushed) = (0, None, 0);
        for step in steps {
            if exporter.state.borrow().sent_at.is_none() {
                sent = None;
            }
            match step {
                Step::Push(size) => {
                    pushed += 1;
                    let record = format!(r#"{{"severityText":"{}"}}"#, "x".repeat(size));
                    let (before, due) = (exporter.counts(), exporter.push(&record, ms(now)));
                    let after = exporter.counts();
                    prop_assert_eq!(after.queue_full - before.queue_full, u64::from(due == Due::Refused));
                    if due == Due::Now {
                        prop_assert!(sent.is_none());
                        sent = poll(&exporter, ms(now));
                        prop_assert!(sent.is_some());
                    }
                }
                Step::Wait(time) => now += time,
                Step::Poll(random) => {
                    if let Some(callout) = exporter.poll(ms(now), || random) {
                        let body = String::from_utf8(callout.body.into_owned()).unwrap();
                        prop_assert!((1..=5).contains(&records(&body)) && body.len() <= 4096);
                        sent = Some(body);
                    }
                }
                Step::Answer(status, retry_after, body) => {
                    let before = exporter.counts();
                    exporter.answered(status, retry_after.map(str::as_bytes), body.as_bytes(), ms(now));
                    let after = exporter.counts();
                    let count = sent.take().map_or(0, |body| records(&body)) as u64;
                    let done = before.queued - after.queued;
                    match status {
                        Some(429 | 502 | 503 | 504) | None => {
                            prop_assert!(done == 0 || done == count && after.expired - before.expired == count || count == 0);
                            prop_assert_eq!((after.sent, after.refused, after.rejected), (before.sent, before.refused, before.rejected));
                        }
                        Some(200) => prop_assert!(done == count || done == 0),
                        Some(_) => prop_assert_eq!(after.refused - before.refused, done),
                    }
                }
            }
            let counts = exporter.counts();
            prop_assert_eq!(counts.pushed, pushed);
            prop_assert_eq!(counts.pushed, counts.sent + dropped(&counts) + counts.queued);
            let state = exporter.state.borrow();
            prop_assert!(state.bytes <= 20_000);
            let queued: usize = state.full.iter().chain(&state.open).chain(&state.current).map(Batch::records).sum();
            prop_assert_eq!(counts.queued, queued as u64);
            let bytes: usize = state.full.iter().chain(&state.open).map(Batch::body_size).sum();
            prop_assert_eq!(bytes, state.bytes);
        }
        // A collector that is back gets all that waits.
        for _ in 0..100 {
            now += 3_700_000;
            if exporter.poll(ms(now), || 0).is_some() {
                exporter.answered(Some(200), None, b"", ms(now));
            }
        }
        prop_assert_eq!(exporter.counts().queued, 0);
    }
}
