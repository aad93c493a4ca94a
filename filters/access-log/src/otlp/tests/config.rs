//! What a configuration may say.

use super::{exporter, read};

/// Configurations, and why they are refused.
const REFUSED: &[(&str, &str)] = &[
    ("{}", "cluster: must be the name of a cluster, got nothing"),
    (r#"{"cluster": ""}"#, "cluster: must be 1 to 255 characters of visible ASCII, got \"\""),
    (r#"{"cluster": "a b"}"#, "cluster: must be 1 to 255 characters of visible ASCII, got \"a b\""),
    (r#"{"cluster": 1}"#, "cluster: invalid type: number `1`, expected a string"),
    (
        r#"{"cluster": "c", "authority": "a/b"}"#,
        "authority: must be a host, with or without a port, got \"a/b\"",
    ),
    (r#"{"cluster": "c", "path": "v1/logs"}"#, "path: must begin with `/`, got \"v1/logs\""),
    (
        r#"{"cluster": "c", "path": "/a b"}"#,
        "path: must be a path of at most 1024 bytes that begins with `/`, got \"/a b\"",
    ),
    (r#"{"cluster": "c", "timeout_ms": 0}"#, "timeout_ms: must be 1..=60000, got 0"),
    (r#"{"cluster": "c", "batch": {"records": 0}}"#, "batch.records: must be 1..=10000, got 0"),
    (r#"{"cluster": "c", "batch": {"bytes": 100}}"#, "batch.bytes: must be 4096..=4194304, got 100"),
    (r#"{"cluster": "c", "batch": {"interval_ms": 1}}"#, "batch.interval_ms: must be 10..=60000, got 1"),
    (
        r#"{"cluster": "c", "batch": {"size": 1}}"#,
        "batch.size: unknown field `size`, expected one of `records`, `bytes`, `interval_ms`",
    ),
    (
        r#"{"cluster": "c", "queue_bytes": 262143}"#,
        "queue_bytes: must hold at least a batch of 262144 bytes, got 262143",
    ),
    (
        r#"{"cluster": "c", "retry": {"initial_ms": 100, "max_ms": 99}}"#,
        "retry.max_ms: must be at least initial_ms, got 99",
    ),
    (
        r#"{"cluster": "c", "retry": {"elapsed_ms": 3600001}}"#,
        "retry.elapsed_ms: must be 0..=3600000, got 3600001",
    ),
    (
        r#"{"cluster": "c", "headers": {"a b": "c"}}"#,
        "headers.a b: must be a header name, got the character ' ', got \"a b\"",
    ),
    (
        r#"{"cluster": "c", "headers": {"x": "hunter2\n"}}"#,
        "headers.x: must have a value of 1 to 4096 characters of visible ASCII without spaces around it",
    ),
    (
        r#"{"cluster": "c", "headers": {"x": "a", "X": "b"}}"#,
        "headers.X: must be a header that is neither the proxy's own nor written already",
    ),
    (
        r#"{"cluster": "c", "headers": {"content-length": "5"}}"#,
        "headers.content-length: must be a header that is neither the proxy's own nor written already",
    ),
    (
        r#"{"cluster": "c", "headers": {":path": "/"}}"#,
        "headers.:path: must be a header that is neither the proxy's own nor written already",
    ),
    (
        r#"{"cluster": "c", "headers_env": {"x-key": "NO"}}"#,
        "headers_env.x-key: must name a variable of the VM's environment that is set, got \"NO\"",
    ),
    (
        r#"{"cluster": "c", "headers_env": {"x-key": "EMPTY"}}"#,
        "headers_env.x-key: must have a value of 1 to 4096 characters of visible ASCII without spaces around it",
    ),
    (
        r#"{"cluster": "c", "headers_env": {"x-key": "BROKEN"}}"#,
        "headers_env.x-key: must have a value of 1 to 4096 characters of visible ASCII without spaces around it",
    ),
    (
        r#"{"cluster": "c", "resource": {"a": ""}}"#,
        "resource.a: must be 1 to 1024 bytes, under a key of at most 128",
    ),
    (r#"{"cluster": "c", "resource": {"a": 1}}"#, "resource.a: invalid type: number `1`, expected a string"),
    (
        r#"{"cluster": "c", "url": "x"}"#,
        "url: unknown field `url`, expected one of `cluster`, `authority`, `path`, `timeout_ms`, `batch`, `queue_bytes`, `headers`, `headers_env`, `resource`, `retry`",
    ),
];

#[test]
fn a_configuration_that_cannot_be_one_is_refused_with_its_path() {
    for (config, expected) in REFUSED {
        assert_eq!(read(config).err().as_deref(), Some(*expected), "{config}");
    }
    for name in [
        "authorization",
        "Authorization",
        "x-api-key",
        "api-key",
        "X-Honeycomb-Team",
        "lightstep-access-token",
        "cookie",
    ] {
        let refused =
            read(&format!(r#"{{"cluster": "c", "headers": {{"{name}": "hunter2"}}}}"#)).unwrap_err();
        assert!(
            refused.contains("must not stand in a configuration") && !refused.contains("hunter2"),
            "{refused}"
        );
    }
    let large = format!(
        r#"{{"cluster": "c", "batch": {{"bytes": 4096}}, "resource": {{"a": "{0}", "b": "{0}", "c": "{0}"}}}}"#,
        "x".repeat(900)
    );
    assert_eq!(read(&large).unwrap_err(), "resource: must take at most half the bytes of a batch");
    let many = (0..33).map(|n| format!(r#""a{n}": "x""#)).collect::<Vec<_>>().join(",");
    assert_eq!(
        read(&format!(r#"{{"cluster": "c", "resource": {{{many}}}}}"#)).unwrap_err(),
        "resource: must hold at most 32, got 33"
    );
    assert_eq!(
        read(&format!(r#"{{"cluster": "c", "headers": {{{many}}}}}"#)).unwrap_err(),
        "headers: must hold at most 30, with those of `headers_env`"
    );
    assert!(read("null").unwrap().is_none());
    assert_eq!(exporter(r#"{"cluster": "c", "batch": {"bytes": 4194304}}"#).limits.queue_bytes, 4 << 20);
}
