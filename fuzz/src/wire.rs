//! What the harness reads: scenario files, and what a module hands it.

use harness::{Module, Options, Proxy, Settings, scenario};
use std::{cell::RefCell, env, fs, path::PathBuf};

/// A scenario file is read, or refused with a reason.
pub fn scenario(bytes: &[u8]) {
    thread_local! {
        static FILE: PathBuf = env::temp_dir().join(format!("outrigger-fuzz-{}.toml", std::process::id()));
    }
    FILE.with(|file| {
        fs::write(file, bytes).expect("a temporary file");
        if let Err(error) = scenario::load_file(file) {
            assert!(!error.to_string().is_empty());
        }
    });
}

/// A module that makes any calls of the host with any bytes: maps of pairs that are none, paths, names, tokens. It may trap; the host may not.
pub fn calls(bytes: &[u8]) {
    thread_local! {
        static PROBE: RefCell<Option<Module>> = const { RefCell::new(None) };
    }
    let Ok(sheet) = std::str::from_utf8(bytes) else { return };
    PROBE.with_borrow_mut(|probe| {
        let module = probe.get_or_insert_with(|| {
            let path = env::var("OUTRIGGER_PROBE")
                .expect("OUTRIGGER_PROBE is the probe: `cargo xtask fuzz` builds it");
            Module::load(&fs::read(path).expect("the probe")).expect("a module")
        });
        let options = Options {
            vm_config: ["root s\n= s\n", sheet].concat().into_bytes(),
            fuel: 50_000_000,
            memory: 64 << 20,
            ..Options::default()
        };
        let mut proxy = Proxy::new(Settings::default());
        if proxy.add(module, &options, None).is_err() {
            return;
        }
        let mut exchange = scenario::Exchange::default();
        exchange.request.headers.push((harness::Bytes::from("x-probe"), harness::Bytes::from("s")));
        exchange.request.chunks = vec!["a body".into()];
        exchange.response.chunks = vec!["another".into()];
        proxy.exchange(&exchange);
        proxy.settle();
    });
}
