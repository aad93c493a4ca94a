//! Scenario files as they are written.

use super::Cut;
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::{Table, Value};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawScenario {
    pub(super) name: String,
    pub(super) only: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) allow: BTreeMap<String, String>,
    pub(super) explore: Option<RawExplore>,
    pub(super) snapshot: Option<String>,
    pub(super) seed: u64,
    pub(super) clock: Option<String>,
    pub(super) config: Option<Value>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) root_id: String,
    pub(super) vm_config: Option<String>,
    pub(super) metadata: BTreeMap<String, serde_json::Value>,
    pub(super) routes: Vec<RawRoute>,
    pub(super) upstreams: BTreeMap<String, RawResponse>,
    pub(super) cookies: bool,
    pub(super) tcp: bool,
    pub(super) exchange: Vec<RawExchange>,
    pub(super) request: Option<RawRequest>,
    pub(super) response: Option<RawResponse>,
    pub(super) expect: Option<RawExpect>,
}

/// `true`, or how far.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "must be true, or a table of `budget`, `seed` and `ignore`")]
pub(super) enum RawExplore {
    Switch(bool),
    Bounds(RawBounds),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawBounds {
    pub(super) budget: Option<usize>,
    pub(super) seed: u64,
    pub(super) ignore: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawRoute {
    pub(super) name: Option<String>,
    pub(super) header: Option<String>,
    pub(super) value: Option<String>,
    pub(super) prefix: Option<String>,
    pub(super) upstream: String,
    pub(super) timeout_ms: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawExchange {
    #[serde(default = "once")]
    pub(super) repeat: usize,
    #[serde(default)]
    pub(super) after_ms: u64,
    pub(super) request: RawRequest,
    #[serde(default)]
    pub(super) response: RawResponse,
    #[serde(default)]
    pub(super) expect: RawExpect,
}

fn once() -> usize {
    1
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawRequest {
    pub(super) method: Option<String>,
    pub(super) path: Option<String>,
    pub(super) authority: Option<String>,
    pub(super) headers: Option<Value>,
    pub(super) body: Option<Value>,
    pub(super) chunks: Option<Vec<Value>>,
    pub(super) trailers: Option<Value>,
}

/// What an upstream or a cluster answers; `delay_ms`, `refuse`, `empty` and `grpc` are for clusters only, `chunks`, `after_ms` and `cut` for
/// upstreams.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawResponse {
    pub(super) status: Option<u16>,
    pub(super) headers: Option<Value>,
    pub(super) body: Option<Value>,
    pub(super) chunks: Option<Vec<Value>>,
    pub(super) trailers: Option<Value>,
    pub(super) after_ms: Option<u64>,
    pub(super) cut: Option<Cut>,
    pub(super) delay_ms: Option<u64>,
    pub(super) refuse: bool,
    pub(super) empty: bool,
    pub(super) grpc: Option<RawGrpc>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawGrpc {
    pub(super) initial: Option<Value>,
    pub(super) messages: Vec<Value>,
    pub(super) trailers: Option<Value>,
    pub(super) status: u32,
    pub(super) message: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawExpect {
    pub(super) upstream: Option<String>,
    pub(super) status: Option<u16>,
    pub(super) reset: bool,
    pub(super) untouched: bool,
    pub(super) request_headers: Table,
    pub(super) request_body: Option<Value>,
    pub(super) request_trailers: Table,
    pub(super) response_headers: Table,
    pub(super) response_body: Option<Value>,
    pub(super) response_trailers: Table,
    pub(super) metrics: Table,
    pub(super) max_instructions: Option<u64>,
    pub(super) max_host_calls: Option<u64>,
    pub(super) log: Option<Vec<RawLog>>,
    pub(super) state: Table,
    pub(super) config_error: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLog {
    pub(super) level: String,
    pub(super) text: Value,
}
