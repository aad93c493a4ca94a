//! Shared data, as the VMs of one `vm_id` have it.

use crate::{Buffer, HeaderMap, HostBytes, Pairs, Source, metrics::Metrics};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

type Values = BTreeMap<String, (Vec<u8>, u32)>;

/// Values by key, with the number of their last change. A clone is the same data.
#[derive(Debug, Clone, Default)]
pub struct Shared {
    values: Arc<Mutex<Values>>,
    calls: Arc<AtomicUsize>,
}

impl Shared {
    /// How many calls there were.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// What happens when a plugin with these metrics is configured.
    pub fn configure(&self, metrics: &Metrics) {
        metrics.prepare(self);
    }

    fn values(&self) -> MutexGuard<'_, Values> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for Shared {
    fn pairs(&self, _: HeaderMap) -> Pairs {
        Pairs::default()
    }

    fn header(&self, _: HeaderMap, _: &str) -> Option<HostBytes> {
        None
    }

    fn buffer(&self, _: Buffer, _: usize) -> HostBytes {
        HostBytes::default()
    }

    fn property(&self, _: &[&str]) -> Option<HostBytes> {
        None
    }

    fn now(&self) -> u64 {
        0
    }

    fn random(&self, _: &mut [u8]) -> bool {
        false
    }

    fn shared(&self, key: &str) -> Result<(HostBytes, u32), u32> {
        self.values().get(key).map(|(value, change)| (value.clone().into(), *change)).ok_or(1)
    }

    fn set_shared(&self, key: &str, value: &[u8], change: u32) -> u32 {
        let mut values = self.values();
        let last = values.get(key).map_or(0, |(_, last)| *last);
        if change != 0 && change != last {
            return 8;
        }
        values.insert(key.to_owned(), (value.to_vec(), last + 1));
        0
    }
}
