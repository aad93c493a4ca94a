//! The same module without the engine, for the difference: `cargo xtask bench pii`.
#![expect(unsafe_code, reason = "the name of an export is the module's own")]

/// Makes a text of the length. Says how long it is.
#[unsafe(no_mangle)]
pub extern "C" fn run(length: usize) -> usize {
    let text = vec![b'a'; length];
    String::from_utf8_lossy(&text).into_owned().len()
}
