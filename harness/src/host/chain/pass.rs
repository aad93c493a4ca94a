//! How filters let parts pass, or hold them.

use super::{At, Held, Part, size};
use crate::host::{
    proxy::Proxy,
    stream::{Reply, Side, Way},
};
use std::mem;

/// The most bytes of a body that Envoy holds back for a filter, by default.
const BUFFER_LIMIT: usize = 1 << 20;

impl Proxy {
    /// Brings a part to a filter, or behind the last one.
    pub(super) fn push(&mut self, at: At, way: Way, part: Part) {
        let Some(active) = self.streams.get(&at.stream).filter(|active| active.epoch == at.epoch) else {
            return;
        };
        if active.index(way, at.position).is_none() {
            return self.leave(at, way, part);
        }
        let Some(link) = self.link(at, way) else { return };
        if link.is_out {
            return self.push(at.next(), way, part);
        }
        let hold = link.holds.of(way);
        match part {
            Part::Headers { ends } => self.headers(at, way, ends),
            Part::Data { bytes, ends } if hold.state == Held::All => {
                let (queue, has_ended) = hold.queue.get_or_insert_default();
                queue.extend(bytes);
                *has_ended |= ends;
            }
            Part::Data { bytes, ends } => self.data(at, way, bytes, ends),
            Part::Trailers if hold.state == Held::All => hold.has_queued_trailers = true,
            Part::Trailers => self.trailers(at, way),
        }
    }

    fn headers(&mut self, at: At, way: Way, ends: bool) {
        let mut count = 0;
        self.with_common(at.stream, |common| {
            let half = common.half_mut(way);
            half.has_headers = true;
            count = size(half.headers.len());
        });
        if way == Way::Request
            && let Some(link) = self.link(at, way)
        {
            link.has_request = true;
        }
        if !self.create(at, way) {
            return;
        }
        self.with_side(at, way, |side| *side = Side { are_headers_at_hand: true, ..Side::default() });
        let [export, ..] = way.exports();
        let Some(action) = self.callback(at, way, export, &[count, u32::from(ends)]) else { return };
        // Envoy takes 2 for Continue, and everything else that it does not know for a stop.
        let stops = !matches!(action, 0 | 2);
        let plugin = self.link(at, way).map(|link| link.plugin);
        let plugin = plugin.and_then(|plugin| self.plugins.get(plugin));
        let stops_alone = plugin.is_some_and(|plugin| plugin.options.allow_on_headers_stop_iteration);
        // Headers that are let go within their own callback leave at once; what comes behind them stays, if the callback then says stop.
        let mut has_left = false;
        self.with_side(at, way, |side| {
            has_left = mem::take(&mut side.is_resumed);
            side.are_headers_at_hand &= stops;
        });
        if stops && let Some(hold) = self.hold(at, way) {
            hold.headers = (!has_left).then_some(ends);
            hold.has_ended = ends;
            hold.since = export;
            hold.state = if stops_alone && action == 1 { Held::What } else { Held::All };
        }
        // A filter that says both, go on and continue, lets them go twice: so does Envoy.
        for _ in 0..u32::from(!stops) + u32::from(has_left) {
            self.push(at.next(), way, Part::Headers { ends });
        }
    }

    fn data(&mut self, at: At, way: Way, bytes: Vec<u8>, ends: bool) {
        let (mut was_buffering, mut length) = (false, 0);
        self.with_side(at, way, |side| {
            was_buffering = side.is_buffering;
            side.put(bytes, ends);
            length = size(side.body.len());
        });
        let [_, export, _] = way.exports();
        let Some(action) = self.callback(at, way, export, &[length, u32::from(ends)]) else { return };
        let (mut is_resumed, mut kept) = (false, 0);
        self.with_side(at, way, |side| {
            // To go on within the callback lets go what was held back before it, and has no effect where nothing was.
            is_resumed = mem::take(&mut side.is_resumed) && was_buffering;
            if is_resumed {
                return;
            }
            match action {
                0 => {}
                1 => side.is_buffering = true,
                2 => side.is_buffering = false,
                // Neither kept by Envoy nor sent on: the filter has it.
                _ => {
                    if !was_buffering {
                        side.body.clear();
                    }
                    side.is_buffering = false;
                }
            }
            kept = side.ahead.len() + side.body.len();
        });
        let stops = action != 0;
        if let Some(hold) = self.hold(at, way) {
            hold.has_ended |= ends;
            hold.since = export;
            hold.state = Held::What;
        }
        if is_resumed {
            self.go_on(at, way, false);
            self.with_side(at, way, |side| side.is_buffering = action == 1);
        } else if !stops {
            self.go_on(at, way, true);
        } else if action == 1 && kept > BUFFER_LIMIT {
            self.too_large(at, way);
        }
    }

