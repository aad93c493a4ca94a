//! all-in-one with a way to trap, which it has not: a request with the header `x-trap`.

#[cfg(target_arch = "wasm32")]
use all_in_one::AllInOne;

#[cfg(target_arch = "wasm32")]
#[path = "../../../filter-kit/trapping/mod.rs"]
mod trapping;

#[cfg(target_arch = "wasm32")]
filter_kit::export!(trapping::Trapping<AllInOne>: request_headers, request_body, request_trailers, response_headers, response_body, log, tick, callout);
