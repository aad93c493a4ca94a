//! What is at the ends of a chain: the upstream and the client, replies in place of a response, and the end of the stream.

use super::{At, Part, arrives, mistakes::note_length, steps};
use crate::{
    Bytes,
    host::{
        abi::Callback,
        message,
        proxy::Proxy,
        stream::{Reply, Way},
    },
    scenario::Headers,
};
use std::{borrow::Cow, mem};

impl Proxy {
    /// Envoy answers by itself, before any filter sees anything: only the log tells of it.
    pub(super) fn refuse(&mut self, id: u64) {
        let reply = Reply::of(431, "Request Header Fields Too Large", "http1.too_many_headers");
        self.answer_directly(id, reply, &Headers::new());
    }

    /// A reply passes the response callbacks, unless it replaces a response that they have seen.
    /// Filters that have not seen the request do not see the reply.
    pub(in crate::host) fn reply(&mut self, id: u64, reply: Reply) {
        let Some(active) = self.streams.get_mut(&id) else { return };
        let common = active.common.borrow();
        let (has_response, are_sent) = (common.response.has_headers, common.response.are_headers_sent);
        let request = common.request.headers.clone();
        drop(common);
        if has_response {
            // The headers may have left already: then the client gets no whole response.
            if are_sent {
                self.reset(id, reply.details);
            } else {
                self.answer_directly(id, reply, &request);
            }
            return;
        }
        active.epoch += 1;
        let last = active.links.iter().rposition(|link| link.has_request).unwrap_or(0);
        let at = active.at(id, Way::Response, last);
        let mut common = active.common.borrow_mut();
        common.details.clone_from(&reply.details);
        common.flags |= reply.flags;
        let message = message::local(reply, &request);
        let steps = steps(&message);
        common.response.headers = message.headers;
        drop(common);
        for (_, part) in steps {
            if let Some(active) = self.streams.get_mut(&id) {
                arrives(active, Way::Response, &part);
            }
            self.push(at, Way::Response, part);
        }
    }

    /// A reply goes to the client, past all filters.
    fn answer_directly(&mut self, id: u64, reply: Reply, request: &Headers) {
        let Some(active) = self.streams.get_mut(&id) else { return };
        active.epoch += 1;
        let at = At { stream: id, epoch: active.epoch, position: active.links.len() };
        let mut common = active.common.borrow_mut();
        common.details.clone_from(&reply.details);
        common.flags |= reply.flags;
        let message = message::local(reply, request);
        let steps = steps(&message);
        common.response.headers = message.headers;
        common.response.trailers.clear();
        common.response.has_headers = true;
        common.response.has_trailers = false;
        drop(common);
        active.bodies.response.clear();
        for (_, part) in steps {
            self.push(at, Way::Response, part);
        }
    }

    /// A part is behind the last filter.
    pub(super) fn leave(&mut self, at: At, way: Way, part: Part) {
        match way {
            Way::Request => self.leave_for_upstream(at, part),
            Way::Response => self.leave_for_client(at, part),
        }
    }

    fn leave_for_client(&mut self, at: At, part: Part) {
        let Some(active) = self.streams.get_mut(&at.stream) else { return };
        let ends = match part {
            Part::Headers { ends } => {
                let mut common = active.common.borrow_mut();
                if let Err(reply) = message::checked(&common.response.headers) {
                    let request = common.request.headers.clone();
                    drop(common);
                    return self.answer_directly(at.stream, reply, &request);
                }
                if common.response.are_headers_sent {
                    // They are written once more, where the client takes them for the body.
                    active.bodies.response.extend(message::written(&common.response.headers));
                    active.is_garbled = !message::has_length(&common.response.headers);
                } else {
                    common.response.are_headers_sent = true;
                    active.outcome.response_headers.clone_from(&common.response.headers);
                }
                message::finish(&mut common.response.headers);
                ends
            }
            Part::Data { bytes, ends } => {
                active.common.borrow_mut().response.sent += bytes.len() as u64;
                active.bodies.response.extend(bytes);
                ends
            }
            Part::Trailers => true,
        };
        if ends {
            self.finish(at.stream);
        }
    }

