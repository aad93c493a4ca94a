//! The router, behind the last filter of a request: where the request goes, and what Envoy answers when it gets nowhere.

use super::{At, Part, steps};
use crate::{
    Bytes,
    host::{
        events::Event,
        message,
        proxy::{Proxy, millis},
        stream::Reply,
    },
    scenario::{self, Cluster, Cut},
};
use std::mem;

/// How long a response may take by Envoy's default.
const TIMEOUT_MS: u64 = 15_000;

/// The bits of `response.flags` (Envoy, "Response flags").
const NO_HEALTHY_UPSTREAM: u64 = 1 << 1;
const RESPONSE_TIMEOUT: u64 = 1 << 2;
const UPSTREAM_CONNECTION_FAILURE: u64 = 1 << 5;
const UPSTREAM_CONNECTION_TERMINATION: u64 = 1 << 6;
pub(in crate::host) const NO_ROUTE: u64 = 1 << 8;
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
            common.cluster = route.map_or_else(|| "v1".to_owned(), |route| route.upstream.clone());
            common.timeout_ms = route.and_then(|route| route.timeout_ms).unwrap_or(TIMEOUT_MS);
            let name = route.map(|route| &route.name).filter(|name| !name.is_empty());
            common.route.clone_from(name.unwrap_or(&self.settings.place.route));
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
        message::check_route(&common.request.headers)?;
        match self.settings.clusters.get(&common.cluster) {
            _ if ["v1", "v2"].contains(&common.cluster.as_str()) => {}
            None => return Err(Reply::of(503, "", "cluster_not_found").flagged(NO_CLUSTER)),
            Some(Cluster::Empty) => {
                let reply = Reply::of(503, "no healthy upstream", "no_healthy_upstream");
                return Err(reply.flagged(NO_HEALTHY_UPSTREAM));
            }
            // That is found out as soon as the connection is tried.
            Some(_) => {
                let at = At { stream: id, epoch: active.epoch, position: 0 };
                self.events.add(now, Event::Fail(at, Failure::Refused));
            }
        }
        let timeout_ms = common.timeout_ms;
        message::check_method(&mut common.request.headers, timeout_ms)?;
        common.request.are_headers_sent = true;
        active.outcome.request_headers.clone_from(&common.request.headers);
        Ok(())
    }

    /// The upstream has the request, and will answer; or it waits for the rest of the body in vain.
    fn deliver(&mut self, at: At) {
        let now = self.world.now();
        let Some(active) = self.streams.get_mut(&at.stream) else { return };
        let common = active.common.borrow();
        if !["v1", "v2"].contains(&common.cluster.as_str()) {
            return;
        }
        let headers = mem::take(&mut active.outcome.request_headers);
        let Some(body) = message::framed(&headers, mem::take(&mut active.bodies.request)) else { return };
        active.outcome.upstream = Some(common.cluster.clone());
        active.outcome.request_body = Bytes(body);
        active.outcome.request_trailers = message::framed_trailers(&headers, &common.request.trailers);
        active.outcome.request_headers = headers;
        let timeout_ms = common.timeout_ms;
        drop(common);
        let response = message::response(&active.exchange.response, &active.exchange.request.method);
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
        let has_response = active.common.borrow().response.has_headers;
        let flags = match failure {
            Failure::Refused => UPSTREAM_CONNECTION_FAILURE,
            Failure::Closed => UPSTREAM_CONNECTION_TERMINATION,
            Failure::Late => RESPONSE_TIMEOUT,
        };
        if has_response {
            let details = match failure {
                Failure::Late => "response_timeout",
                _ => "upstream_reset_after_response_started{connection_termination}",
            };
            self.with_common(at.stream, |common| common.flags |= flags);
            return self.reset(at.stream, details);
        }
        let reply = match failure {
            Failure::Refused => Reply::of(
                503,
                "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure, transport failure reason: delayed connect error: Connection refused",
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
