//! policy with a way to trap, which it has not: a request with the header `x-trap`.

#[cfg(target_arch = "wasm32")]
use policy::Policy;

#[cfg(target_arch = "wasm32")]
#[path = "../../../filter-kit/trapping/mod.rs"]
mod trapping;

#[cfg(target_arch = "wasm32")]
filter_kit::export!(trapping::Trapping<Policy>: request_headers, request_body, request_trailers, response_headers);
