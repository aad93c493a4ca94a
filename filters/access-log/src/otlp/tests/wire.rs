//! What is sent, byte by byte and as others read it.

use super::{RECORD, exporter, ms, poll};
use crate::{
    fields::{Duration, Name},
    otlp::Due,
    record::{Frame, Record, Value},
};
use filter_kit::{TraceParent, routes::Routes};
use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{AnyValue, any_value},
    logs::v1::LogRecord,
};
use pii::{Engine, Entity, Place};

#[test]
fn a_request_is_what_the_specification_asks_for() {
    let exporter = exporter(
        r#"{"cluster": "otel", "authority": "otel:4318", "path": "/x/v1/logs", "timeout_ms": 1500, "headers": {"X-Tenant": "a"},
            "headers_env": {"authorization": "TOKEN"}}"#,
    );
    exporter.push(RECORD, ms(0));
    let callout = exporter.poll(ms(1000), || 0).unwrap();
    let headers: Vec<_> =
        callout.headers.iter().map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value))).collect();
    assert_eq!(
        (callout.cluster, callout.method, callout.authority, &*callout.path, callout.timeout.as_millis()),
        ("otel", "POST", "otel:4318", "/x/v1/logs", 1500)
    );
    let version = env!("CARGO_PKG_VERSION");
    let agent = format!("outrigger-access-log/{version}");
    assert_eq!(
        headers,
        [
            ("content-type", "application/json".into()),
            ("user-agent", agent.as_str().into()),
            ("x-tenant", "a".into()),
            ("authorization", "Bearer hunter2".into())
        ]
    );
    let expected = [
        r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"unknown_service"}}]},"#,
        r#""scopeLogs":[{"scope":{"name":"outrigger","version":""#,
        version,
        r#""},"logRecords":[{"body":{"stringValue":"x"}}]}]}]}"#,
    ]
    .concat();
    assert_eq!(String::from_utf8_lossy(&callout.body), expected);
    assert!(!format!("{exporter:?}").contains("hunter2"));
}

#[test]
fn every_field_is_read_by_the_types_of_opentelemetry_proto() {
    let exporter = exporter(
        r#"{"cluster": "c", "resource": {"service.name": "sh\"op", "k8s.pod.name": "a\\b\u0001é"}, "batch": {"records": 2}}"#,
    );
    let engine = Engine::default();
    let names = ["http.route", "url.query", "big", "duration", "start", "flags"].map(Name::new);
    let [route, query, big, duration, start, flags] = &names;
    let routes = Routes::default();
    let trace = TraceParent::parse(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let mut fields = Record::with_capacity(6);
    fields.add(route, Value::Route(routes.label(routes.of(b"/users/17"))));
    fields.add(query, engine.redact("a=\u{7}\"\\é".as_bytes(), Place::Text, None));
    fields.add(big, u64::MAX);
    fields.add(duration, Value::Duration(250_000_000, Duration::Seconds));
    fields.add(start, Value::Time(0));
    fields.add(flags, Value::Flags(0x100));
    fields.add_entity(Entity::Email, 2);
    let frame = Frame { time: 1_795_600_800_000_000_001, observed: u64::MAX, is_error: false, trace };
    let mut record = String::new();
    fields.write_otlp(&frame, &mut record);
    assert_eq!((exporter.push(&record, ms(0)), exporter.push(RECORD, ms(0))), (Due::Later, Due::Now));
    let body = poll(&exporter, ms(0)).unwrap();
    let request: ExportLogsServiceRequest = serde_json::from_str(&body).unwrap();
    let [logs] = request.resource_logs.as_slice() else { panic!("{request:?}") };
    let text = |value: &Option<AnyValue>| match value.clone().unwrap().value {
        Some(any_value::Value::StringValue(text)) => text,
        other => panic!("{other:?}"),
    };
    let resource: Vec<_> = logs
        .resource
        .as_ref()
        .unwrap()
        .attributes
        .iter()
        .map(|pair| (pair.key.as_str(), text(&pair.value)))
        .collect();
    assert_eq!(resource, [("service.name", "sh\"op".to_owned()), ("k8s.pod.name", "a\\b\u{1}é".to_owned())]);
    let [scope] = logs.scope_logs.as_slice() else { panic!("{logs:?}") };
    let scoped = scope.scope.as_ref().unwrap();
    assert_eq!((scoped.name.as_str(), scoped.version.as_str()), ("outrigger", env!("CARGO_PKG_VERSION")));
    let [first, second] = scope.log_records.as_slice() else { panic!("{scope:?}") };
    let LogRecord {
        time_unix_nano,
        observed_time_unix_nano,
        severity_number,
        severity_text,
        body,
        attributes,
        flags,
        trace_id,
        span_id,
        ..
    } = first;
    assert_eq!((*time_unix_nano, *observed_time_unix_nano), (1_795_600_800_000_000_001, u64::MAX));
    assert_eq!((*severity_number, severity_text.as_str(), *flags), (9, "INFO", 1));
    assert_eq!(text(body), "access");
    assert_eq!(trace_id[..], 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes());
    assert_eq!(span_id[..], 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
    let values: Vec<_> = attributes
        .iter()
        .map(|pair| (pair.key.as_str(), pair.value.clone().unwrap().value.unwrap()))
        .collect();
    assert_eq!(
        values,
        [
            ("http.route", any_value::Value::StringValue("/users/{number}".to_owned())),
            ("url.query", any_value::Value::StringValue("a=\u{7}\"\\é".to_owned())),
            ("big", any_value::Value::IntValue(i64::MAX)),
            ("duration", any_value::Value::DoubleValue(0.25)),
            ("start", any_value::Value::StringValue("1970-01-01T00:00:00.000Z".to_owned())),
            ("flags", any_value::Value::StringValue("NR".to_owned())),
            ("pii.email", any_value::Value::IntValue(2)),
        ]
    );
    assert_eq!(text(&second.body), "x");
}
