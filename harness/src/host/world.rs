//! What all VMs of a proxy share: the clock, stats, the log, shared data and queues.

use super::{
    abi::Status,
    metrics::Stats,
    options::{Place, Settings},
    schedule::{Failure, Schedule},
    trace::Trace,
};
use crate::{lint::Finding, outcome::LogLine, scenario::Cluster};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    rc::Rc,
};

/// The most bytes of shared data, and of queues, in a proxy: keys, values and what an entry costs together.
const LIMIT: usize = 64 << 20;
const ENTRY_COST: usize = 128;

/// The most lines of the log that are kept: those beyond are left out.
const LOG_LIMIT: usize = 1 << 20;

/// The most findings of lints that are kept until somebody asks for them.
const FINDING_LIMIT: usize = 100;

/// A foreign function: it gets the argument and gives a result, or a status of the ABI.
pub(crate) type Foreign = Rc<dyn Fn(&[u8]) -> Result<Vec<u8>, u32>>;

/// A proxy, as far as its VMs share it. VMs of one `vm_id` see the same shared data and the same queues; stats are everybody's.
#[derive(Clone, Default)]
pub(crate) struct World(pub(super) Rc<RefCell<Shared>>);

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("World").field(&self.0.borrow().clock).finish()
    }
}

impl World {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self(Rc::new(RefCell::new(Shared {
            clock: settings.clock,
            place: settings.place.clone(),
            clusters: settings.clusters.clone(),
            ..Shared::default()
        })))
    }

    /// A callout is made: how it fails, if an exploration lets it.
    pub(crate) fn make_callout(&self, what: impl FnOnce() -> String) -> Option<Failure> {
        self.0.borrow_mut().schedule.as_mut()?.make(what())
    }

    /// The callout that was made last has got a token of a VM.
    pub(crate) fn number_callout(&self, vm: u64, token: u32) {
        if let Some(schedule) = &mut self.0.borrow_mut().schedule {
            schedule.number(vm, token);
        }
    }

    /// Notes a mistake of a module's, once.
    pub(crate) fn note(&self, finding: Finding) {
        let findings = &mut self.0.borrow_mut().findings;
        if findings.len() < FINDING_LIMIT && !findings.contains(&finding) {
            findings.push(finding);
        }
    }

    /// Takes a step down, where steps are.
    #[inline]
    pub(crate) fn trace(&self, step: impl FnOnce(&mut Trace)) {
        if let Some(trace) = &mut self.0.borrow_mut().trace {
            step(trace);
        }
    }

    /// Notes that a module has called a function of WASI.
    pub(crate) fn calls_wasi(&self, name: &'static str) {
        self.0.borrow_mut().wasi_calls.insert(name);
    }

    /// The time, in nanoseconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        self.0.borrow().clock
    }

    /// Writes a line to the log.
    pub(crate) fn log(&self, vm_id: &str, level: &str, text: String) {
        let log = &mut self.0.borrow_mut().log;
        if log.len() < LOG_LIMIT {
            log.push((vm_id.to_owned(), LogLine { level: level.to_owned(), text }));
        }
    }

    /// The lines of the log behind the first, so many.
    pub(crate) fn log_since(&self, first: usize) -> Vec<LogLine> {
        self.0.borrow().log.iter().skip(first).map(|(_, line)| line.clone()).collect()
    }

    /// How many lines the log has.
    pub(crate) fn log_len(&self) -> usize {
        self.0.borrow().log.len()
    }

    /// All stats by name: counters and gauges with their values, histograms with the count of samples.
    pub(crate) fn metrics(&self) -> BTreeMap<String, u64> {
        self.0.borrow().stats.all()
    }

    /// A number that no other VM has.
    pub(crate) fn next_serial(&self) -> u64 {
        let mut shared = self.0.borrow_mut();
        shared.serial += 1;
        shared.serial
    }
}

/// What is shared.
#[derive(Default)]
pub(crate) struct Shared {
    pub(super) clock: u64,
    pub(super) place: Place,
    pub(super) clusters: BTreeMap<String, Cluster>,
    pub(super) foreign: BTreeMap<String, Foreign>,
    /// Lines of the log, each with its VM's id.
    pub(super) log: Vec<(String, LogLine)>,
    /// What modules do, where it is taken down.
    pub(super) trace: Option<Trace>,
    /// The functions of WASI that modules have called. No trace has them.
    pub(super) wasi_calls: BTreeSet<&'static str>,
    /// What an exploration decides of callouts.
    pub(super) schedule: Option<Schedule>,
    /// What lints have found.
    pub(super) findings: Vec<Finding>,
    serial: u64,
    pub(super) stats: Stats,
    /// Values by VM id and key, each with the number of its last change. The numbers grow over all VM ids.
    data: BTreeMap<(String, Vec<u8>), (Vec<u8>, u32)>,
    changes: u32,
    bytes: usize,
    /// Queues by VM id and name, and by their tokens, which grow over all VM ids.
    tokens: BTreeMap<(String, Vec<u8>), u32>,
    queues: BTreeMap<u32, VecDeque<Vec<u8>>>,
    /// Who is told of a queue: the VM and the root context that registered it last.
    consumers: BTreeMap<u32, (u64, u32)>,
    /// Queues that got something, with those who are to be told.
    pub(super) ready: VecDeque<(u32, (u64, u32))>,
}

impl Shared {
    /// A value and the number of its last change.
    pub(crate) fn get(&self, vm_id: &str, key: &[u8]) -> Option<(Vec<u8>, u32)> {
        self.data.get(&(vm_id.to_owned(), key.to_vec())).cloned()
    }

