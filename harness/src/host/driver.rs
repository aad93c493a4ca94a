//! Takes an exchange through a module's callbacks, in Envoy's order and with Envoy's rules.

use super::{
    abi::Callback,
    cluster::Clusters,
    message::{self, Message},
    random::Random,
    state::{Reply, Side, Stream},
    vm::{FailurePolicy, ROOT, Trap, Vm},
};
use crate::{
    Bytes,
    outcome::{Cost, ExchangeOutcome},
    scenario::{Exchange, Headers, Scenario},
};

/// The most callouts that are answered in an exchange. Those beyond it are not: a module may ask again whenever it gets an answer.
const CALLOUT_LIMIT: u32 = 1000;

/// The most bytes of a body that Envoy holds back for a filter, by default.
const BUFFER_LIMIT: usize = 1 << 20;

/// What becomes of a stream after a callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// It goes on.
    Go,
    /// The filter has answered itself.
    Replied,
    /// It waits for what never comes, or was broken off.
    Broken,
}

/// Which direction of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Request,
    Response,
}

impl Way {
    /// The callbacks for headers, a part of the body, and trailers.
    fn exports(self) -> [&'static str; 3] {
        match self {
            Self::Request => {
                ["proxy_on_request_headers", "proxy_on_request_body", "proxy_on_request_trailers"]
            }
            Self::Response => {
                ["proxy_on_response_headers", "proxy_on_response_body", "proxy_on_response_trailers"]
            }
        }
    }
}

impl Vm {
    /// Takes one exchange through the filter and says what came of it; of the scenario only the routes matter. A trap ends in what Envoy does: 503
    /// without a body if the response has not begun, for this and every later exchange.
    pub fn exchange(
        &mut self,
        scenario: &Scenario,
        exchange: &Exchange,
        clusters: &Clusters,
    ) -> ExchangeOutcome {
        let is_dead = self.dead.is_some();
        self.reload();
        if is_dead {
            // What is logged and counted while it starts belongs to nobody's exchange.
            self.store.data_mut().log.clear();
        }
        if self.dead.is_some() && self.store.data().options.failure_policy == FailurePolicy::Open {
            return Self::bypassed(scenario, exchange);
        }
        let (metrics, fuel) = (self.metrics(), self.fuel());
        self.begin_exchange();
        let mut outcome = ExchangeOutcome::default();
        let context = self.next_context();
        self.store.data_mut().stream = Some(Stream { context, ..Stream::default() });
        if self.converse(scenario, exchange, clusters, &mut outcome).is_ok() {
            // A trap that comes now changes nothing for this client.
            drop(self.end(clusters));
        } else if !self.stream().response.are_headers_sent {
            outcome.status = Some(503);
        }
        self.store.data_mut().stream = None;
        for (name, value) in self.metrics() {
            let step = value.wrapping_sub(metrics.get(&name).copied().unwrap_or(0)).cast_signed();
            outcome.metrics.insert(name, step);
        }
        outcome.log = self.log().to_vec();
        outcome.cost = Some(Cost { instructions: self.fuel() - fuel, host_calls: self.host_calls() });
        outcome
    }

    /// Tells the root context of what was put into queues; what it puts in meanwhile too, within bounds.
    ///
    /// # Errors
    /// A trap.
    pub fn notify(&mut self) -> Result<(), Trap> {
        for _ in 0..CALLOUT_LIMIT {
            let Some(token) = self.store.data_mut().ready.pop_front() else { break };
            self.call(Callback::Other, "proxy_on_queue_ready", &[ROOT, token])?;
        }
        Ok(())
    }

    /// What becomes of an exchange that no filter sees.
    fn bypassed(scenario: &Scenario, exchange: &Exchange) -> ExchangeOutcome {
        let request = message::request(&exchange.request, "");
        let response = message::response(&exchange.response, &exchange.request.method);
        ExchangeOutcome {
            upstream: Some(route(scenario, &request.headers)),
            request_headers: request.headers,
            request_body: Bytes(request.parts.concat()),
            request_trailers: request.trailers,
            status: Some(exchange.response.status),
            response_headers: response.headers,
            response_body: Bytes(response.parts.concat()),
            response_trailers: response.trailers,
            ..ExchangeOutcome::default()
        }
    }

    /// Answers all callouts that are under way.
    ///
    /// # Errors
    /// A trap.
    pub fn answer_callouts(&mut self, clusters: &Clusters) -> Result<(), Trap> {
        self.callouts_left = CALLOUT_LIMIT;
        while self.answer_callout(clusters)? {}
        Ok(())
    }

