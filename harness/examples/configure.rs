//! How long a configuration of many rules takes the module of policy, in instructions and in milliseconds, and how much memory: `configure MODULE`.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program of the host: it has arguments and a clock, and what it prints is its product"
)]

use harness::{Module, Options, Vm};
use serde_json::json;
use std::{env, error::Error, fs, time::Instant};

fn main() -> Result<(), Box<dyn Error>> {
    let Some(module) = env::args().nth(1) else { return Err("usage: configure MODULE".into()) };
    let module = Module::load(&fs::read(module)?)?;
    println!("| rules | bytes | instructions | ms | memory up to, MB |");
    for count in [10, 100, 1_000, 10_000] {
        let rule = |n| json!({"to": [{"operation": {"paths": [format!("/service{n}/items*")], "methods": ["POST"]}}]});
        let rules: Vec<_> = (0..count).map(rule).collect();
        let policy = json!({"metadata": {"name": "p", "namespace": "shop"}, "spec": {"action": "DENY", "rules": rules}});
        let config = json!({"policies": [policy]}).to_string();
        let fits = |megabytes: usize| {
            let options = Options { memory: megabytes << 20, ..Options::default() };
            let vm = Vm::new(&module, &options);
            vm.is_ok_and(|mut vm| vm.configure(Some(config.as_bytes())).is_ok())
        };
        let memory = (1..=64).find(|megabytes| fits(*megabytes)).unwrap_or(0);
        let mut vm = Vm::new(&module, &Options::default())?;
        let (before, begun) = (vm.fuel(), Instant::now());
        vm.configure(Some(config.as_bytes()))?;
        let (fuel, elapsed) = (vm.fuel() - before, begun.elapsed());
        println!("| {count} | {} | {fuel} | {:.1} | {memory} |", config.len(), elapsed.as_secs_f64() * 1e3);
    }
    Ok(())
}
