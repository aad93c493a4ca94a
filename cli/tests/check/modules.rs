//! Modules of a few lines, in place of the project's own: what is tested is the tool.

use std::{fs, path::Path};

/// Writes the modules into a folder: each takes any configuration, but for `refuses`, which logs what our filters log and refuses, and `traps`.
/// `drops` takes it and warns, `tries` takes it without its candidate.
pub fn write(folder: &Path) {
    let take = "(func (export \"proxy_on_configure\") (param i32 i32) (result i32) (i32.const 1))";
    let refuse = r#"
        (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
        (data (i32.const 8) "refuses: configuration refused: experiments[0].arms: must not be empty")
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
          (drop (call $log (i32.const 4) (i32.const 8) (i32.const 70))) (i32.const 0))"#;
    let drop = r#"
        (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
        (data (i32.const 8) "drops: configuration: experiments[0].name: Istio drops the rule")
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
          (drop (call $log (i32.const 3) (i32.const 8) (i32.const 63))) (i32.const 1))"#;
    let try_it = r#"
        (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
        (data (i32.const 8) "policy: candidate refused: candidate.policies[0]: must be an object")
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
          (drop (call $log (i32.const 4) (i32.const 8) (i32.const 66))) (i32.const 1))"#;
    let trap = "(func (export \"_initialize\") unreachable)";
    for name in ["ab-routing", "access-log", "policy", "metrics", "all-in-one"] {
        module(folder, name, take);
    }
    module(folder, "refuses", refuse);
    module(folder, "drops", drop);
    module(folder, "tries", try_it);
    module(folder, "traps", trap);
}

fn module(folder: &Path, name: &str, more: &str) {
    let (import, rest) = match more.trim().split_once('\n') {
        Some((first, rest)) if first.contains("import") => (first, rest),
        _ => ("", more),
    };
    let text = format!(
        r#"(module {import} (memory (export "memory") 1) {rest}
          (func (export "proxy_abi_version_0_2_1"))
          (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 4096)))"#
    );
    fs::write(folder.join(format!("{name}.wasm")), wat::parse_str(text).unwrap()).unwrap();
}
