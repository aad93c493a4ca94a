//! Runs the conformance plan on this crate's host: `conformance PROBE.wasm FOLDER` prints a line of JSON for every run.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program of the host: it has arguments, and what it prints is its product"
)]

use harness::{
    FailurePolicy, Module, Options, Place, Proxy, Settings,
    conformance::{self, DEATHS, Kind, POLICIES, Run, Sheet},
};
use std::{env, error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(module), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("usage: conformance PROBE.wasm FOLDER".into());
    };
    let module = Module::load(&fs::read(module)?)?;
    let sheets = conformance::load(Path::new(&folder))?;
    let main = options(&sheets, None);
    let mut proxy = proxy();
    // All in one proxy: stats, shared data and tokens are everybody's.
    for sheet in sheets.iter().filter(|sheet| sheet.kinds.contains(&Kind::Root)) {
        add(&mut proxy, &sheet.name, &module, &options(&sheets, Some(&sheet.name)))?;
        proxy.settle();
        print(&Run { lines: lines(&mut proxy), ..Run::of(&sheet.name, Kind::Root) })?;
    }
    add(&mut proxy, "", &module, &main)?;
    for sheet in &sheets {
        for kind in sheet.kinds.iter().copied().filter(|kind| !matches!(kind, Kind::Root | Kind::Trap)) {
            let outcome = proxy.exchange(&conformance::exchange(&sheet.name, kind));
            if let Some(trap) = proxy.traps().first() {
                if !trap.message.starts_with("Envoy itself ends") {
                    return Err(format!("{} {kind:?}: {trap}", sheet.name).into());
                }
                print(&Run { lines: vec![conformance::CRASH.to_owned()], ..Run::of(&sheet.name, kind) })?;
                proxy = self::proxy();
                add(&mut proxy, "", &module, &main)?;
                continue;
            }
            print(&Run {
                lines: lines(&mut proxy),
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
            print(&trapped(&module, &sheets, sheet, policy)?)?;
        }
    }
    Ok(())
}

/// A VM dies, and is asked again at once and after a while.
fn trapped(module: &Module, sheets: &[Sheet], sheet: &Sheet, policy: &str) -> Result<Run, Box<dyn Error>> {
    let options = Options {
        vm_id: conformance::trap_id(&sheet.name, policy),
        failure_policy: match policy {
            "open" => FailurePolicy::Open,
            "reload" => FailurePolicy::Reload,
            _ => FailurePolicy::Closed,
        },
        ..options(sheets, None)
    };
    let mut proxy = proxy();
    add(&mut proxy, "", module, &options)?;
    let mut run = Run::of(&conformance::trap_id(&sheet.name, policy), Kind::Trap);
    for (is_deadly, pause) in DEATHS {
        let name = if is_deadly { sheet.name.as_str() } else { "none" };
        proxy.advance(pause);
        let outcome = proxy.exchange(&conformance::exchange(name, Kind::Trap));
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
        ..Options::default()
    }
}

fn proxy() -> Proxy {
    Proxy::new(Settings {
        place: Place {
            node_id: "node-id".to_owned(),
            node_cluster: "node-cluster".to_owned(),
            filter_chain: "chain-one".to_owned(),
            virtual_host: "host-one".to_owned(),
            route: "route-one".to_owned(),
        },
        clusters: conformance::clusters(),
        patience: conformance::PATIENCE,
        ..Settings::default()
    })
}

fn add(proxy: &mut Proxy, chain: &str, module: &Module, options: &Options) -> Result<(), Box<dyn Error>> {
    proxy.add_to(chain, module, options, Some(b"plugin config"))?;
    Ok(())
}

fn lines(proxy: &mut Proxy) -> Vec<String> {
    proxy.take_log().into_iter().map(|(_, line)| line.text).collect()
}

fn print(run: &Run) -> Result<(), Box<dyn Error>> {
    println!("{}", serde_json::to_string(run)?);
    Ok(())
}
