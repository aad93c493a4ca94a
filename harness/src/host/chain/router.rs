//! The router, behind the last filter of a request: where the request goes, and what Envoy answers when it gets nowhere.

use super::{At, Part, mistakes::note_length, steps};
use crate::{
    Bytes,
    host::{
        events::Event,
        message,
        proxy::{Proxy, millis},
        stream::{Reply, Way},
    },
    scenario::{self, Cluster, Cut, UPSTREAMS},
};
use std::mem;

/// How long a response may take by Envoy's default.
const TIMEOUT_MS: u64 = 15_000;

/// The bits of `response.flags` (Envoy, "Response flags").
const NO_HEALTHY_UPSTREAM: u64 = 1 << 1;
const RESPONSE_TIMEOUT: u64 = 1 << 2;
const UPSTREAM_CONNECTION_FAILURE: u64 = 1 << 5;
const UPSTREAM_CONNECTION_TERMINATION: u64 = 1 << 6;
const NO_ROUTE: u64 = 1 << 8;
pub(super) const DOWNSTREAM_CONNECTION_TERMINATION: u64 = 1 << 14;
pub(in crate::host) const DOWNSTREAM_PROTOCOL_ERROR: u64 = 1 << 18;
const UPSTREAM_PROTOCOL_ERROR: u64 = 1 << 23;
const NO_CLUSTER: u64 = 1 << 24;

/// Why there is no response, or no more of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::host) enum Failure {
    /// The upstream refuses the connection.
    Refused,
    /// The upstream closes the connection.
    Closed,
    /// The response takes longer than its route allows.
    Late,
}

impl Proxy {
    /// Picks the route, if the request's headers have changed since it was picked.
    pub(super) fn pick_route(&mut self, id: u64) {
        let Some(active) = self.streams.get(&id) else { return };
        let mut common = active.common.borrow_mut();
        if mem::take(&mut common.is_route_stale) {
            let route = scenario::pick(&self.settings.routes, &common.request.headers);
            if !message::has_route(&common.request.headers) {
                common.route = None;
                return;
            }
            let name = route.map(|route| &route.name).filter(|name| !name.is_empty());
            common.route = Some(name.unwrap_or(&self.settings.place.route).clone());
            common.cluster = Some(route.map_or(UPSTREAMS[0], |route| &route.upstream).to_owned());
            common.timeout_ms = route.and_then(|route| route.timeout_ms).unwrap_or(TIMEOUT_MS);
        }
    }

    /// A part of a request has passed all filters.
    pub(super) fn leave_for_upstream(&mut self, at: At, part: Part) {
        let ends = match part {
            Part::Headers { ends } => {
                if let Err(reply) = self.route(at.stream) {
                    return self.reply(at.stream, reply);
                }
                ends
            }
            Part::Data { bytes, ends } => {
                if let Some(active) = self.streams.get_mut(&at.stream) {
                    active.bodies.request.extend(bytes);
                }
                ends
            }
            Part::Trailers => true,
        };
        if ends {
            self.deliver(at);
        }
    }

    /// Sends the headers on, or says what Envoy answers instead.
    fn route(&mut self, id: u64) -> Result<(), Reply> {
        self.pick_route(id);
        let now = self.world.now();
        let Some(active) = self.streams.get_mut(&id) else { return Ok(()) };
        let mut common = active.common.borrow_mut();
        let Some(cluster) = common.cluster.clone().filter(|_| common.route.is_some()) else {
            return Err(Reply::of(404, "", "route_not_found").flagged(NO_ROUTE));
        };
        let known = self.settings.clusters.get(&cluster);
        if known.is_none() && !UPSTREAMS.contains(&cluster.as_str()) {
            common.cluster = None;
            return Err(Reply::of(503, "", "cluster_not_found").flagged(NO_CLUSTER));
        }
        let timeout =
            (Bytes::from("x-envoy-expected-rq-timeout-ms"), Bytes::from(&common.timeout_ms.to_string()));
        common.request.headers.retain(|(name, _)| *name != timeout.0);
        common.request.headers.push(timeout);
        if known == Some(&Cluster::Empty) {
            let reply = Reply::of(503, "no healthy upstream", "no_healthy_upstream");
            return Err(reply.flagged(NO_HEALTHY_UPSTREAM));
        }
        common.request.are_headers_sent = true;
        message::check_method(&common.request.headers)?;
        if !UPSTREAMS.contains(&cluster.as_str()) {
            // That is found out as soon as the connection is tried.
            let at = At { stream: id, epoch: active.epoch, position: 0 };
            self.events.add(now, Event::Fail(at, Failure::Refused));
        }
        active.outcome.request_headers.clone_from(&common.request.headers);
        Ok(())
    }