    fn trailers(&mut self, at: At, way: Way) {
        self.with_side(at, way, |side| side.are_trailers_at_hand = true);
        let Some(hold) = self.hold(at, way) else { return };
        hold.has_trailers = true;
        let mut count = 0;
        self.with_common(at.stream, |common| count = size(common.half(way).trailers.len()));
        let [.., export] = way.exports();
        let Some(action) = self.callback(at, way, export, &[count]) else { return };
        let stops = action != 0;
        let mut has_left = false;
        self.with_side(at, way, |side| {
            has_left = mem::take(&mut side.is_resumed);
            side.are_trailers_at_hand &= stops;
        });
        if let Some(hold) = self.hold(at, way) {
            hold.since = export;
            hold.state = Held::What;
        }
        let is_twice = !stops && has_left;
        if is_twice && way == Way::Response {
            return self.crash(at, export, "trailers of a response go on twice");
        }
        if !stops || has_left {
            self.go_on(at, way, false);
        }
        if is_twice {
            self.push(at.next(), way, Part::Trailers);
        }
    }

    /// Lets go what a filter holds of a direction, and what has passed its callbacks meanwhile: a part of the body that is at hand also if it is
    /// empty.
    fn go_on(&mut self, at: At, way: Way, has_part: bool) {
        let mut body = Vec::new();
        self.with_side(at, way, |side| body = side.release());
        let Some(hold) = self.hold(at, way) else { return };
        hold.state = Held::Nothing;
        let headers = hold.headers.take();
        let has_trailers = mem::take(&mut hold.has_trailers);
        // Trailers may have come to be in the callback for the last part of the body.
        let has_ended = mem::take(&mut hold.has_ended);
        let mut has_new = false;
        self.with_common(at.stream, |common| has_new = has_ended && common.half(way).has_trailers);
        let ends = has_ended && !has_new;
        if let Some(is_all) = headers {
            self.push(at.next(), way, Part::Headers { ends: is_all });
            if is_all {
                return;
            }
        }
        if !body.is_empty() || has_ended || has_part {
            self.push(at.next(), way, Part::Data { bytes: body, ends });
        }
        if has_trailers || has_new {
            self.push(at.next(), way, Part::Trailers);
        }
    }

    /// A filter has said that a direction goes on.
    fn resume(&mut self, stream: u64, index: usize, way: Way) {
        let Some(active) = self.streams.get(&stream) else { return };
        let at = active.at(stream, way, index);
        let Some(hold) = self.hold(at, way) else { return };
        match hold.state {
            Held::Nothing => {}
            Held::What => self.go_on(at, way, false),
            Held::All => {
                hold.state = Held::Nothing;
                hold.has_ended = false;
                let (headers, queue) = (hold.headers.take(), hold.queue.take());
                let has_trailers = mem::take(&mut hold.has_queued_trailers);
                if let Some(ends) = headers {
                    self.push(at.next(), way, Part::Headers { ends });
                }
                // What has come meanwhile arrives as one.
                if let Some((bytes, ends)) = queue {
                    self.push(at, way, Part::Data { bytes, ends });
                }
                if has_trailers {
                    self.push(at, way, Part::Trailers);
                }
            }
        }
    }

    /// Does what callbacks have asked for streams other than their own: going on, replies, ends.
    pub(in crate::host) fn go_on_where_told(&mut self) {
        let ids: Vec<u64> = self.streams.keys().copied().collect();
        for id in ids {
            let count = self.streams.get(&id).map_or(0, |active| active.links.len());
            for index in 0..count {
                if self.obey(id, index).is_none() {
                    continue;
                }
                for way in Way::BOTH {
                    let mut is_resumed = false;
                    self.with_stream(id, index, |stream| {
                        is_resumed = mem::take(&mut stream.side(way).is_resumed);
                    });
                    if is_resumed {
                        self.resume(id, index, way);
                    }
                }
            }
        }
    }

    /// Closes a stream or sends the reply, if a filter has said so. None if it has.
    pub(super) fn obey(&mut self, id: u64, index: usize) -> Option<()> {
        let (mut is_closed, mut reply) = (false, None);
        self.with_stream(id, index, |stream| {
            is_closed = stream.is_closed;
            reply = stream.reply.take();
        });
        if is_closed {
            self.close(id);
            return None;
        }
        if let Some(reply) = reply {
            if let Some(active) = self.streams.get_mut(&id) {
                active.outcome.is_reply = true;
            }
            self.reply(id, reply);
            return None;
        }
        Some(())
    }

    /// A body is more than Envoy holds back. To a request Envoy answers by itself, and to a response whose headers it still has; else it breaks off.
    fn too_large(&mut self, at: At, way: Way) {
        let Some(active) = self.streams.get(&at.stream) else { return };
        let are_sent = active.common.borrow().response.are_headers_sent;
        match way {
            Way::Request => {
                self.reply(at.stream, Reply::of(413, "Payload Too Large", "request_payload_too_large"));
            }
            Way::Response if are_sent => self.reset(at.stream, "response_payload_too_large"),
            Way::Response => {
                self.reply(at.stream, Reply::of(500, "Internal Server Error", "response_payload_too_large"));
            }
        }
    }
}
