//! Takes an exchange through a module's callbacks, in Envoy's order and with Envoy's rules.

use super::{
    abi::Callback,
    cluster::Clusters,
    state::{Reply, Side, State, Stream},
    vm::{ROOT, Trap, Vm},
};
use crate::{
    Bytes,
    outcome::ExchangeOutcome,
    scenario::{Exchange, Headers, Request, Scenario},
};

/// What becomes of a stream after a callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// It goes on.
    Go,
    /// The filter has answered itself.
    Replied,
    /// It waits for what never comes.
    Hung,
}

/// Which direction of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Request,
    Response,
}

impl Vm {
    /// Takes one exchange through the filter and says what came of it. A trap ends in what Envoy does: 503 without a body, for this and every
    /// later exchange.
    pub fn exchange(
        &mut self,
        scenario: &Scenario,
        exchange: &Exchange,
        clusters: &Clusters,
    ) -> ExchangeOutcome {
        let (metrics, logged) = (self.metrics(), self.log().len());
        let mut outcome = ExchangeOutcome::default();
        let context = self.next_context();
        let request =
            Side { headers: request_headers(&exchange.request), has_headers: true, ..Side::default() };
        self.store.data_mut().stream = Some(Stream { context, request, ..Stream::default() });
        if self.drive(context, scenario, exchange, clusters, &mut outcome).is_err() {
            outcome = ExchangeOutcome { status: Some(503), ..ExchangeOutcome::default() };
        }
        self.store.data_mut().stream = None;
        for (name, value) in self.metrics() {
            let step = value.wrapping_sub(metrics.get(&name).copied().unwrap_or(0)).cast_signed();
            outcome.metrics.insert(name, step);
        }
        outcome.log = self.log().iter().skip(logged).cloned().collect();
        outcome
    }

    fn drive(
        &mut self,
        context: u32,
        scenario: &Scenario,
        exchange: &Exchange,
        clusters: &Clusters,
        outcome: &mut ExchangeOutcome,
    ) -> Result<(), Trap> {
        self.call(Callback::Start, "proxy_on_context_create", &[context, ROOT])?;
        let mut next = self.request(context, &exchange.request, clusters, outcome)?;
        if next == Next::Go {
            self.deliver(scenario, outcome);
            let mut headers =
                vec![(Bytes::from(":status"), Bytes::from(&exchange.response.status.to_string()))];
            headers.extend(
                exchange
                    .response
                    .headers
                    .iter()
                    .map(|(name, value)| (Bytes::from(&name.0.to_ascii_lowercase()), value.clone())),
            );
            let body = &exchange.response.body.0;
            headers.push((Bytes::from("content-length"), Bytes::from(&body.len().to_string())));
            next = self.response(context, headers, body, false, clusters, outcome)?;
        }
        if next == Next::Replied
            && let Some(reply) = self.stream().reply.take()
        {
            let (headers, body) = local_response(reply);
            // The filter's own response callbacks see its reply; a reply to a reply is of no effect.
            let was_response = self.stream().response.has_headers;
            next = if was_response {
                answered(headers, body, outcome)
            } else {
                self.response(context, headers, &body, true, clusters, outcome)?
            };
        }
        if next == Next::Hung {
            outcome.status = None;
        }
        self.call(Callback::Log, "proxy_on_log", &[context])?;
        self.call(Callback::End, "proxy_on_done", &[context])?;
        self.call(Callback::End, "proxy_on_delete", &[context])?;
        self.store.data_mut().stream = None;
        // Callouts outlive their stream.
        while self.answer_callout(clusters)? {}
        Ok(())
    }

