//! Shared data, with compare-and-swap.

use super::{
    Guest,
    guest::{answer, give, read, write},
};
use crate::host::{abi::Status, state::State};
use wasmtime::Linker;

/// The most entries of shared data in a VM.
const SHARED_DATA_LIMIT: usize = 100_000;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_shared_data",
        |mut guest: Guest<'_>, key, key_size, at, size_at, cas_at| {
            answer(&mut guest, |guest| {
                let key = read(guest, key, key_size)?;
                let (value, cas) = guest.data().shared_data.get(&key).cloned().ok_or(Status::NotFound)?;
                give(guest, &value, at, size_at)?;
                write(guest, cas_at, &cas.to_le_bytes())
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_shared_data",
        |mut guest: Guest<'_>, key, key_size, value, size, cas: u32| {
            answer(&mut guest, |guest| {
                let (key, value) = (read(guest, key, key_size)?, read(guest, value, size)?);
                let state = guest.data_mut();
                match state.shared_data.get(&key) {
                    Some((_, current)) if cas != 0 && cas != *current => return Err(Status::CasMismatch),
                    None if state.shared_data.len() >= SHARED_DATA_LIMIT => {
                        return Err(Status::InternalFailure);
                    }
                    _ => {}
                }
                state.last_cas += 1;
                let cas = state.last_cas;
                state.shared_data.insert(key, (value, cas));
                Ok(())
            })
        },
    )?;
    Ok(())
}
