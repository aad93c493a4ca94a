//! What comes of callouts.

use super::{Event, Proxy, millis};
use crate::{
    Bytes,
    host::{
        cluster,
        grpc::{self, Deed},
        schedule::Failure,
        state::{Answer, Callout},
    },
    outcome::Call,
};

/// How many milliseconds a callout takes beside its cluster's delay. An upstream, to which there is a connection already, takes none.
const CALLOUT_MS: u64 = 1;

impl Proxy {
    /// The answer to a callout comes.
    pub(super) fn answered(&mut self, vm: u64, root: u32, token: u32, answer: Answer) {
        let Some((thread, number)) = self.find(vm) else { return };
        let size = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let headers = answer.maps.first().map_or(0, |(_, headers)| size(headers.len()));
        let trailers = answer.maps.get(1).map_or(0, |(_, headers)| size(headers.len()));
        let body = answer.body.as_ref().map_or(0, |(_, body)| size(body.len()));
        self.told(
            thread,
            number,
            answer,
            "proxy_on_http_call_response",
            &[root, token, headers, body, trailers],
        );
    }

    /// Something comes of a gRPC call.
    pub(super) fn grpc(&mut self, serial: u64, token: u32, mut event: grpc::Event) {
        let Some((thread, number)) = self.find(serial) else { return };
        let Some(root) = self.vm(thread, number).and_then(|vm| vm.state().grpc.receiver(token, &mut event))
        else {
            return;
        };
        let Some(vm) = self.vm(thread, number).filter(|vm| vm.dead.is_none()) else { return };
        let told = vm.tell_of_grpc(root, token, &event);
        vm.state().grpc.told(token);
        self.after_call(thread, number);
        if told.is_err() {
            self.fail_all(thread, number);
        }
    }

    fn told(
        &mut self,
        thread: usize,
        number: usize,
        answer: Answer,
        export: &'static str,
        arguments: &[u32],
    ) {
        if let Some(vm) = self.vm(thread, number) {
            vm.state().answer = answer;
        }
        self.root_call(thread, number, export, arguments);
        if let Some(vm) = self.vm(thread, number) {
            vm.state().answer = Answer::default();
        }
    }

    /// Makes happen what comes of an HTTP callout.
    pub(super) fn call_out(&mut self, thread: usize, number: usize, now: u64, callout: &Callout) {
        if !self.take_callout() {
            return;
        }
        self.calls.push(Call {
            cluster: callout.cluster.clone(),
            headers: callout.headers.clone(),
            body: Bytes(callout.body.clone()),
        });
        let failing = callout.failure.map(Failure::cluster);
        let known = failing.as_ref().or_else(|| self.settings.clusters.get(&callout.cluster));
        let Some((delay, mut answer)) = cluster::answer(known, callout) else { return };
        if callout.failure == Some(Failure::Reset) {
            answer = Answer::default();
        }
        let (root, origin, token) = (callout.root, callout.origin, callout.token);
        let Some(vm) = self.vm(thread, number).map(|vm| vm.state().serial) else { return };
        let event = Event::Answer { vm, root, origin, token, answer: Box::new(answer) };
        self.events.add(now + millis(CALLOUT_MS + delay), event);
    }

    /// Whether one more callout is answered.
    fn take_callout(&mut self) -> bool {
        let is_left = self.callouts_left > 0;
        self.callouts_left = self.callouts_left.saturating_sub(1);
        is_left
    }

    /// Makes happen what comes of a gRPC call or stream.
    pub(super) fn do_grpc(&mut self, thread: usize, number: usize, now: u64, deed: Deed) {
        if !self.take_callout() {
            return;
        }
        let clusters = &self.settings.clusters;
        let find = |name: Option<&str>| clusters.get(name?);
        let Some(vm) = self.threads.get_mut(thread).and_then(|vms| vms.get_mut(number)) else { return };
        let (token, (delay, events)) = match deed {
            Deed::Call { token, cluster, timeout_ms, failure } => {
                let failing = failure.map(Failure::cluster);
                let known = failing.as_ref().or_else(|| find(cluster.as_deref()));
                let (delay, event) = cluster::grpc::called(known, timeout_ms);
                (token, (delay, vec![event]))
            }
            Deed::Open { token, cluster, failure } => {
                // However it fails: it is over when it begins.
                let failing = failure.map(|_| Failure::Unreachable.cluster());
                let known = failing.as_ref().or_else(|| find(cluster.as_deref()));
                (token, (0, cluster::grpc::opened(known)))
            }
            Deed::Send { token, has_message, is_last } => {
                let Some((cluster, server)) = vm.state().grpc.server(token) else { return };
                (token, cluster::grpc::sent(find(cluster), server, has_message, is_last))
            }
        };
        let vm = vm.state().serial;
        for event in events {
            self.events.add(now + millis(CALLOUT_MS + delay), Event::Grpc { vm, token, event });
        }
    }
}
