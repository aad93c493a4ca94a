//! The plugin of docs/testing-a-plugin.md, with its mistake: it looks at each part of a body by itself.
#![cfg(target_arch = "wasm32")]
#![allow(missing_docs, reason = "the SDK's macro makes an export without any")]

#[path = "secret/plugin.rs"]
mod plugin;

proxy_wasm::main! {{
    plugin::start::<false>();
}}
