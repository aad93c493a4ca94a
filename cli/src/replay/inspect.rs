//! `outrigger inspect`: what a module is, and what a host must offer.

use comfy_table::Table;
use serde::Serialize;
use std::{fs, path::PathBuf, process::ExitCode};
use wasmparser::{ExternalKind, Parser, Payload, TypeRef};

/// Says what a module is: its ABI, callbacks, imports, size, and what a host must offer.
///
///   outrigger inspect dist/ab-routing.wasm
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The module.
    wasm: PathBuf,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

/// What a module is.
#[derive(Debug, Default, Serialize)]
pub struct Facts {
    /// The version of the ABI, by its export.
    pub abi: Option<String>,
    /// The size in bytes, and that of its code and data.
    bytes: usize,
    code_bytes: usize,
    data_bytes: usize,
    /// The callbacks that the host calls.
    callbacks: Vec<String>,
    /// Other exports.
    exports: Vec<String>,
    /// Functions of the ABI that it calls, and of WASI.
    host_functions: Vec<String>,
    wasi_functions: Vec<String>,
    /// Imports that no Proxy-Wasm host has.
    unknown_imports: Vec<String>,
    /// Whether it needs vectors of 128 bits.
    simd: bool,
    /// Pages of 64 KB that its memory begins with, and the most.
    memory_pages: u64,
    memory_limit: Option<u64>,
    /// Custom sections.
    sections: Vec<String>,
}

impl Facts {
    /// Whether the module has a custom section of this name.
    pub fn has_section(&self, name: &str) -> bool {
        self.sections.iter().any(|section| section.split_once(" (").is_some_and(|(found, _)| found == name))
    }
}

/// Runs the command.
///
/// # Errors
/// The file cannot be read, or is no module: exit code 2.
pub fn run(args: &Args) -> Result<ExitCode, String> {
    let name = args.wasm.display();
    let bytes = fs::read(&args.wasm).map_err(|error| format!("{name}: {error}"))?;
    let facts = read(&bytes).map_err(|error| format!("{name}: is no module: {error}"))?;
    if args.json {
        anstream::println!("{}", serde_json::to_string(&facts).map_err(|error| error.to_string())?);
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new();
    table.set_header(["module", &name.to_string()]);
    let mut row = |what: &str, value: String| {
        if !value.is_empty() {
            table.add_row([what.to_owned(), value]);
        }
    };
    row("ABI", facts.abi.clone().unwrap_or_else(|| "none: no host of Proxy-Wasm runs it".to_owned()));
    row("bytes", format!("{} (code {}, data {})", facts.bytes, facts.code_bytes, facts.data_bytes));
    let limit = facts.memory_limit.map_or_else(String::new, |limit| format!(", at most {} KB", limit * 64));
    row("memory at first", format!("{} KB{limit}", facts.memory_pages * 64));
    row("callbacks", facts.callbacks.join("\n"));
    row("other exports", facts.exports.join("\n"));
    row("host functions", facts.host_functions.join("\n"));
    row("WASI functions", facts.wasi_functions.join("\n"));
    row("imports that no host has", facts.unknown_imports.join("\n"));
    row("needs SIMD", if facts.simd { "yes".to_owned() } else { "no".to_owned() });
    row("custom sections", facts.sections.join("\n"));
    anstream::println!("{table}");
    Ok(ExitCode::SUCCESS)
}

/// Reads what a module is.
///
/// # Errors
/// The bytes are no module.
pub fn read(bytes: &[u8]) -> Result<Facts, wasmparser::BinaryReaderError> {
    let mut facts = Facts { bytes: bytes.len(), ..Facts::default() };
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let import = import?;
                    if !matches!(import.ty, TypeRef::Func(_)) {
                        continue;
                    }
                    let list = match import.module {
                        "env" if import.name.starts_with("proxy_") => &mut facts.host_functions,
                        "wasi_snapshot_preview1" | "wasi_unstable" => &mut facts.wasi_functions,
                        _ => &mut facts.unknown_imports,
                    };
                    list.push(import.name.to_owned());
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export?;
                    if export.kind != ExternalKind::Func {
                        continue;
                    }
                    if let Some(version) = export.name.strip_prefix("proxy_abi_version_") {
                        facts.abi = Some(version.replace('_', "."));
                    } else if export.name.starts_with("proxy_on_") {
                        facts.callbacks.push(export.name.to_owned());
                    } else {
                        facts.exports.push(export.name.to_owned());
                    }
                }
            }
            Payload::MemorySection(memories) => {
                for memory in memories {
                    let memory = memory?;
                    (facts.memory_pages, facts.memory_limit) = (memory.initial, memory.maximum);
                }
            }
            Payload::CodeSectionStart { size, .. } => facts.code_bytes = size as usize,
            Payload::CodeSectionEntry(body) if !facts.simd => {
                // The reader knows no vectors, and says so where one comes.
                let mut operators = body.get_operators_reader()?;
                while !operators.eof() {
                    match operators.read() {
                        Ok(_) => {}
                        Err(error) if error.message().contains("SIMD") => {
                            facts.simd = true;
                            break;
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
            Payload::DataSection(data) => {
                facts.data_bytes = usize::try_from(data.range().end - data.range().start).unwrap_or(0);
            }
            Payload::CustomSection(section) => {
                facts.sections.push(format!("{} ({} bytes)", section.name(), section.data().len()));
            }
            _ => {}
        }
    }
    for list in
        [&mut facts.callbacks, &mut facts.exports, &mut facts.host_functions, &mut facts.wasi_functions]
    {
        list.sort();
    }
    Ok(facts)
}
