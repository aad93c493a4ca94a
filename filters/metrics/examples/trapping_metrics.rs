//! metrics with a way to trap, which it has not: a request with the header `x-trap`.

#[cfg(target_arch = "wasm32")]
use metrics::MetricsFilter;

#[cfg(target_arch = "wasm32")]
#[path = "../../../filter-kit/trapping/mod.rs"]
mod trapping;

#[cfg(target_arch = "wasm32")]
filter_kit::export!(trapping::Trapping<MetricsFilter>: request_headers, request_body, response_headers, response_body, log);