    /// What belongs to one exchange starts anew.
    fn begin_exchange(&mut self) {
        self.callouts_left = CALLOUT_LIMIT;
        let state = self.store.data_mut();
        state.log.clear();
        state.host_calls.clear();
    }

    /// From the stream's creation until the client has its answer, or will not get one.
    fn converse(
        &mut self,
        scenario: &Scenario,
        exchange: &Exchange,
        clusters: &Clusters,
        outcome: &mut ExchangeOutcome,
    ) -> Result<(), Trap> {
        let context = self.stream().context;
        self.call(Callback::Other, "proxy_on_context_create", &[context, ROOT])?;
        let method = &exchange.request.method;
        if message::is_too_large(&exchange.request) {
            self.refuse(method, outcome);
            return Ok(());
        }
        // A source of its own, so that what the module draws does not depend on it.
        let id = Random::new(self.store.data().options.seed ^ u64::from(context) << 32).uuid();
        let mut body = Vec::new();
        let request = message::request(&exchange.request, &id);
        self.stream().cluster = route(scenario, &request.headers);
        let mut next = self.pass(Way::Request, request, clusters, &mut body)?;
        if next == Next::Go && self.ended().is_some() {
            next = Next::Replied;
        }
        if next == Next::Go {
            next = if self.deliver(scenario, body, outcome) {
                self.stream().details = "via_upstream".into();
                self.respond(message::response(&exchange.response, method), method, clusters, outcome)?
            } else {
                Next::Broken
            };
        }
        // A reply may be replaced by another, while its own headers pass.
        while next == Next::Replied {
            next = self.reply(method, clusters, outcome)?;
        }
        if next == Next::Broken {
            let stream = self.stream();
            let details = if stream.is_closed { "wasm_close_stream" } else { "downstream_remote_disconnect" };
            stream.details = details.into();
        }
        Ok(())
    }

    /// The end of the stream. The log comes before the rest, and callouts outlive it.
    fn end(&mut self, clusters: &Clusters) -> Result<(), Trap> {
        let context = self.stream().context;
        self.call(Callback::Log, "proxy_on_log", &[context])?;
        self.call(Callback::End, "proxy_on_done", &[context])?;
        self.call(Callback::End, "proxy_on_delete", &[context])?;
        self.store.data_mut().stream = None;
        self.notify()?;
        while self.answer_callout(clusters)? {}
        Ok(())
    }

    /// Takes one direction through the filter; what it lets go of the body is added to `sent`.
    fn pass(
        &mut self,
        way: Way,
        message: Message,
        clusters: &Clusters,
        sent: &mut Vec<u8>,
    ) -> Result<Next, Trap> {
        let [on_headers, on_body, on_trailers] = way.exports();
        let context = self.stream().context;
        let has_trailers = !message.trailers.is_empty();
        let has_more = message.has_body || has_trailers;
        let count = size(message.headers.len());
        *self.side(way) = Side::begin(message.headers);
        let action = self.call(Callback::Other, on_headers, &[context, count, u32::from(!has_more)])?;
        // Envoy takes 2 for Continue, and everything else that it does not know for a stop.
        let stops = !matches!(action, None | Some(0 | 2));
        // Headers that are let go within their own callback leave at once; what comes behind them stays, if the callback then says stop.
        let has_left = std::mem::take(&mut self.side(way).is_resumed);
        let next = self.settle(way, stops && (!has_left || has_more), clusters)?;
        if next != Next::Go {
            return Ok(next);
        }
        let side = self.side(way);
        // Headers that were held back stay at hand, until the filter lets the request go on.
        side.are_headers_at_hand &= stops;
        side.are_headers_sent = true;
        let routed = match way {
            Way::Request => message::route(&mut side.headers),
            Way::Response => message::checked(&side.headers),
        };
        if let Err(reply) = routed {
            side.are_headers_sent = false;
            self.stream().reply = Some(reply);
            return Ok(Next::Replied);
        }
        let mut parts: Vec<(Vec<u8>, bool)> = if stops {
            // What has come meanwhile arrives as one.
            vec![(message.parts.concat(), !has_trailers)]
        } else {
            message.parts.into_iter().map(|part| (part, false)).collect()
        };
        if !stops && !has_trailers {
            match parts.last_mut() {
                Some((_, is_last)) if !message.ends_apart => *is_last = true,
                _ => parts.push((Vec::new(), true)),
            }
        }
        parts.retain(|(part, is_last)| message.has_body && (*is_last || !part.is_empty()));
        for (part, is_last) in parts {
            let next = self.part(way, on_body, part, is_last, clusters, sent)?;
            if next != Next::Go {
                return Ok(next);
            }
        }
        if has_trailers {
            let side = self.side(way);
            side.trailers = message.trailers;
            side.has_trailers = true;
            side.are_trailers_at_hand = true;
            let count = size(side.trailers.len());
            let action = self.call(Callback::Other, on_trailers, &[context, count])?;
            let stops = !matches!(action, None | Some(0));
            let next = self.settle(way, stops, clusters)?;
            if next != Next::Go {
                return Ok(next);
            }
            self.side(way).are_trailers_at_hand &= stops;
            sent.extend(self.side(way).release());
        }
        Ok(Next::Go)
    }