    /// The client has all that comes: a whole response, or it waits for the rest in vain.
    fn finish(&mut self, id: u64) {
        let Some(active) = self.streams.get_mut(&id) else { return };
        let headers = mem::take(&mut active.outcome.response_headers);
        if active.is_garbled {
            return self.end(id);
        }
        let status = headers.iter().find(|(name, _)| name.0 == b":status");
        // The codec cannot write others.
        let status = status.and_then(|(_, value)| value.lossy().parse().ok());
        let status = status.filter(|status| (100..=999).contains(status));
        let is_bodyless =
            status.is_some_and(|status| message::is_bodyless(&active.exchange.request.method, status));
        if !is_bodyless {
            note_length(
                &self.world,
                Way::Response,
                &active.common.borrow(),
                &headers,
                active.bodies.response.len(),
            );
        }
        let body = match status {
            None => None,
            Some(_) if is_bodyless => Some(Vec::new()),
            Some(_) => message::framed(&headers, mem::take(&mut active.bodies.response)),
        };
        let Some(body) = body else { return self.give_up(id) };
        active.outcome.status = status;
        active.outcome.response_body = Bytes(body);
        let common = active.common.borrow();
        active.outcome.response_trailers = message::framed_trailers(&headers, &common.response.trailers);
        active.outcome.response_headers = headers;
        drop(common);
        self.end(id);
    }

    /// The stream is broken off.
    pub(super) fn reset(&mut self, id: u64, details: impl Into<Cow<'static, str>>) {
        let Some(active) = self.streams.get_mut(&id) else { return };
        active.outcome.response_headers.clear();
        active.common.borrow_mut().details = details.into();
        self.end(id);
    }

    /// A filter closes the stream. That is told only where nothing else is.
    pub(super) fn close(&mut self, id: u64) {
        let details = self.streams.get(&id).map(|active| active.common.borrow().details.clone());
        let details = details.filter(|details| !details.is_empty());
        self.reset(id, details.unwrap_or("wasm_close_stream".into()));
    }

    /// The end of a stream. The log comes before the rest, and callouts outlive it.
    pub(super) fn end(&mut self, id: u64) {
        let Some(active) = self.streams.get_mut(&id) else { return };
        active.epoch += 1;
        let thread = active.thread;
        let present = active.links.iter().enumerate().filter(|(_, link)| !link.is_out);
        let links: Vec<_> = present
            .map(|(index, link)| (active.at(id, Way::Request, index), link.vm, link.context))
            .collect();
        for (at, vm, context) in &links {
            // Where the filter has seen nothing before.
            if self.create(*at, Way::Request) {
                self.end_call(thread, *vm, Callback::Log, "proxy_on_log", *context);
            }
        }
        for (_, vm, context) in links {
            self.end_call(thread, vm, Callback::End, "proxy_on_done", context);
            self.end_call(thread, vm, Callback::End, "proxy_on_delete", context);
            self.note_callouts(id, thread, vm, context);
            if let Some(vm) = self.vm(thread, vm) {
                vm.state().streams.remove(&context);
            }
        }
        self.events.forget(id);
        if let Some(mut active) = self.streams.remove(&id) {
            // What has not reached the upstream whole has not reached it.
            if active.outcome.upstream.is_none() {
                active.outcome.request_headers.clear();
            }
            active.outcome.details = active.common.borrow().details.to_string();
            let state = mem::take(&mut active.common.borrow_mut().filter_state);
            let own = |(key, value): (Vec<u8>, Vec<u8>)| {
                let key = key.strip_prefix(b"wasm.")?;
                Some((String::from_utf8_lossy(key).into_owned(), Bytes(value)))
            };
            active.outcome.state = state.into_iter().filter_map(own).collect();
            self.finished.insert(id, active.outcome);
        }
    }

    /// A trap that comes now changes nothing for this client.
    fn end_call(&mut self, thread: usize, vm: usize, callback: Callback, export: &'static str, context: u32) {
        if let Some(running) = self.vm(thread, vm) {
            drop(running.call(callback, export, &[context]));
            self.after_call(thread, vm);
        }
    }
}
