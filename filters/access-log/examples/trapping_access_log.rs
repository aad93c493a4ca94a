//! access-log with a way to trap, which it has not: a request with the header `x-trap`.

#[cfg(target_arch = "wasm32")]
use access_log::AccessLog;

#[cfg(target_arch = "wasm32")]
#[path = "../../../filter-kit/trapping/mod.rs"]
mod trapping;

#[cfg(target_arch = "wasm32")]
filter_kit::export!(trapping::Trapping<AccessLog>: request_headers, request_body, log, tick, callout);