    /// Hands a part of a body to the filter.
    fn part(
        &mut self,
        way: Way,
        export: &'static str,
        part: Vec<u8>,
        is_last: bool,
        clusters: &Clusters,
        sent: &mut Vec<u8>,
    ) -> Result<Next, Trap> {
        let context = self.stream().context;
        let side = self.side(way);
        let was_buffering = side.is_buffering;
        side.put(part, is_last);
        let length = size(side.body.len());
        let action = self.call(Callback::Other, export, &[context, length, u32::from(is_last)])?;
        if let Some(next) = self.ended() {
            return Ok(next);
        }
        // To go on within the callback lets go what was held back before it, and has no effect where nothing was.
        if std::mem::take(&mut self.side(way).is_resumed) && was_buffering {
            let side = self.side(way);
            sent.extend(side.release());
            side.is_buffering = action == Some(1);
            return Ok(Next::Go);
        }
        let side = self.side(way);
        match action {
            None | Some(0) => {
                sent.extend(side.release());
                return Ok(Next::Go);
            }
            Some(1) => side.is_buffering = true,
            Some(2) => side.is_buffering = false,
            // Neither kept by Envoy nor sent on: the filter has it.
            Some(_) => {
                if !was_buffering {
                    side.body.clear();
                }
                side.is_buffering = false;
            }
        }
        let held = side.ahead.len() + side.body.len();
        if held > BUFFER_LIMIT && !side.is_resumed {
            return Ok(self.too_large(way));
        }
        if is_last || side.is_resumed {
            let next = self.wait(way, clusters)?;
            if next != Next::Go {
                return Ok(next);
            }
            sent.extend(self.side(way).release());
        }
        Ok(Next::Go)
    }

    /// A body is more than Envoy holds back. To a request Envoy answers by itself; a response is broken off.
    fn too_large(&mut self, way: Way) -> Next {
        if way == Way::Response {
            return Next::Broken;
        }
        self.stream().reply = Some(Reply::of(413, "Payload Too Large", "request_payload_too_large"));
        Next::Replied
    }

    /// After a callback for headers or trailers: the direction goes on, or waits.
    fn settle(&mut self, way: Way, stops: bool, clusters: &Clusters) -> Result<Next, Trap> {
        match self.ended() {
            Some(next) => Ok(next),
            None if stops => self.wait(way, clusters),
            None => Ok(Next::Go),
        }
    }

    /// Answers callouts until the filter lets the direction go on.
    fn wait(&mut self, way: Way, clusters: &Clusters) -> Result<Next, Trap> {
        loop {
            if let Some(next) = self.ended() {
                return Ok(next);
            }
            if std::mem::take(&mut self.side(way).is_resumed) {
                return Ok(Next::Go);
            }
            if !self.answer_callout(clusters)? {
                return Ok(Next::Broken);
            }
        }
    }

    /// Whether the filter has closed the stream or replied.
    fn ended(&mut self) -> Option<Next> {
        let stream = self.stream();
        if stream.is_closed { Some(Next::Broken) } else { stream.reply.as_ref().map(|_| Next::Replied) }
    }

    /// Sends the callout whose answer comes first, and hands that to the root context. False when there is none.
    fn answer_callout(&mut self, clusters: &Clusters) -> Result<bool, Trap> {
        let state = self.store.data_mut();
        if self.callouts_left == 0 {
            state.callouts.clear();
        }
        let Some(callout) = clusters.next(&mut state.callouts) else { return Ok(false) };
        self.callouts_left -= 1;
        let answer = clusters.send(&callout);
        let (count, length) = (size(answer.headers.len()), size(answer.body.len()));
        state.answer = Some(answer);
        let arguments = [ROOT, callout.token, count, length, 0];
        let called = self.call(Callback::Callout, "proxy_on_http_call_response", &arguments);
        self.store.data_mut().answer = None;
        called.map(|_| true)
    }