    fn request(
        &mut self,
        context: u32,
        request: &Request,
        clusters: &Clusters,
        outcome: &mut ExchangeOutcome,
    ) -> Result<Next, Trap> {
        let body: Vec<u8> = request.chunks.iter().flat_map(|chunk| chunk.0.iter().copied()).collect();
        let has_body = request.is_chunked || !body.is_empty();
        let count = self.stream().request.headers.len();
        let action = self.call(
            Callback::RequestHeaders,
            "proxy_on_request_headers",
            &[context, size(count), u32::from(!has_body)],
        )?;
        let was_held = action.is_some_and(|action| action != 0);
        match self.settle(Way::Request, action, clusters)? {
            Next::Go if has_body => {}
            other => return Ok(other),
        }
        let has_trailers = !request.trailers.is_empty();
        // What was held back arrives as one part; otherwise the end of the body is a part of its own.
        let mut parts: Vec<(Vec<u8>, bool)> = if was_held {
            vec![(body, !has_trailers)]
        } else {
            request.chunks.iter().map(|chunk| (chunk.0.clone(), false)).collect()
        };
        if !was_held && !has_trailers {
            parts.push((Vec::new(), true));
        }
        let next = self.body(context, Way::Request, parts, clusters, &mut outcome.request_body.0)?;
        if next != Next::Go || !has_trailers {
            return Ok(next);
        }
        let side = &mut self.stream().request;
        side.trailers = request
            .trailers
            .iter()
            .map(|(name, value)| (Bytes::from(&name.0.to_ascii_lowercase()), value.clone()))
            .collect();
        side.has_trailers = true;
        let action = self.call(
            Callback::RequestTrailers,
            "proxy_on_request_trailers",
            &[context, size(request.trailers.len())],
        )?;
        let next = self.settle(Way::Request, action, clusters)?;
        let held = std::mem::take(&mut self.stream().request.body);
        outcome.request_body.0.extend(held);
        Ok(next)
    }

    fn response(
        &mut self,
        context: u32,
        headers: Headers,
        body: &[u8],
        is_local: bool,
        clusters: &Clusters,
        outcome: &mut ExchangeOutcome,
    ) -> Result<Next, Trap> {
        let count = headers.len();
        self.stream().response = Side { headers, has_headers: true, ..Side::default() };
        let is_last = body.is_empty();
        let action = self.call(
            Callback::ResponseHeaders,
            "proxy_on_response_headers",
            &[context, size(count), u32::from(is_last)],
        )?;
        let next = self.settle(Way::Response, action, clusters)?;
        if next != Next::Go {
            return Ok(next);
        }
        let mut sent = Vec::new();
        if !is_last {
            let parts = if is_local {
                vec![(body.to_vec(), true)]
            } else {
                vec![(body.to_vec(), false), (Vec::new(), true)]
            };
            let next = self.body(context, Way::Response, parts, clusters, &mut sent)?;
            if next != Next::Go {
                // The headers are gone to the client already: it gets no whole response.
                return Ok(Next::Hung);
            }
        }
        let headers = self.stream().response.headers.clone();
        Ok(answered(headers, sent, outcome))
    }

    /// Hands a body to the filter part by part; what it lets go is added to `sent`.
    fn body(
        &mut self,
        context: u32,
        way: Way,
        parts: Vec<(Vec<u8>, bool)>,
        clusters: &Clusters,
        sent: &mut Vec<u8>,
    ) -> Result<Next, Trap> {
        let (callback, export) = match way {
            Way::Request => (Callback::RequestBody, "proxy_on_request_body"),
            Way::Response => (Callback::ResponseBody, "proxy_on_response_body"),
        };
        for (part, is_last) in parts {
            let side = self.side(way);
            side.body.extend(part);
            side.is_last = is_last;
            let length = side.body.len();
            let action = self.call(callback, export, &[context, size(length), u32::from(is_last)])?;
            let is_held = action.is_some_and(|action| action != 0);
            if self.stream().reply.is_some() {
                return Ok(Next::Replied);
            }
            if is_held && is_last {
                match self.wait(way, clusters)? {
                    Next::Go => {}
                    other => return Ok(other),
                }
            }
            if !is_held || is_last {
                sent.extend(std::mem::take(&mut self.side(way).body));
            }
        }
        Ok(Next::Go)
    }

    /// After a header or trailer callback: a reply, a stream that goes on, or one that waits for its callouts.
    fn settle(&mut self, way: Way, action: Option<u32>, clusters: &Clusters) -> Result<Next, Trap> {
        if self.stream().reply.is_some() {
            return Ok(Next::Replied);
        }
        if action.is_none_or(|action| action == 0) {
            return Ok(Next::Go);
        }
        self.side(way).is_held = true;
        let next = self.wait(way, clusters)?;
        self.side(way).is_held = false;
        Ok(next)
    }

    /// Answers callouts until the filter lets the stream go on.
    fn wait(&mut self, way: Way, clusters: &Clusters) -> Result<Next, Trap> {
        loop {
            if self.stream().reply.is_some() {
                return Ok(Next::Replied);
            }
            if std::mem::take(&mut self.side(way).is_resumed) {
                return Ok(Next::Go);
            }
            if !self.answer_callout(clusters)? {
                return Ok(Next::Hung);
            }
        }
    }

