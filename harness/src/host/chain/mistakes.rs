//! What lints find where a stream ends.

use super::{DOWNSTREAM_CONNECTION_TERMINATION, Held};
use crate::{
    host::{
        message,
        proxy::Proxy,
        stream::{Common, Way},
        world::World,
    },
    lint::{Finding, Lint},
    scenario::Headers,
};

impl Proxy {
    /// Nobody waits any longer: says what filters still hold. One that waits for the answer to a callout may let it go yet.
    pub(super) fn note_holds(&mut self, id: u64) {
        let Some(active) = self.streams.get(&id) else { return };
        let has_response = active.common.borrow().response.has_headers;
        let mut held = Vec::new();
        for link in active.links.iter().filter(|link| !link.is_out) {
            for (way, hold, is_due, what) in [
                // Behind a reply nobody lets the request go.
                (Way::Request, &link.holds.request, active.epoch == 0, "request"),
                (Way::Response, &link.holds.response, has_response, "response"),
            ] {
                if hold.state != Held::Nothing && is_due {
                    held.push((link.vm, link.context, way, hold.since, what));
                }
            }
        }
        let thread = active.thread;
        for (number, context, way, since, what) in held {
            let Some(vm) = self.vm(thread, number).filter(|vm| vm.dead.is_none()) else { continue };
            let serial = vm.state().serial;
            let is_asked = vm.state().grpc.has_open(context);
            if is_asked || self.events.has_answer(serial, context) {
                continue;
            }
            let end = if way == Way::Request {
                "it never reaches the upstream"
            } else {
                "the client never gets it"
            };
            self.world.note(Finding {
                lint: Lint::PauseNotResumed,
                callback: since.to_owned(),
                what: format!("the {what} is held and nothing lets it go on: {end}"),
            });
        }
    }

    /// A filter's context has been deleted: says what it has not brought to an end.
    pub(super) fn note_callouts(&mut self, id: u64, thread: usize, number: usize, context: u32) {
        let flags = self.streams.get(&id).map_or(0, |active| active.common.borrow().flags);
        let has_client = flags & DOWNSTREAM_CONNECTION_TERMINATION == 0;
        let Some(vm) = self.vm(thread, number).filter(|vm| vm.dead.is_none()) else { return };
        let (serial, has_open) = (vm.state().serial, vm.state().grpc.has_open(context));
        let note = |what: &str| {
            self.world.note(Finding {
                lint: Lint::CalloutAfterDelete,
                callback: "proxy_on_delete".to_owned(),
                what: what.to_owned(),
            });
        };
        if has_open {
            note("the stream is deleted, and a gRPC call or stream that it began is open");
        }
        if has_client && self.events.has_answer(serial, context) {
            note(
                "the stream is deleted before a callout that it made is answered: nobody is left to take the answer",
            );
        }
    }
}

/// A body is whole at its other end: says if its length is not the one that its headers state, and was when it came.
pub(super) fn note_length(world: &World, way: Way, common: &Common, headers: &Headers, length: usize) {
    let half = common.half(way);
    let did_fit = half.length.is_none_or(|stated| stated as u64 == half.size);
    let Some(stated) = message::content_length(headers).filter(|stated| did_fit && *stated != length) else {
        return;
    };
    let (whose, end) = match way {
        Way::Request => ("request", "upstream"),
        Way::Response => ("response", "client"),
    };
    let comes = if stated > length { "waits for the rest" } else { "does not get the rest" };
    world.note(Finding {
        lint: Lint::ContentLength,
        callback: String::new(),
        what: format!("the {whose} says {stated} bytes and has {length}: the {end} {comes}"),
    });
}
