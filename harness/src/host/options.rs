//! What a proxy and its plugins are started with.

use crate::scenario::{Cluster, Route};
use std::{collections::BTreeMap, time::Duration};

/// The most instructions of one callback by default, in wasmtime's units of fuel; about a second.
const FUEL: u64 = 1_000_000_000;

/// The most memory of a VM by default, in bytes.
const MEMORY: usize = 256 << 20;

/// A proxy: what is the same for all its plugins.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the clock stands at first, in nanoseconds since 1970. It goes on with what happens, and never by itself.
    pub clock: u64,
    /// The seed of what the proxy itself draws: request ids.
    pub seed: u64,
    /// How many worker threads there are, 1..=64. Each has a VM of its own for every plugin, and so has the main thread.
    pub workers: usize,
    /// Where the plugins are, as `xds` properties tell it.
    pub place: Place,
    /// The routes, the first that matches; a request that none matches goes to the upstream `v1`.
    pub routes: Vec<Route>,
    /// The clusters that callouts can go to.
    pub clusters: BTreeMap<String, Cluster>,
    /// How long a client waits for its answer.
    pub patience: Duration,
}

impl Default for Settings {
    /// The first second of 2026, seed 0, one worker, no clusters, and a client that waits for 15 seconds.
    fn default() -> Self {
        Self {
            clock: 1_767_225_600_000_000_000,
            seed: 0,
            workers: 1,
            place: Place::default(),
            routes: Vec::new(),
            clusters: BTreeMap::new(),
            patience: Duration::from_secs(15),
        }
    }
}

/// Where a plugin is, as `xds` properties tell it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The proxy's id.
    pub node_id: String,
    /// The proxy's own cluster.
    pub node_cluster: String,
    /// The filter chain.
    pub filter_chain: String,
    /// The virtual host.
    pub virtual_host: String,
    /// The route, where the one that matches has no name.
    pub route: String,
}

/// A plugin and its VM. Plugins of one module with the same `vm_id` and `vm_config` share their VMs, which the first of them starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The seed of the VM's random source.
    pub seed: u64,
    /// The lowest level that is logged: 0 is trace, 2 info, 5 critical.
    pub log_level: u32,
    /// The VM's configuration.
    pub vm_config: Vec<u8>,
    /// The VM's environment.
    pub environment: BTreeMap<String, String>,
    /// The VM's id.
    pub vm_id: String,
    /// The plugin's name.
    pub plugin_name: String,
    /// The plugin's root id.
    pub root_id: String,
    /// What becomes of requests when the VM is dead.
    pub failure_policy: FailurePolicy,
    /// How long a VM stays dead at least before it is started anew. Envoy adds up to half of it, by chance; this host adds nothing.
    pub reload_interval: Duration,
    /// Whether 1 out of a headers callback stops the headers alone, as `allow_on_headers_stop_iteration` has it, and not all that follows too.
    pub allow_on_headers_stop_iteration: bool,
    /// The most instructions of one callback, in wasmtime's units of fuel. A callback that needs more traps.
    pub fuel: u64,
    /// The most memory, in bytes. What asks for more does not get it.
    pub memory: usize,
    /// A callback or a function of the host that `capability_restriction_config` leaves out: the callback does not come, and the function does nothing and
    /// answers 10, or 76 if it is WASI's.
    pub without: Option<String>,
}

impl Options {
    /// Whether the module may not be called by this name, or call it.
    pub(super) fn leaves_out(&self, name: &str) -> bool {
        self.without.as_deref() == Some(name)
    }
}

impl Default for Options {
    /// What is logged at info and above, about a second for a callback, and Envoy's defaults.
    fn default() -> Self {
        Self {
            seed: 0,
            log_level: 2,
            vm_config: Vec::new(),
            environment: BTreeMap::new(),
            vm_id: String::new(),
            plugin_name: "plugin".to_owned(),
            root_id: String::new(),
            failure_policy: FailurePolicy::default(),
            reload_interval: Duration::from_secs(1),
            allow_on_headers_stop_iteration: false,
            fuel: FUEL,
            memory: MEMORY,
            without: None,
        }
    }
}

/// What becomes of requests when a trap has killed the VM. The request that it trapped on gets 503 in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FailurePolicy {
    /// They get 503, until the plugin is configured anew. What Envoy 1.40 does unless told otherwise.
    #[default]
    Closed,
    /// They pass without the plugin.
    Open,
    /// The VM starts anew with the first of them that comes [`Options::reload_interval`] or more after its last start; until then they get 503.
    Reload,
}
