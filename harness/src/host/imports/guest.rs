//! The module's memory, with every pointer checked.

use super::Guest;
use crate::host::abi::Status;
use wasmtime::{Extern, Memory};

/// A host call's answer: done, or why not.
pub(super) type Answer = Result<(), Status>;

/// Counts the call and turns its answer into the number that the module gets.
pub(super) fn answer(guest: &mut Guest<'_>, call: impl FnOnce(&mut Guest<'_>) -> Answer) -> u32 {
    guest.data_mut().host_calls += 1;
    match call(guest) {
        Ok(()) => Status::Ok as u32,
        Err(status) => status as u32,
    }
}

fn memory(guest: &mut Guest<'_>) -> Result<Memory, Status> {
    guest.get_export("memory").and_then(Extern::into_memory).ok_or(Status::InvalidMemoryAccess)
}

/// Reads bytes.
pub(super) fn read(guest: &mut Guest<'_>, at: u32, size: u32) -> Result<Vec<u8>, Status> {
    let memory = memory(guest)?;
    let range = at as usize..(at as usize).checked_add(size as usize).ok_or(Status::InvalidMemoryAccess)?;
    memory.data(&*guest).get(range).map(<[u8]>::to_vec).ok_or(Status::InvalidMemoryAccess)
}

/// Reads text; what is no UTF-8 is replaced.
pub(super) fn read_text(guest: &mut Guest<'_>, at: u32, size: u32) -> Result<String, Status> {
    read(guest, at, size).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Writes bytes.
pub(super) fn write(guest: &mut Guest<'_>, at: u32, bytes: &[u8]) -> Answer {
    let memory = memory(guest)?;
    memory.write(&mut *guest, at as usize, bytes).map_err(|_| Status::InvalidMemoryAccess)
}

/// Hands bytes to the module in memory that it allocates, and writes where they are and how many.
pub(super) fn give(guest: &mut Guest<'_>, bytes: &[u8], at: u32, size_at: u32) -> Answer {
    let size = u32::try_from(bytes.len()).map_err(|_| Status::InvalidMemoryAccess)?;
    let mut place = 0;
    if size > 0 {
        let allocator = ["proxy_on_memory_allocate", "malloc"]
            .into_iter()
            .find_map(|name| guest.get_export(name)?.into_func());
        let allocator = allocator
            .and_then(|function| function.typed::<u32, u32>(&*guest).ok())
            .ok_or(Status::InvalidMemoryAccess)?;
        place = allocator.call(&mut *guest, size).map_err(|_| Status::InternalFailure)?;
        if place == 0 {
            return Err(Status::InvalidMemoryAccess);
        }
        write(guest, place, bytes)?;
    }
    write(guest, at, &place.to_le_bytes())?;
    write(guest, size_at, &size.to_le_bytes())
}
