//! Where sheets run: listeners, each with a chain of probes.

use super::{Kind, Sheet};
use crate::scenario::Route;
use std::time::Duration;

/// A version of the ABI, for which there is a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Abi {
    /// 0.1.0.
    V0_1_0,
    /// 0.2.0.
    V0_2_0,
    /// 0.2.1.
    V0_2_1,
}

impl Abi {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::V0_1_0, Self::V0_2_0, Self::V0_2_1];

    /// The name of its probe's file.
    pub fn probe(self) -> &'static str {
        match self {
            Self::V0_1_0 => "probe-0.1.0.wasm",
            Self::V0_2_0 => "probe-0.2.0.wasm",
            Self::V0_2_1 => "probe-0.2.1.wasm",
        }
    }
}

/// A chain of probes.
#[derive(Debug, PartialEq, Eq)]
pub struct Site {
    /// Its name; a sheet's head names it as `@NAME`.
    pub name: &'static str,
    /// The probes, in the order in which a request passes them.
    pub probes: &'static [Probe],
    /// How many workers there are.
    pub workers: usize,
}

/// A plugin of a chain.
#[derive(Debug, PartialEq, Eq)]
pub struct Probe {
    /// Its root id: a line of a sheet that is for this probe alone names it as `@NAME:callback`.
    pub name: &'static str,
    /// The id of its VM. Probes of one id share theirs.
    pub vm: &'static str,
    /// The ABI that its module is of.
    pub abi: Abi,
    /// Whether a stop out of a headers callback stops the headers alone: `allow_on_headers_stop_iteration`.
    pub stops_headers_alone: bool,
}

const fn probe(name: &'static str, vm: &'static str) -> Probe {
    Probe { name, vm, abi: Abi::V0_2_1, stops_headers_alone: false }
}

const fn old(vm: &'static str, abi: Abi) -> Probe {
    Probe { abi, ..probe("probe-root", vm) }
}

const fn site(name: &'static str, probes: &'static [Probe]) -> Site {
    Site { name, probes, workers: 1 }
}

/// The sites. A sheet that names none runs in the first.
pub const SITES: [Site; 6] = [
    site("main", &[probe("probe-root", "conf")]),
    // The first and the last share a VM, as plugins of one module often do.
    site("chain", &[probe("a", "one"), probe("b", "two"), probe("c", "one")]),
    site("alone", &[Probe { stops_headers_alone: true, ..probe("probe-root", "alone") }]),
    site("abi-0.2.0", &[old("abi-0.2.0", Abi::V0_2_0)]),
    site("abi-0.1.0", &[old("abi-0.1.0", Abi::V0_1_0)]),
    Site { workers: 3, ..site("workers", &[probe("one", "workers"), probe("two", "workers")]) },
];

/// The failure policies: by name, as Envoy calls them, and unset.
pub const POLICIES: [(&str, Option<&str>); 4] = [
    ("unset", None),
    ("closed", Some("FAIL_CLOSED")),
    ("open", Some("FAIL_OPEN")),
    ("reload", Some("FAIL_RELOAD")),
];

/// What is sent to a VM that a sheet kills: whether it is the deadly request, and how long after the one before. A second death comes soon
/// after a VM was started anew, and what follows a third one comes later than a VM stays dead, which does not grow.
pub const DEATHS: [(bool, Duration); 7] = [
    (true, Duration::from_secs(2)),
    (false, Duration::ZERO),
    (true, Duration::ZERO),
    (false, Duration::ZERO),
    (false, Duration::from_millis(1700)),
    (true, Duration::ZERO),
    (false, Duration::from_millis(1700)),
];

/// A listener, and what it is there for.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Its name.
    pub name: String,
    /// Its chain.
    pub site: &'static Site,
    /// What is behind its VMs' ids, so that each listener has VMs of its own.
    suffix: String,
    /// The sheet that its probes run in their root contexts.
    pub root: Option<String>,
    /// The failure policy of its plugins, as Envoy calls it.
    pub policy: Option<&'static str>,
}

impl Listener {
    /// The id of a probe's VM.
    pub fn vm_id(&self, probe: &Probe) -> String {
        format!("{}{}", probe.vm, self.suffix)
    }

    /// Which of the lines that VMs have logged are of this listener's, each with its VM's name where there are several.
    pub fn lines<'l>(&self, log: impl Iterator<Item = (&'l str, &'l str)>) -> Vec<String> {
        let vms: Vec<(String, &str)> =
            self.site.probes.iter().map(|probe| (self.vm_id(probe), probe.vm)).collect();
        let is_one = vms.iter().all(|(id, _)| vms.first().is_some_and(|(first, _)| first == id));
        log.filter_map(|(vm, text)| {
            let (_, name) = vms.iter().find(|(id, _)| id == vm)?;
            Some(if is_one { text.to_owned() } else { format!("{name}| {text}") })
        })
        .collect()
    }
}

