//! The SDK with ten properties read when an exchange is logged: what an access log costs that asks Envoy for each of its fields, for the bench.
#![cfg(target_arch = "wasm32")]
#![allow(missing_docs, reason = "the SDK's macro makes an export without any")]

use proxy_wasm::{
    hostcalls,
    traits::{Context, HttpContext, RootContext},
    types::ContextType,
};
use std::hint::black_box;

/// What an access log is likely to ask for.
const PROPERTIES: [[&str; 2]; 10] = [
    ["request", "time"],
    ["request", "duration"],
    ["request", "method"],
    ["request", "path"],
    ["request", "id"],
    ["request", "useragent"],
    ["request", "host"],
    ["response", "code"],
    ["response", "size"],
    ["source", "address"],
];

struct Root;
struct Stream;

impl Context for Root {}

impl RootContext for Root {
    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_log(&mut self) {
        for path in PROPERTIES {
            black_box(hostcalls::get_property(path.to_vec()).ok());
        }
    }
}

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(Root) });
}}