    /// Sets a value. `cas` is the number of the change that the writer knows, or 0 for any; where there is no value yet it does not matter.
    pub(crate) fn set(&mut self, vm_id: &str, key: Vec<u8>, value: Vec<u8>, cas: u32) -> Result<(), Status> {
        let key = (vm_id.to_owned(), key);
        let freed = match self.data.get(&key) {
            Some((_, current)) if cas != 0 && cas != *current => return Err(Status::CasMismatch),
            Some((old, _)) => key.1.len() + old.len() + ENTRY_COST,
            None => 0,
        };
        let bytes = self.bytes - freed + key.1.len() + value.len() + ENTRY_COST;
        if bytes > LIMIT {
            return Err(Status::InternalFailure);
        }
        self.bytes = bytes;
        self.changes = self.changes.wrapping_add(1);
        self.data.insert(key, (value, self.changes));
        Ok(())
    }

    /// The token of a queue, which comes to be if it is not there. From now on this consumer is told of what is put in.
    pub(crate) fn register(
        &mut self,
        vm_id: &str,
        name: Vec<u8>,
        consumer: (u64, u32),
    ) -> Result<u32, Status> {
        if let Some(token) = self.tokens.get(&(vm_id.to_owned(), name.clone())) {
            self.consumers.insert(*token, consumer);
            return Ok(*token);
        }
        self.grow(name.len())?;
        let token = u32::try_from(self.queues.len()).unwrap_or(u32::MAX).saturating_add(1);
        self.tokens.insert((vm_id.to_owned(), name), token);
        self.queues.insert(token, VecDeque::new());
        self.consumers.insert(token, consumer);
        Ok(token)
    }

    /// The token of a queue that is there.
    pub(crate) fn resolve(&self, vm_id: &str, name: Vec<u8>) -> Result<u32, Status> {
        self.tokens.get(&(vm_id.to_owned(), name)).copied().ok_or(Status::NotFound)
    }

    /// Puts a value behind the others.
    pub(crate) fn enqueue(&mut self, token: u32, value: Vec<u8>) -> Result<(), Status> {
        if !self.queues.contains_key(&token) {
            return Err(Status::NotFound);
        }
        self.grow(value.len())?;
        self.queues.entry(token).or_default().push_back(value);
        if let Some(consumer) = self.consumers.get(&token) {
            self.ready.push_back((token, *consumer));
        }
        Ok(())
    }

    /// Takes the first value.
    pub(crate) fn dequeue(&mut self, token: u32) -> Result<Vec<u8>, Status> {
        let value = self.queues.get_mut(&token).ok_or(Status::NotFound)?.pop_front().ok_or(Status::Empty)?;
        self.bytes = self.bytes.saturating_sub(value.len() + ENTRY_COST);
        Ok(value)
    }

    fn grow(&mut self, bytes: usize) -> Result<(), Status> {
        let bytes = self.bytes + bytes + ENTRY_COST;
        if bytes > LIMIT {
            return Err(Status::InternalFailure);
        }
        self.bytes = bytes;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{LIMIT, Shared, Status};

    #[test]
    fn a_value_is_swapped_only_by_who_knows_it() {
        let mut world = Shared::default();
        let mut set = |vm: &str, key: &str, value: &str, cas| world.set(vm, key.into(), value.into(), cas);
        // Where there is no value yet, the number does not matter.
        assert_eq!(set("x", "a", "1", 9), Ok(()));
        assert_eq!(set("x", "b", "1", 0), Ok(()));
        assert_eq!(set("x", "a", "2", 2), Err(Status::CasMismatch));
        assert_eq!(set("x", "a", "2", 1), Ok(()));
        assert_eq!(set("y", "a", "", 0), Ok(()));
        assert_eq!(world.get("y", b"a"), Some((Vec::new(), 4)));
        assert_eq!(world.get("x", b"a"), Some((b"2".to_vec(), 3)));
    }

    #[test]
    fn queues_keep_their_order_and_are_shared_by_vm_id() {
        let mut world = Shared::default();
        assert_eq!(world.resolve("x", b"q".to_vec()), Err(Status::NotFound));
        assert_eq!(
            [world.register("x", b"q".to_vec(), (1, 1)), world.register("y", b"q".to_vec(), (2, 1))],
            [Ok(1), Ok(2)]
        );
        assert_eq!(
            [world.register("x", b"q".to_vec(), (3, 1)), world.resolve("y", b"q".to_vec())],
            [Ok(1), Ok(2)]
        );
        assert_eq!(world.dequeue(1), Err(Status::Empty));
        assert_eq!([world.enqueue(1, b"a".to_vec()), world.enqueue(1, Vec::new())], [Ok(()), Ok(())]);
        assert_eq!([world.dequeue(1), world.dequeue(1)], [Ok(b"a".to_vec()), Ok(Vec::new())]);
        assert_eq!(
            (world.enqueue(3, Vec::new()), world.dequeue(3)),
            (Err(Status::NotFound), Err(Status::NotFound))
        );
    }

    #[test]
    fn what_is_shared_is_bounded() {
        let mut world = Shared::default();
        assert_eq!(world.set("", b"a".to_vec(), vec![0; LIMIT - 1000], 0), Ok(()));
        assert_eq!(world.set("", b"b".to_vec(), vec![0; 1000], 0), Err(Status::InternalFailure));
        assert_eq!(world.register("", b"q".to_vec(), (1, 1)), Ok(1));
        assert_eq!(world.enqueue(1, vec![0; 1000]), Err(Status::InternalFailure));
        assert_eq!(world.set("", b"a".to_vec(), Vec::new(), 0), Ok(()));
        assert_eq!(world.set("", b"b".to_vec(), vec![0; 1000], 0), Ok(()));
    }
}
