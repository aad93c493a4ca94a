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

/// The most modules that are kept.
const KEPT: usize = 64;

/// The length of the digest that stands before a compiled module.
const DIGEST: usize = 32;

/// The folder of compiled modules: `$OUTRIGGER_CACHE`, or `outrigger` in `$XDG_CACHE_HOME` or `~/.cache`. None where the variable is empty or none of
/// these is set.
pub fn cache_folder() -> Option<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value: &OsString| !value.is_empty());
    if let Some(folder) = env::var_os(CACHE) {
        return (!folder.is_empty()).then(|| PathBuf::from(folder));
    }
    let home = || set("HOME").map(|home| PathBuf::from(home).join(".cache"));
    set("XDG_CACHE_HOME").map(PathBuf::from).or_else(home).map(|cache| cache.join("outrigger"))
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
        prune(folder);
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

/// Takes out the modules that were compiled first, beyond so many.
fn prune(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "compiled"))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    files.sort();
    for (_, file) in files.iter().take(files.len().saturating_sub(KEPT)) {
        drop(fs::remove_file(file));
    }
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

#[cfg(test)]
mod tests {
    use super::{DIGEST, KEPT, compile};
    use std::{env, fs, process};
    use wasmtime::Engine;

    #[test]
    fn a_module_is_read_back_unless_the_cache_was_changed_and_old_ones_go() {
        let folder = env::temp_dir().join(format!("outrigger-cache-{}", process::id()));
        let (engine, bytes) = (Engine::default(), wat::parse_str("(module (func (export \"a\")))").unwrap());
        let files = || fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
        compile(&engine, &bytes, Some(&folder)).unwrap();
        let [file] = files().try_into().unwrap();
        let kept = fs::read(&file).unwrap();
        assert!(compile(&engine, &bytes, Some(&folder)).unwrap().get_export("a").is_some());
        // One that was cut off or changed is compiled anew, and written.
        for broken in [&kept[..DIGEST + 7], &[&kept[..DIGEST], b"x", &kept[DIGEST + 1..]].concat()] {
            fs::write(&file, broken).unwrap();
            assert!(compile(&engine, &bytes, Some(&folder)).unwrap().get_export("a").is_some());
            assert_eq!(fs::read(&file).unwrap().len(), kept.len());
        }
        for number in 0..KEPT + 3 {
            fs::write(folder.join(format!("{number}.compiled")), "").unwrap();
        }
        fs::remove_file(&file).unwrap();
        compile(&engine, &bytes, Some(&folder)).unwrap();
        assert_eq!(files().len(), KEPT);
        fs::remove_dir_all(&folder).unwrap();
        assert!(compile(&engine, &bytes, None).is_ok() && !folder.exists());
    }
}
