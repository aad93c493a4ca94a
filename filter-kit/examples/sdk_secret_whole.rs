//! The plugin of docs/testing-a-plugin.md, mended.
#![cfg(target_arch = "wasm32")]
#![allow(missing_docs, reason = "the SDK's macro makes an export without any")]

#[path = "secret/plugin.rs"]
mod plugin;

proxy_wasm::main! {{
    plugin::start::<true>();
}}