/// The site of a name.
pub(super) fn by_name(name: &str) -> Option<&'static Site> {
    SITES.iter().find(|site| site.name == name)
}

/// The listener through which a sheet's exchanges go.
pub fn of_exchanges(site: &'static Site) -> Listener {
    Listener { name: site.name.to_owned(), site, suffix: String::new(), root: None, policy: None }
}

/// The listener whose probes run a sheet in their root contexts.
pub fn of_root(sheet: &Sheet) -> Listener {
    let name = format!("root/{}", sheet.name);
    Listener { suffix: format!("/{name}"), root: Some(sheet.name.clone()), name, ..of_exchanges(sheet.site) }
}

/// The listener whose VMs a sheet kills under a policy.
pub fn of_deaths(sheet: &Sheet, policy: (&str, Option<&'static str>)) -> Listener {
    let name = format!("{}/{}", sheet.name, policy.0);
    Listener { suffix: format!("/{name}"), policy: policy.1, name, ..of_exchanges(sheet.site) }
}

/// Sheets that run in one proxy, which other groups do not touch: groups can run side by side.
#[derive(Debug, Default)]
pub struct Group<'s> {
    /// Those of root contexts.
    pub roots: Vec<&'s Sheet>,
    /// The site whose exchanges go through it, and their sheets.
    pub exchanges: Option<(&'static Site, Vec<&'s Sheet>)>,
    /// Those that kill VMs.
    pub deaths: Vec<&'s Sheet>,
}

/// How many sheets that kill VMs are in a group. They wait most of their time.
const DEATHS_AT_ONCE: usize = 4;

/// The groups, in the order of their runs.
pub fn groups(sheets: &[Sheet]) -> Vec<Group<'_>> {
    let of = |kind: Kind| sheets.iter().filter(move |sheet| sheet.kinds.contains(&kind));
    let mut groups: Vec<Group<'_>> = SITES
        .iter()
        .map(|site| {
            let is_exchange = |sheet: &&Sheet| sheet.kinds.iter().any(|kind| kind.is_exchange());
            let own = sheets.iter().filter(|sheet| sheet.site == site);
            Group {
                roots: own.clone().filter(|sheet| sheet.kinds.contains(&Kind::Root)).collect(),
                exchanges: Some((site, own.filter(is_exchange).collect())),
                deaths: Vec::new(),
            }
        })
        .collect();
    let deadly: Vec<&Sheet> = of(Kind::Trap).collect();
    groups.extend(
        deadly.chunks(DEATHS_AT_ONCE).map(|sheets| Group { deaths: sheets.to_vec(), ..Group::default() }),
    );
    groups.retain(|group| {
        let has_exchanges = group.exchanges.as_ref().is_some_and(|(_, sheets)| !sheets.is_empty());
        has_exchanges || !group.roots.is_empty() || !group.deaths.is_empty()
    });
    groups
}

impl Group<'_> {
    /// How many workers its proxy has.
    pub fn workers(&self) -> usize {
        self.exchanges.as_ref().map_or(1, |(site, _)| site.workers)
    }

    /// The listeners that it needs.
    pub fn listeners(&self) -> Vec<Listener> {
        let deaths = self.deaths.iter().flat_map(|sheet| POLICIES.map(|policy| of_deaths(sheet, policy)));
        let exchanges = self.exchanges.iter().map(|(site, _)| of_exchanges(site));
        exchanges.chain(self.roots.iter().map(|sheet| of_root(sheet))).chain(deaths).collect()
    }

    /// How many exchanges and root contexts it has.
    pub fn len(&self) -> usize {
        let exchanges = self.exchanges.iter().flat_map(|(_, sheets)| sheets).flat_map(|sheet| &sheet.kinds);
        let exchanges = exchanges.filter(|kind| kind.is_exchange()).count();
        exchanges + self.roots.len() + self.deaths.len() * POLICIES.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The routes: by `x-route` to what fails in each way, and to the second upstream; all else to the first.
pub fn routes() -> Vec<Route> {
    let route = |name: &str, upstream: &str| Route {
        name: format!("route-{name}"),
        header: Some(("x-route".to_owned(), name.to_owned())),
        prefix: None,
        upstream: upstream.to_owned(),
        ..Route::default()
    };
    vec![
        route("two", "v2"),
        route("dead", "dead"),
        route("empty", "empty"),
        route("nowhere", "no-such-cluster"),
        Route { timeout_ms: Some(100), ..route("slow", "v1") },
    ]
}