    /// Sends the oldest callout and hands the answer to the root context. False when there is none.
    fn answer_callout(&mut self, clusters: &Clusters) -> Result<bool, Trap> {
        let state = self.store.data_mut();
        if state.callouts.is_empty() {
            return Ok(false);
        }
        let callout = state.callouts.remove(0);
        let answer = clusters.send(&callout);
        let (count, length) = (size(answer.headers.len()), size(answer.body.len()));
        state.answer = Some(answer);
        self.call(
            Callback::Callout,
            "proxy_on_http_call_response",
            &[ROOT, callout.token, count, length, 0],
        )?;
        self.store.data_mut().answer = None;
        Ok(true)
    }

    /// The upstream gets the request.
    fn deliver(&mut self, scenario: &Scenario, outcome: &mut ExchangeOutcome) {
        let side = &self.stream().request;
        let value = |name: &str| {
            side.headers
                .iter()
                .find(|(other, _)| other.0 == name.as_bytes())
                .map(|(_, value)| value.0.clone())
        };
        outcome.upstream = Some(scenario.route(&value(":path").unwrap_or_default(), &value).to_owned());
        outcome.request_headers.clone_from(&side.headers);
        outcome.request_trailers.clone_from(&side.trailers);
        // Envoy does not mend a length that a filter has made wrong: what is beyond it does not arrive.
        if let Some(length) = content_length(&side.headers) {
            outcome.request_body.0.truncate(length);
        }
    }

    fn side(&mut self, way: Way) -> &mut Side {
        let stream = self.stream();
        match way {
            Way::Request => &mut stream.request,
            Way::Response => &mut stream.response,
        }
    }

    fn stream(&mut self) -> &mut Stream {
        let state: &mut State = self.store.data_mut();
        state.stream.get_or_insert_default()
    }
}

/// The client gets the response.
fn answered(headers: Headers, mut body: Vec<u8>, outcome: &mut ExchangeOutcome) -> Next {
    if let Some(length) = content_length(&headers) {
        if length > body.len() {
            return Next::Hung;
        }
        body.truncate(length);
    }
    let status = headers.iter().find(|(name, _)| name.0 == b":status").map(|(_, value)| value.lossy());
    outcome.status = status.and_then(|status| status.parse().ok());
    outcome.response_headers = headers;
    outcome.response_body = Bytes(body);
    Next::Go
}

/// The headers that Envoy's connection manager gives to filters: pseudo headers first, the client's, and those of its own.
fn request_headers(request: &Request) -> Headers {
    let pseudo = [(":authority", &request.authority), (":path", &request.path), (":method", &request.method)];
    let mut headers: Headers =
        pseudo.iter().map(|(name, value)| (Bytes::from(*name), Bytes::from(*value))).collect();
    headers.push((Bytes::from(":scheme"), Bytes::from("http")));
    headers.extend(
        request
            .headers
            .iter()
            .map(|(name, value)| (Bytes::from(&name.0.to_ascii_lowercase()), value.clone())),
    );
    let length: usize = request.chunks.iter().map(|chunk| chunk.0.len()).sum();
    if request.is_chunked {
        headers.push((Bytes::from("transfer-encoding"), Bytes::from("chunked")));
    } else if length > 0 {
        headers.push((Bytes::from("content-length"), Bytes::from(&length.to_string())));
    }
    headers.push((Bytes::from("x-forwarded-proto"), Bytes::from("http")));
    headers.push((Bytes::from("x-request-id"), Bytes::from("00000000-0000-4000-8000-000000000000")));
    headers
}

/// A filter's reply as Envoy completes it.
fn local_response(reply: Reply) -> (Headers, Vec<u8>) {
    let mut headers = vec![(Bytes::from(":status"), Bytes::from(&reply.status.to_string()))];
    headers.extend(
        reply.headers.into_iter().map(|(name, value)| (Bytes::from(&name.0.to_ascii_lowercase()), value)),
    );
    headers.retain(|(name, _)| name.0 != b"content-length");
    if !reply.body.is_empty() {
        headers.push((Bytes::from("content-length"), Bytes::from(&reply.body.len().to_string())));
        if !headers.iter().any(|(name, _)| name.0 == b"content-type") {
            headers.push((Bytes::from("content-type"), Bytes::from("text/plain")));
        }
    }
    (headers, reply.body)
}

fn content_length(headers: &Headers) -> Option<usize> {
    headers.iter().find(|(name, _)| name.0 == b"content-length")?.1.lossy().parse().ok()
}

fn size(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
