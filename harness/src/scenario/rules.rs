//! What a scenario must and must not say, beyond the form of its fields.

use super::{Exchange, Request, Response, raw::RawExplore, values::Problem};
use crate::{Exploration, lint::Lint};

/// Something must be expected of one exchange at least.
pub(super) fn checks(exchanges: &[Exchange]) -> Result<(), Problem> {
    if !exchanges.is_empty() && exchanges.iter().all(|exchange| exchange.expect.is_empty()) {
        return Err(Problem::new(
            "expect",
            "must expect something: a scenario that checks nothing cannot fail",
        ));
    }
    Ok(())
}

/// How a scenario is explored, if it is.
pub(super) fn explored(raw: RawExplore) -> Result<Option<Exploration>, Problem> {
    let bounds = match raw {
        RawExplore::Switch(is_on) => return Ok(is_on.then(Exploration::default)),
        RawExplore::Bounds(bounds) => bounds,
    };
    let default = Exploration::default();
    let mut explore =
        Exploration { budget: bounds.budget.unwrap_or(default.budget), seed: bounds.seed, ..default };
    if explore.budget == 0 {
        return Err(Problem::new("explore.budget", "must be a number of exchanges, got 0"));
    }
    for name in bounds.ignore {
        match name.as_str() {
            "log" => explore.ignores_log = true,
            "metrics" => explore.ignores_metrics = true,
            _ => {
                let rule = format!("must be \"log\" or \"metrics\", got {name:?}");
                return Err(Problem::new("explore.ignore", rule));
            }
        }
    }
    Ok(Some(explore))
}

/// A lint that is switched off, and why.
pub(super) fn allowed((name, reason): (String, String)) -> Result<(Lint, String), Problem> {
    let key = format!("allow.{name}");
    let Some(lint) = Lint::named(&name) else {
        return Err(Problem::new(&key, format!("there is no such lint; there are {}", Lint::names())));
    };
    if reason.trim().is_empty() {
        return Err(Problem::new(&key, "must say why the lint is switched off"));
    }
    Ok((lint, reason))
}

/// As [`of_connection`], for each.
pub(super) fn of_connections(exchanges: &[Exchange]) -> Result<(), Problem> {
    let mut all = exchanges.iter().enumerate();
    all.try_for_each(|(index, exchange)| of_connection(&format!("exchange[{index}]"), exchange))
}

/// A TCP connection has bytes in both directions and nothing else to say or to expect of.
fn of_connection(key: &str, exchange: &Exchange) -> Result<(), Problem> {
    let Exchange { request, response, expect, .. } = exchange;
    let (default, answer) = (Request::default(), Response::default());
    let sent = Request {
        chunks: request.chunks.clone(),
        is_chunked: request.is_chunked,
        end_after_ms: request.end_after_ms,
        ..default
    };
    let answered = Response {
        chunks: response.chunks.clone(),
        is_chunked: response.is_chunked,
        end_after_ms: response.end_after_ms,
        ..answer
    };
    let is_of_http = expect.status.is_some()
        || expect.reset
        || expect.untouched
        || [
            &expect.request_headers,
            &expect.request_trailers,
            &expect.response_headers,
            &expect.response_trailers,
        ]
        .iter()
        .any(|headers| !headers.is_empty());
    for (part, is_fine) in
        [("request", *request == sent), ("response", *response == answered), ("expect", !is_of_http)]
    {
        if !is_fine {
            return Err(Problem::new(
                &format!("{key}.{part}"),
                "is of a TCP connection, which has bodies alone",
            ));
        }
    }
    Ok(())
}