    /// The upstream gets the request. False when it waits for the rest of the body.
    fn deliver(&mut self, scenario: &Scenario, body: Vec<u8>, outcome: &mut ExchangeOutcome) -> bool {
        let side = &self.stream().request;
        let Some(body) = message::framed(&side.headers, body) else { return false };
        let cluster = route(scenario, &side.headers);
        outcome.upstream = Some(cluster.clone());
        outcome.request_headers.clone_from(&side.headers);
        outcome.request_body = Bytes(body);
        outcome.request_trailers = message::framed_trailers(&side.headers, &side.trailers);
        self.stream().cluster = cluster;
        true
    }

    /// The filter's own response callbacks see its reply, unless it replaces a response that they have seen.
    fn reply(
        &mut self,
        method: &str,
        clusters: &Clusters,
        outcome: &mut ExchangeOutcome,
    ) -> Result<Next, Trap> {
        let stream = self.stream();
        let Some(reply) = stream.reply.take() else { return Ok(Next::Broken) };
        stream.details.clone_from(&reply.details);
        let message = message::local(reply, &stream.request.headers);
        if !stream.response.has_headers {
            return self.respond(message, method, clusters, outcome);
        }
        stream.response = Side { headers: message.headers, has_headers: true, ..Side::default() };
        Ok(self.answer(message.parts.concat(), method, outcome))
    }

    /// Envoy answers by itself, before the filter sees anything: only the log tells of it.
    fn refuse(&mut self, method: &str, outcome: &mut ExchangeOutcome) {
        let reply = Reply::of(431, "Request Header Fields Too Large", "http1.too_many_headers");
        let stream = self.stream();
        stream.details.clone_from(&reply.details);
        let message = message::local(reply, &Vec::new());
        stream.response = Side { headers: message.headers, has_headers: true, ..Side::default() };
        self.answer(message.parts.concat(), method, outcome);
    }

    fn respond(
        &mut self,
        message: Message,
        method: &str,
        clusters: &Clusters,
        outcome: &mut ExchangeOutcome,
    ) -> Result<Next, Trap> {
        let mut body = Vec::new();
        Ok(match self.pass(Way::Response, message, clusters, &mut body)? {
            Next::Go => self.answer(body, method, outcome),
            // The headers have left already: the client gets no whole response.
            Next::Replied if self.stream().response.are_headers_sent => Next::Broken,
            other => other,
        })
    }

    /// The client gets the response.
    fn answer(&mut self, body: Vec<u8>, method: &str, outcome: &mut ExchangeOutcome) -> Next {
        let side = &self.stream().response;
        let status = side.headers.iter().find(|(name, _)| name.0 == b":status");
        let status = status.and_then(|(_, value)| value.lossy().parse().ok());
        let body = if status.is_some_and(|status| message::is_bodyless(method, status)) {
            Some(Vec::new())
        } else {
            message::framed(&side.headers, body)
        };
        let Some(body) = body else { return Next::Broken };
        // The codec cannot write others.
        if !status.is_some_and(|status| (100..=999).contains(&status)) {
            return Next::Broken;
        }
        outcome.status = status;
        outcome.response_headers.clone_from(&side.headers);
        outcome.response_body = Bytes(body);
        outcome.response_trailers = message::framed_trailers(&side.headers, &side.trailers);
        message::finish(&mut self.stream().response.headers);
        Next::Go
    }

    fn side(&mut self, way: Way) -> &mut Side {
        let stream = self.stream();
        match way {
            Way::Request => &mut stream.request,
            Way::Response => &mut stream.response,
        }
    }

    fn stream(&mut self) -> &mut Stream {
        self.store.data_mut().stream.get_or_insert_default()
    }
}

/// The cluster that the routes pick for these headers.
fn route(scenario: &Scenario, headers: &Headers) -> String {
    let value = |name: &str| {
        let found = headers.iter().find(|(other, _)| other.0 == name.as_bytes());
        found.map(|(_, value)| value.0.clone())
    };
    scenario.route(&value(":path").unwrap_or_default(), &value).to_owned()
}

fn size(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
