//! Compiled modules that are kept: Cranelift takes a second for what is read back in milliseconds.
//!
//! Who can write to the cache can have this program run any code, as with cargo's target folder. Keep it where only you can write.

use sha2::{Digest as _, Sha256};
use std::{
    collections::hash_map::DefaultHasher,
    env,
    ffi::OsString,
    fmt::Write as _,
    fs,
    hash::{Hash as _, Hasher as _},
    path::{Path, PathBuf},
    process,
};
use wasmtime::{Engine, Module};

/// The variable of the environment that names the folder of compiled modules; nothing is none.
pub const CACHE: &str = "OUTRIGGER_CACHE";

/// The length of the digest that stands before a compiled module.
const DIGEST: usize = 32;

/// The folder of compiled modules: `$OUTRIGGER_CACHE`, or `outrigger` in `$XDG_CACHE_HOME` or `~/.cache`. None where the variable is empty or none of
/// these is set.
pub fn cache_folder() -> Option<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value: &OsString| !value.is_empty());
    match env::var_os(CACHE) {
        Some(folder) => (!folder.is_empty()).then(|| PathBuf::from(folder)),
        None => {
            let home = || set("HOME").map(|home| PathBuf::from(home).join(".cache"));
            set("XDG_CACHE_HOME").map(PathBuf::from).or_else(home).map(|cache| cache.join("outrigger"))
        }
    }
}

/// Compiles a module, or reads it back if it has been compiled before by this engine. What cannot be read or written of the cache is done without.
pub(super) fn compile(engine: &Engine, bytes: &[u8], folder: Option<&Path>) -> wasmtime::Result<Module> {
    let Some(folder) = folder else { return Module::from_binary(engine, bytes) };
    let file = folder.join(name(engine, bytes));
    if let Some(module) = read(engine, &file) {
        return Ok(module);
    }
    let module = Module::from_binary(engine, bytes)?;
    if let Ok(compiled) = module.serialize() {
        // Under another name first: who reads meanwhile sees all of it or nothing.
        let draft = file.with_extension(process::id().to_string());
        let kept = [&Sha256::digest(&compiled)[..], &compiled].concat();
        let written = fs::create_dir_all(folder).and_then(|()| fs::write(&draft, kept));
        drop(written.and_then(|()| fs::rename(&draft, &file)));
    }
    Ok(module)
}

/// A file for each module and engine.
fn name(engine: &Engine, bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let mut name = String::new();
    for byte in Sha256::digest(bytes) {
        let _ = write!(name, "{byte:02x}");
    }
    format!("{name}-{:016x}.compiled", hasher.finish())
}

fn read(engine: &Engine, file: &Path) -> Option<Module> {
    let kept = fs::read(file).ok()?;
    let (digest, compiled) = kept.split_at_checked(DIGEST)?;
    if Sha256::digest(compiled)[..] != *digest {
        return None;
    }
    #[expect(
        unsafe_code,
        reason = "what is read was written by this program, whole, for this engine: the digest and wasmtime's own header say so"
    )]
    // SAFETY: the bytes are those that `Module::serialize` gave, as long as nobody else writes to the cache.
    unsafe { Module::deserialize(engine, compiled) }.ok()
}
