//! Shared data, with compare-and-swap.

use crate::host::{
    abi::Status,
    memory::{Guest, answer, give, read, write},
    state::State,
};
use std::collections::BTreeMap;
use wasmtime::Linker;

/// The most bytes of shared data in a VM, keys, values and what an entry costs together.
const LIMIT: usize = 64 << 20;
const ENTRY_COST: usize = 128;

/// Values by key, each with the number of its last change. The numbers grow over all keys.
#[derive(Debug, Default)]
pub(crate) struct SharedData {
    entries: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
    changes: u32,
    bytes: usize,
}

impl SharedData {
    /// Sets a value. `cas` is the number of the change that the writer knows, or 0 for any; where there is no value yet it does not matter.
    fn set(&mut self, key: Vec<u8>, value: Vec<u8>, cas: u32) -> Result<(), Status> {
        let freed = match self.entries.get(&key) {
            Some((_, current)) if cas != 0 && cas != *current => return Err(Status::CasMismatch),
            Some((old, _)) => key.len() + old.len() + ENTRY_COST,
            None => 0,
        };
        let bytes = self.bytes - freed + key.len() + value.len() + ENTRY_COST;
        if bytes > LIMIT {
            return Err(Status::InternalFailure);
        }
        self.bytes = bytes;
        self.changes = self.changes.wrapping_add(1);
        self.entries.insert(key, (value, self.changes));
        Ok(())
    }
}

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_shared_data",
        |mut guest: Guest<'_>, key: u32, key_size: u32, at: u32, size_at: u32, cas_at: u32| {
            answer(&mut guest, "proxy_get_shared_data", |guest| {
                let key = read(guest, key, key_size)?;
                let entry = guest.data().shared_data.entries.get(&key).cloned();
                let (value, cas) = entry.ok_or(Status::NotFound)?;
                give(guest, &value, at, size_at)?;
                write(guest, cas_at, &cas.to_le_bytes())
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_shared_data",
        |mut guest: Guest<'_>, key: u32, key_size: u32, value: u32, size: u32, cas: u32| {
            answer(&mut guest, "proxy_set_shared_data", |guest| {
                let (key, value) = (read(guest, key, key_size)?, read(guest, value, size)?);
                Ok(guest.data_mut().shared_data.set(key, value, cas)?)
            })
        },
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{LIMIT, SharedData, Status};

    #[test]
    fn a_value_is_swapped_only_by_who_knows_it() {
        let mut data = SharedData::default();
        let mut set = |key: &str, value: &str, cas| data.set(key.into(), value.into(), cas);
        // Where there is no value yet, the number does not matter.
        assert_eq!(set("a", "1", 9), Ok(()));
        assert_eq!(set("b", "1", 0), Ok(()));
        assert_eq!(set("a", "2", 2), Err(Status::CasMismatch));
        assert_eq!(set("a", "2", 1), Ok(()));
        assert_eq!(set("a", "", 0), Ok(()));
        assert_eq!(data.entries[&b"a"[..]], (Vec::new(), 4));
    }

    #[test]
    fn what_is_shared_is_bounded() {
        let mut data = SharedData::default();
        assert_eq!(data.set(b"a".to_vec(), vec![0; LIMIT - 1000], 0), Ok(()));
        assert_eq!(data.set(b"b".to_vec(), vec![0; 1000], 0), Err(Status::InternalFailure));
        assert_eq!(data.set(b"a".to_vec(), Vec::new(), 0), Ok(()));
        assert_eq!(data.set(b"b".to_vec(), vec![0; 1000], 0), Ok(()));
    }
}
