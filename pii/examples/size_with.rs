//! A module with the engine, for its size: `cargo xtask bench pii`.
#![expect(unsafe_code, reason = "the name of an export is the module's own")]

use pii::{Engine, Place};

/// Redacts the text at a place of the memory. Says how long it is then.
#[unsafe(no_mangle)]
pub extern "C" fn run(length: usize) -> usize {
    let text = vec![b'a'; length];
    Engine::default().redact(&text, Place::Text, None).as_str().len()
}
