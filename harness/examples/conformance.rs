//! Runs the conformance plan on this crate's host: `conformance PROBES FOLDER` prints a line of JSON for every run. PROBES is the folder of the
//! probes' modules, a file for each version of the ABI.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program of the host: it has arguments, and what it prints is its product"
)]

use harness::{
    FailurePolicy, Module, Options, Place, Proxy, Settings,
    conformance::{self, Abi, DEATHS, Kind, Listener, POLICIES, Run, Sheet},
};
use std::{env, error::Error, fs, path::Path, time::Duration};

/// How long what goes on in root contexts is waited for.
const SETTLING: Duration = Duration::from_secs(1);

/// The sheets, and the probes by the ABIs.
struct Plan {
    sheets: Vec<Sheet>,
    modules: Vec<(Abi, Module)>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(probes), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("usage: conformance PROBES FOLDER".into());
    };
    let plan = Plan {
        sheets: conformance::load(Path::new(&folder))?,
        modules: Abi::ALL
            .iter()
            .map(|abi| {
                let file = Path::new(&probes).join(abi.probe());
                Ok::<_, Box<dyn Error>>((*abi, Module::load(&fs::read(file)?)?))
            })
            .collect::<Result<_, _>>()?,
    };
    plan.modules()?;
    for group in conformance::groups(&plan.sheets) {
        // All of a group in one proxy: stats, shared data and tokens are everybody's.
        let mut proxy = fresh(group.workers());
        for sheet in &group.roots {
            let listener = conformance::of_root(sheet);
            plan.add(&mut proxy, &listener)?;
            proxy.advance(SETTLING);
            let mut lines = lines(&mut proxy, &listener);
            lines.extend(conformance::stats(&sheet.name, &proxy.metrics()));
            print(&Run { lines, ..Run::of(&sheet.name, Kind::Root) })?;
        }
        if let Some((site, sheets)) = &group.exchanges {
            plan.exchanges(&mut proxy, &conformance::of_exchanges(site), sheets)?;
        }
        for sheet in &group.deaths {
            for policy in POLICIES {
                print(&plan.deaths(sheet, &conformance::of_deaths(sheet, policy))?)?;
            }
        }
    }
    Ok(())
}

impl Plan {
    /// Which modules are loaded at all.
    fn modules(&self) -> Result<(), Box<dyn Error>> {
        for sheet in self.sheets.iter().filter(|sheet| sheet.kinds.contains(&Kind::Module)) {
            let module = Module::load(&wat::parse_str(sheet.lines.join("\n"))?);
            let is_fine = module.is_ok_and(|module| {
                Proxy::new(Settings::default()).add(&module, &Options::default(), Some(b"{}")).is_ok()
            });
            let verdict = if is_fine { "runs" } else { "refused" };
            print(&Run { lines: vec![verdict.to_owned()], ..Run::of(&sheet.name, Kind::Module) })?;
        }
        Ok(())
    }

    /// All exchanges that go through a site's listener.
    fn exchanges(
        &self,
        proxy: &mut Proxy,
        listener: &Listener,
        sheets: &[&Sheet],
    ) -> Result<(), Box<dyn Error>> {
        let runs = sheets.iter().flat_map(|sheet| sheet.kinds.iter().map(move |kind| (sheet, *kind)));
        self.add(proxy, listener)?;
        for (sheet, kind) in runs.filter(|(_, kind)| kind.is_exchange()) {
            let outcome = proxy.exchange_on(&listener.name, 0, &conformance::exchange(&sheet.name, kind));
            if let Some(trap) = proxy.traps().first() {
                if !trap.message.starts_with("Envoy itself ends") {
                    return Err(format!("{} {kind:?}: {trap}", sheet.name).into());
                }
                print(&Run { lines: vec![conformance::CRASH.to_owned()], ..Run::of(&sheet.name, kind) })?;
                *proxy = fresh(1);
                self.add(proxy, listener)?;
                continue;
            }
            print(&Run {
                lines: lines(proxy, listener),
                status: outcome.status,
                response_headers: outcome.response_headers,
                response_body: outcome.response_body,
                upstream: outcome.upstream,
                request_headers: outcome.request_headers,
                request_body: outcome.request_body,
                ..Run::of(&sheet.name, kind)
            })?;
        }
        Ok(())
    }

    /// A VM dies, and is asked again at once and after a while.
    fn deaths(&self, sheet: &Sheet, listener: &Listener) -> Result<Run, Box<dyn Error>> {
        let mut proxy = fresh(1);
        self.add(&mut proxy, listener)?;
        let mut run = Run::of(&listener.name, Kind::Trap);
        for (is_deadly, pause) in DEATHS {
            let name = if is_deadly { sheet.name.as_str() } else { "none" };
            proxy.advance(pause);
            let outcome = proxy.exchange_on(&listener.name, 0, &conformance::exchange(name, Kind::Trap));
            run.lines.extend(conformance::of_streams(lines(&mut proxy, listener)));
            run.lines.push(format!("then {:?} {:?}", outcome.status, outcome.response_body.lossy()));
            run.status = outcome.status;
        }
        Ok(run)
    }

    /// Adds a listener's chain.
    fn add(&self, proxy: &mut Proxy, listener: &Listener) -> Result<(), Box<dyn Error>> {
        let root = listener.root.as_deref();
        let vm_config = conformance::vm_configuration(&self.sheets, root).into_bytes();
        for probe in listener.site.probes {
            let options = Options {
                vm_config: vm_config.clone(),
                vm_id: listener.vm_id(probe),
                plugin_name: "probe".to_owned(),
                root_id: probe.name.to_owned(),
                allow_on_headers_stop_iteration: probe.stops_headers_alone,
                failure_policy: match listener.policy {
                    Some("FAIL_OPEN") => FailurePolicy::Open,
                    Some("FAIL_RELOAD") => FailurePolicy::Reload,
                    _ => FailurePolicy::Closed,
                },
                ..Options::default()
            };
            let module = self.modules.iter().find(|(abi, _)| *abi == probe.abi);
            let (_, module) = module.ok_or("there is no probe of this ABI")?;
            proxy.add_to(&listener.name, module, &options, Some(b"plugin config"))?;
        }
        Ok(())
    }
}

fn fresh(workers: usize) -> Proxy {
    Proxy::new(Settings {
        workers,
        place: Place {
            node_id: "node-id".to_owned(),
            node_cluster: "node-cluster".to_owned(),
            filter_chain: "chain-one".to_owned(),
            virtual_host: "host-one".to_owned(),
            route: "route-one".to_owned(),
        },
        routes: conformance::routes(),
        clusters: conformance::clusters(),
        patience: conformance::PATIENCE,
        ..Settings::default()
    })
}

fn lines(proxy: &mut Proxy, listener: &Listener) -> Vec<String> {
    let log = proxy.take_log();
    listener.lines(log.iter().map(|(vm, line)| (vm.as_str(), line.text.as_str())))
}

fn print(run: &Run) -> Result<(), Box<dyn Error>> {
    println!("{}", serde_json::to_string(run)?);
    Ok(())
}
