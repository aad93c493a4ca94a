//! What can be seen of a proxy, and where its clock stands.

use super::Proxy;
use crate::{
    host::{
        metrics::Kind,
        schedule::Schedule,
        trace::{Step, Trace},
        vm::Vm,
    },
    lint::Finding,
    outcome::Call,
};
use std::{collections::BTreeMap, mem, time::Duration};

impl Proxy {
    /// The HTTP requests that plugins have sent since they were last asked for, here or by an exchange.
    pub fn take_calls(&mut self) -> Vec<Call> {
        mem::take(&mut self.calls)
    }

    /// Takes down what modules do from now on; the steps so far are forgotten.
    pub fn start_trace(&mut self) {
        self.world.0.borrow_mut().trace = Some(Trace::default());
    }

    /// What modules have done since they were last asked.
    pub fn take_trace(&mut self) -> Vec<Step> {
        self.world.0.borrow_mut().trace.as_mut().map(Trace::take).unwrap_or_default()
    }

    /// What lints have found since they were last asked for, each finding once.
    pub fn take_findings(&mut self) -> Vec<Finding> {
        mem::take(&mut self.world.0.borrow_mut().findings)
    }

    /// How far the first worker's VMs have written into their linear memory, in bytes.
    pub(in crate::host) fn touched(&mut self) -> usize {
        self.threads.get_mut(1).into_iter().flatten().map(Vm::touched).sum()
    }

    /// What an exploration has learned of callouts.
    pub(in crate::host) fn take_schedule(&self) -> Schedule {
        self.world.0.borrow_mut().schedule.take().unwrap_or_default()
    }

    /// Sets the clock, in nanoseconds since 1970. Timers that have run out by then run first; a clock that is set back runs none.
    pub fn set_clock(&mut self, time: u64) {
        let now = self.world.now();
        if time > now {
            self.advance(Duration::from_nanos(time - now));
        } else {
            self.world.0.borrow_mut().clock = time;
        }
    }

    /// How many calls of the ABI's functions all VMs have made in this exchange, by name, such as `proxy_get_header_map_pairs`.
    pub fn host_calls(&self) -> BTreeMap<&'static str, u64> {
        let mut calls = BTreeMap::new();
        for (name, count) in self.threads.iter().flatten().flat_map(|vm| &vm.store.data().host_calls) {
            *calls.entry(*name).or_default() += *count;
        }
        calls
    }

    /// The kind of a stat: `counter`, `gauge` or `histogram`; none of one that there is not.
    pub fn metric_kind(&self, name: &str) -> Option<&'static str> {
        let stats = &self.world.0.borrow().stats;
        let kinds = [(Kind::Counter, "counter"), (Kind::Gauge, "gauge"), (Kind::Histogram, "histogram")];
        kinds.into_iter().rev().find_map(|(kind, word)| stats.has(name, kind).then_some(word))
    }
}
