//! Local replies, and streams that go on or end.

use crate::{
    host::{
        abi::{Callback, Status, read_pairs},
        memory::{Answer, Guest, HostTrap, answer, read, read_text},
        state::State,
        stream::Reply,
    },
    lint::Lint,
};
use wasmtime::Linker;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_send_local_response",
        |mut guest: Guest<'_>,
         status: u32,
         details: u32,
         details_size: u32,
         body: u32,
         body_size: u32,
         headers: u32,
         headers_size: u32,
         grpc_status: i32| {
            answer(&mut guest, "proxy_send_local_response", |guest| {
                let details = read_text(guest, details, details_size)?.replace(' ', "_").into();
                let body = read(guest, body, body_size)?;
                let headers = read_pairs(&read(guest, headers, headers_size)?);
                let status = u16::try_from(status).unwrap_or(u16::MAX);
                let grpc_status = u32::try_from(grpc_status).ok().filter(|status| *status <= 16);
                guest.data().world.trace(|trace| trace.about(status.to_string()));
                is_over(guest.data())?;
                if guest.data().stream().is_some_and(|stream| stream.has_replied_late) {
                    guest.data().note(Lint::SecondReply, format!("a reply of {status} behind another one"));
                    return Err(HostTrap::Crash("a second reply while the response is on its way").into());
                }
                let state = guest.data();
                match state.stream() {
                    None => state.note(Lint::CallOutOfPhase, "there is no stream to reply to"),
                    Some(stream) if stream.has_replied => {
                        state.note(Lint::SecondReply, format!("a reply of {status} behind another one"));
                    }
                    Some(_) => {}
                }
                // Of several replies the first counts, but a reply on its way may be replaced; on the root context there is nothing to reply to. Both are fine.
                if let Some(stream) = guest.data_mut().stream_mut().filter(|stream| stream.may_reply()) {
                    stream.has_replied = true;
                    stream.has_replied_late = stream.has_response();
                    stream.reply = Some(Reply { status, headers, body, details, flags: 0, grpc_status });
                }
                Ok(())
            })
        },
    )?;
    linker.func_wrap("env", "proxy_continue_stream", |mut guest: Guest<'_>, side: u32| {
        answer(&mut guest, "proxy_continue_stream", |guest| resume(guest.data_mut(), side))
    })?;
    // These two, and the clearing of the route cache, are of ABI 0.1.0.
    linker.func_wrap("env", "proxy_continue_request", |mut guest: Guest<'_>| {
        answer(&mut guest, "proxy_continue_request", |guest| resume(guest.data_mut(), 0))
    })?;
    linker.func_wrap("env", "proxy_continue_response", |mut guest: Guest<'_>| {
        answer(&mut guest, "proxy_continue_response", |guest| resume(guest.data_mut(), 1))
    })?;
    linker.func_wrap("env", "proxy_clear_route_cache", |mut guest: Guest<'_>| {
        answer(&mut guest, "proxy_clear_route_cache", |guest| {
            if let Some(stream) = guest.data().stream() {
                stream.common.borrow_mut().is_route_stale = true;
            }
            Ok(())
        })
    })?;
    linker.func_wrap("env", "proxy_close_stream", |mut guest: Guest<'_>, side: u32| {
        answer(&mut guest, "proxy_close_stream", |guest| {
            if side > 3 {
                return Err(Status::BadArgument.into());
            }
            is_over(guest.data())?;
            if let Some(stream) = guest.data_mut().stream_mut().filter(|stream| stream.is_tcp() == (side > 1))
            {
                stream.is_closed = true;
            }
            Ok(())
        })
    })?;
    Ok(())
}

/// When a stream is over, its end cannot be changed any more.
fn is_over(state: &State) -> Answer {
    if state.stream().is_some() && matches!(state.callback, Callback::Log | Callback::End) {
        return Err(HostTrap::Crash("a reply, or a closing, when the stream is over").into());
    }
    Ok(())
}

/// Lets a direction go on after this callback. What was at hand of the request is out of reach at once, whichever direction it is.
fn resume(state: &mut State, side: u32) -> Answer {
    state.world.trace(|trace| trace.about(if side == 0 { "request" } else { "response" }));
    match side {
        0..=2 => {}
        3 => return Err(Status::Unimplemented.into()),
        _ => return Err(Status::BadArgument.into()),
    }
    if state.stream().is_none() {
        state.note(Lint::CallOutOfPhase, "there is no stream to let go on");
    }
    let Some(stream) = state.stream_mut() else { return Ok(()) };
    if stream.is_tcp() {
        stream.request.is_resumed |= side == 2;
        return Ok(());
    }
    if side == 1 && !stream.has_response() {
        return Err(HostTrap::Crash("a response goes on before there is one").into());
    }
    match side {
        0 => stream.request.is_resumed = true,
        1 => stream.response.is_resumed = true,
        _ => return Ok(()),
    }
    let request = &mut stream.request;
    request.are_headers_at_hand = false;
    request.is_body_at_hand = false;
    request.are_trailers_at_hand = false;
    Ok(())
}