    /// The upstream has the request, and will answer; or it waits for the rest of the body in vain.
    fn deliver(&mut self, at: At) {
        let now = self.world.now();
        let Some(active) = self.streams.get_mut(&at.stream).filter(|active| !active.is_delivered) else {
            return;
        };
        active.is_delivered = true;
        let common = active.common.borrow();
        let Some(cluster) = common.cluster.clone().filter(|cluster| UPSTREAMS.contains(&cluster.as_str()))
        else {
            return;
        };
        note_length(
            &self.world,
            Way::Request,
            &common,
            &active.outcome.request_headers,
            active.bodies.request.len(),
        );
        let headers = mem::take(&mut active.outcome.request_headers);
        let Some(body) = message::framed(&headers, mem::take(&mut active.bodies.request)) else { return };
        active.outcome.upstream = Some(cluster);
        active.outcome.request_body = Bytes(body);
        active.outcome.request_trailers = message::framed_trailers(&headers, &common.request.trailers);
        active.outcome.request_headers = headers;
        let timeout_ms = common.timeout_ms;
        drop(common);
        let response = message::response(&active.exchange.response, &active.exchange.request.method, 0);
        let (delay, cut) = (active.exchange.response.after_ms, active.exchange.response.cut);
        let at = At { position: 0, ..at };
        let steps = steps(&response);
        let kept = match cut {
            None => steps.len(),
            Some(Cut::BeforeHeaders) => 0,
            Some(Cut::InBody) => 2,
        };
        let mut last = delay;
        for (after, part) in steps.into_iter().take(kept) {
            last = delay + after;
            self.events.add(now + millis(last), Event::Upstream(at, part));
        }
        if cut.is_some() {
            self.events.add(now + millis(last), Event::Fail(at, Failure::Closed));
        }
        self.events.add(now + millis(timeout_ms), Event::Fail(at, Failure::Late));
    }

    /// There is no response, or no more of one: Envoy answers itself if nothing of it has come, and breaks off otherwise.
    pub(in crate::host) fn fall_short(&mut self, at: At, failure: Failure) {
        let Some(active) = self.streams.get(&at.stream).filter(|active| active.epoch == at.epoch) else {
            return;
        };
        if failure == Failure::Late && active.has_answer {
            return;
        }
        if failure == Failure::Late {
            self.note_holds(at.stream);
        }
        let Some(active) = self.streams.get(&at.stream) else { return };
        let (has_response, are_sent) = {
            let common = active.common.borrow();
            (common.response.has_headers, common.response.are_headers_sent)
        };
        let flags = match failure {
            Failure::Refused => UPSTREAM_CONNECTION_FAILURE,
            Failure::Closed if has_response => UPSTREAM_PROTOCOL_ERROR,
            Failure::Closed => UPSTREAM_CONNECTION_TERMINATION,
            Failure::Late => RESPONSE_TIMEOUT,
        };
        if has_response {
            let details = match failure {
                Failure::Late => "response_timeout",
                // A body that ends too early is a breach of the protocol.
                _ => "upstream_reset_after_response_started{protocol_error}",
            };
            self.with_common(at.stream, |common| common.flags |= flags);
            if are_sent {
                return self.reset(at.stream, details);
            }
            // Some filter holds them: Envoy can still say what has happened.
            let reply = match failure {
                Failure::Late => Reply::of(504, "upstream request timeout", details),
                _ => Reply::of(
                    502,
                    "upstream connect error or disconnect/reset before headers. reset reason: protocol error",
                    details,
                ),
            };
            return self.reply(at.stream, reply);
        }
        if failure == Failure::Refused {
            self.with_common(at.stream, |common| common.is_refused = true);
        }
        let reply = match failure {
            Failure::Refused => Reply::of(
                503,
                "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure",
                "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}",
            ),
            Failure::Closed => Reply::of(
                503,
                "upstream connect error or disconnect/reset before headers. reset reason: connection termination",
                "upstream_reset_before_response_started{connection_termination}",
            ),
            Failure::Late => Reply::of(504, "upstream request timeout", "response_timeout"),
        };
        self.reply(at.stream, reply.flagged(flags));
    }
}
