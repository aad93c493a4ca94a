//! Runs the conformance plan on this crate's host: `conformance PROBE.wasm FOLDER` prints a line of JSON for every run.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program of the host: it has arguments, and what it prints is its product"
)]

use harness::{
    Clusters, FailurePolicy, Module, Options, Place, Vm, World,
    conformance::{self, DEATHS, Kind, POLICIES, Run, Sheet},
    mock::Mocks,
    scenario::Scenario,
};
use std::{env, error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(module), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("usage: conformance PROBE.wasm FOLDER".into());
    };
    let module = Module::load(&fs::read(module)?)?;
    let sheets = conformance::load(Path::new(&folder))?;
    let clusters = Clusters::new(Mocks::start(&conformance::clusters()));
    let world = World::default();
    for sheet in sheets.iter().filter(|sheet| sheet.kinds.contains(&Kind::Root)) {
        let options = options(&sheets, Some(&sheet.name));
        // A canary, then the main thread and the one worker.
        let mut all = Vec::new();
        for _ in 0..3 {
            let mut vm = started(&module, &options, &world)?;
            vm.notify()?;
            all.extend(lines(&vm));
        }
        print(&Run { lines: all, ..Run::of(&sheet.name, Kind::Root) })?;
    }
    let mut vm = started(&module, &options(&sheets, None), &world)?;
    for sheet in &sheets {
        for kind in sheet.kinds.iter().copied().filter(|kind| !matches!(kind, Kind::Root | Kind::Trap)) {
            let exchange = conformance::exchange(&sheet.name, kind);
            let outcome = vm.exchange(&Scenario::default(), &exchange, &clusters);
            if let Some(trap) = vm.trap() {
                if !trap.message.starts_with("Envoy itself ends") {
                    return Err(format!("{} {kind:?}: {trap}", sheet.name).into());
                }
                print(&Run { lines: vec![conformance::CRASH.to_owned()], ..Run::of(&sheet.name, kind) })?;
                vm = started(&module, &options(&sheets, None), &world)?;
                continue;
            }
            print(&Run {
                lines: lines(&vm),
                status: outcome.status,
                response_headers: outcome.response_headers,
                response_body: outcome.response_body,
                request_headers: outcome.request_headers,
                request_body: outcome.request_body,
                ..Run::of(&sheet.name, kind)
            })?;
        }
    }
    for sheet in sheets.iter().filter(|sheet| sheet.kinds.contains(&Kind::Trap)) {
        for (policy, _) in POLICIES {
            print(&trapped(&module, &sheets, sheet, policy, &world, &clusters)?)?;
        }
    }
    Ok(())
}

/// A VM dies, and is asked again at once and after a while.
fn trapped(
    module: &Module,
    sheets: &[Sheet],
    sheet: &Sheet,
    policy: &str,
    world: &World,
    clusters: &Clusters,
) -> Result<Run, Box<dyn Error>> {
    let options = Options {
        vm_id: conformance::trap_id(&sheet.name, policy),
        failure_policy: match policy {
            "open" => FailurePolicy::Open,
            "reload" => FailurePolicy::Reload,
            _ => FailurePolicy::Closed,
        },
        ..options(sheets, None)
    };
    let mut vm = started(module, &options, world)?;
    let mut run = Run::of(&conformance::trap_id(&sheet.name, policy), Kind::Trap);
    for (is_deadly, pause) in DEATHS {
        let name = if is_deadly { sheet.name.as_str() } else { "none" };
        vm.advance(pause);
        let exchange = conformance::exchange(name, Kind::Trap);
        let outcome = vm.exchange(&Scenario::default(), &exchange, clusters);
        run.lines.push(format!("then {:?} {:?}", outcome.status, outcome.response_body.lossy()));
        run.status = outcome.status;
    }
    Ok(run)
}

fn options(sheets: &[Sheet], root: Option<&str>) -> Options {
    Options {
        vm_config: conformance::vm_configuration(sheets, root).into_bytes(),
        vm_id: conformance::vm_id(root),
        plugin_name: "probe".to_owned(),
        root_id: "probe-root".to_owned(),
        place: Place {
            node_id: "node-id".to_owned(),
            node_cluster: "node-cluster".to_owned(),
            filter_chain: "chain-one".to_owned(),
            virtual_host: "host-one".to_owned(),
            route: "route-one".to_owned(),
        },
        clusters: conformance::clusters().into_keys().chain(["empty".to_owned()]).collect(),
        empty_clusters: ["empty".to_owned()].into(),
        ..Options::default()
    }
}

fn started(module: &Module, options: &Options, world: &World) -> Result<Vm, Box<dyn Error>> {
    let mut vm = Vm::in_world(module, options, world)?;
    vm.configure(Some(b"plugin config"))?;
    Ok(vm)
}

fn lines(vm: &Vm) -> Vec<String> {
    vm.log().iter().map(|line| line.text.clone()).collect()
}

fn print(run: &Run) -> Result<(), Box<dyn Error>> {
    println!("{}", serde_json::to_string(run)?);
    Ok(())
}
