//! The module's memory, with every pointer checked, and the frame around every host call.

use super::{abi::Status, state::State};
use std::fmt;
use wasmtime::{Caller, Extern, Memory};

/// What a host function sees of the VM that called it.
pub(crate) type Guest<'a> = Caller<'a, State>;

/// Why a host call does not do what it was asked for.
pub(crate) enum Refusal {
    /// The module gets this status.
    Status(Status),
    /// The module gets this number, which an author's own function gave.
    Other(u32),
    /// The VM fails.
    Trap(wasmtime::Error),
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl From<HostTrap> for Refusal {
    fn from(trap: HostTrap) -> Self {
        Self::Trap(wasmtime::Error::new(trap))
    }
}

/// A host call's answer.
pub(crate) type Answer<T = ()> = Result<T, Refusal>;

/// What the host itself ends a callback for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HostTrap {
    /// A function was called while the module starts, or while it allocates memory for the host.
    Restricted(String),
    /// A call at which Envoy itself ends, with all its connections: what it does there.
    Crash(&'static str),
    /// One callback made too many host calls, or moved too many bytes through them.
    OverBudget,
}

impl fmt::Display for HostTrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Restricted(name) => {
                write!(f, "{name} must not be called while the module starts or allocates memory")
            }
            Self::Crash(why) => write!(f, "Envoy itself ends here: {why}"),
            Self::OverBudget => f.write_str("did more through host calls than a callback may"),
        }
    }
}

impl std::error::Error for HostTrap {}

/// Counts a call of the ABI and turns its answer into the number that the module gets. Envoy fails a VM that makes one while it starts or allocates.
pub(crate) fn answer(
    guest: &mut Guest<'_>,
    name: &'static str,
    call: impl FnOnce(&mut Guest<'_>) -> Answer,
) -> wasmtime::Result<u32> {
    if guest.data().is_restricted() {
        return Err(wasmtime::Error::new(HostTrap::Restricted(name.to_owned())));
    }
    unrestricted(guest, name, call)
}

/// As [`answer`], for `proxy_log`, which may be called at any time.
pub(crate) fn unrestricted(
    guest: &mut Guest<'_>,
    name: &'static str,
    call: impl FnOnce(&mut Guest<'_>) -> Answer,
) -> wasmtime::Result<u32> {
    let state = guest.data_mut();
    *state.host_calls.entry(name).or_default() += 1;
    state.charge(0).map_err(wasmtime::Error::new)?;
    state.world.trace(|trace| trace.begin(name));
    let is_left_out = guest.data().options.leaves_out(name);
    let done = if is_left_out { Err(Refusal::Status(Status::InternalFailure)) } else { call(guest) };
    let status = match done {
        Ok(()) => Status::Ok as u32,
        Err(Refusal::Status(status)) => status as u32,
        Err(Refusal::Other(status)) => status,
        Err(Refusal::Trap(trap)) => return Err(trap),
    };
    guest.data().world.trace(|trace| trace.end(status));
    Ok(status)
}

fn memory(guest: &mut Guest<'_>) -> Answer<Memory> {
    let name = guest.data().memory.clone();
    let memory = name.and_then(|name| guest.get_export(&name)).and_then(Extern::into_memory);
    memory.ok_or(Refusal::Status(Status::InvalidMemoryAccess))
}

/// Reads bytes.
pub(crate) fn read(guest: &mut Guest<'_>, at: u32, size: u32) -> Answer<Vec<u8>> {
    let memory = memory(guest)?;
    let end = (at as usize).checked_add(size as usize).ok_or(Status::InvalidMemoryAccess)?;
    // The bounds come first: the budget is for what is copied.
    if end > memory.data_size(&*guest) {
        return Err(Status::InvalidMemoryAccess.into());
    }
    guest.data_mut().charge(size as usize)?;
    let bytes = memory.data(&*guest).get(at as usize..end).map(<[u8]>::to_vec);
    if let Some(bytes) = bytes.as_deref().filter(|bytes| !bytes.is_empty()) {
        guest.data().world.trace(|trace| trace.value(bytes, true));
    }
    bytes.ok_or(Refusal::Status(Status::InvalidMemoryAccess))
}

/// Reads text; what is no UTF-8 is replaced.
pub(crate) fn read_text(guest: &mut Guest<'_>, at: u32, size: u32) -> Answer<String> {
    read(guest, at, size).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Writes bytes.
pub(crate) fn write(guest: &mut Guest<'_>, at: u32, bytes: &[u8]) -> Answer {
    let memory = memory(guest)?;
    guest.data_mut().charge(bytes.len())?;
    let written = memory.write(&mut *guest, at as usize, bytes);
    written.map_err(|_| Refusal::Status(Status::InvalidMemoryAccess))
}

/// Writes a number as the ABI does, little-endian in 32 bits; one that is too large is the largest.
pub(crate) fn write_size(guest: &mut Guest<'_>, at: u32, size: usize) -> Answer {
    write(guest, at, &u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes())
}

/// Hands bytes to the module in memory that it allocates, and writes where they are and how many. No bytes are no memory: place 0, size 0.
pub(crate) fn give(guest: &mut Guest<'_>, bytes: &[u8], at: u32, size_at: u32) -> Answer {
    let size = u32::try_from(bytes.len()).map_err(|_| Status::InvalidMemoryAccess)?;
    guest.data().world.trace(|trace| trace.value(bytes, false));
    let mut place = 0;
    if size > 0 {
        let allocator =
            super::module::ALLOCATORS.into_iter().find_map(|name| guest.get_export(name)?.into_func());
        let allocator = allocator
            .and_then(|function| function.typed::<u32, u32>(&*guest).ok())
            .ok_or(Status::InvalidMemoryAccess)?;
        guest.data_mut().is_allocating = true;
        let allocated = allocator.call(&mut *guest, size);
        guest.data_mut().is_allocating = false;
        // A trap in there fails the VM, but what has asked for the bytes goes on to its end.
        place = allocated.unwrap_or_else(|error| {
            guest.data_mut().failure.get_or_insert(error);
            0
        });
        if place == 0 {
            return Err(Status::InvalidMemoryAccess.into());
        }
        write(guest, place, bytes)?;
    }
    write(guest, at, &place.to_le_bytes())?;
    write(guest, size_at, &size.to_le_bytes())
}
