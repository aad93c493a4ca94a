//! Shared data, with compare-and-swap, and shared queues.

use crate::{
    Bytes,
    host::{
        abi::Status,
        memory::{Guest, answer, give, read, read_text, write},
        state::State,
    },
    lint::Lint,
};
use wasmtime::Linker;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_shared_data",
        |mut guest: Guest<'_>, key: u32, key_size: u32, at: u32, size_at: u32, cas_at: u32| {
            answer(&mut guest, "proxy_get_shared_data", |guest| {
                let key = read(guest, key, key_size)?;
                let state = guest.data();
                let entry = state.world.0.borrow().get(&state.options.vm_id, &key);
                let (value, cas) = entry.ok_or(Status::NotFound)?;
                give(guest, &value, at, size_at)?;
                guest.data().world.trace(|trace| trace.note(format!("change {cas}"), false));
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
                let state = guest.data();
                if cas > 0 {
                    state.world.trace(|trace| trace.note(format!("if change {cas}"), true));
                }
                let mut world = state.world.0.borrow_mut();
                let old = || world.get(&state.options.vm_id, &key);
                let is_changed = state.is_configuring() && old().is_some_and(|(old, _)| old != value);
                let changed =
                    is_changed.then(|| format!("the shared value {:?} is changed", Bytes::from(&key)));
                world.set(&state.options.vm_id, key, value, cas)?;
                drop(world);
                if let Some(changed) = changed {
                    state.note(Lint::ConfigureEffect, changed);
                }
                Ok(())
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_register_shared_queue",
        |mut guest: Guest<'_>, name: u32, size: u32, token_at: u32| {
            answer(&mut guest, "proxy_register_shared_queue", |guest| {
                let name = read(guest, name, size)?;
                let state = guest.data();
                let consumer = (state.serial, state.root_id());
                let token = state.world.0.borrow_mut().register(&state.options.vm_id, name, consumer)?;
                write(guest, token_at, &token.to_le_bytes())
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_resolve_shared_queue",
        |mut guest: Guest<'_>, vm_id: u32, vm_id_size: u32, name: u32, size: u32, token_at: u32| {
            answer(&mut guest, "proxy_resolve_shared_queue", |guest| {
                let (vm_id, name) = (read_text(guest, vm_id, vm_id_size)?, read(guest, name, size)?);
                let state = guest.data();
                let vm_id = if vm_id.is_empty() { state.options.vm_id.clone() } else { vm_id };
                let token = state.world.0.borrow().resolve(&vm_id, name)?;
                write(guest, token_at, &token.to_le_bytes())
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_enqueue_shared_queue",
        |mut guest: Guest<'_>, token: u32, value: u32, size: u32| {
            answer(&mut guest, "proxy_enqueue_shared_queue", |guest| {
                let value = read(guest, value, size)?;
                let state = guest.data();
                state.world.0.borrow_mut().enqueue(token, value)?;
                if state.is_configuring() {
                    state.note(Lint::ConfigureEffect, "a value is put into a shared queue");
                }
                Ok(())
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_dequeue_shared_queue",
        |mut guest: Guest<'_>, token: u32, at: u32, size_at: u32| {
            answer(&mut guest, "proxy_dequeue_shared_queue", |guest| {
                let value = guest.data().world.0.borrow_mut().dequeue(token)?;
                give(guest, &value, at, size_at)
            })
        },
    )?;
    Ok(())
}
