//! Metrics.

use crate::{
    host::{
        memory::{Guest, answer, read_text, write},
        state::State,
    },
    lint::Lint,
};
use wasmtime::Linker;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_define_metric",
        |mut guest: Guest<'_>, kind: u32, name: u32, size: u32, id_at: u32| {
            answer(&mut guest, "proxy_define_metric", |guest| {
                let name = read_text(guest, name, size)?;
                let words = ["counter", "gauge", "histogram"];
                let word = words.get(kind as usize).copied().unwrap_or("?");
                guest.data().world.trace(|trace| trace.about(word));
                let State { metrics, world, .. } = guest.data_mut();
                let id = metrics.define(&mut world.0.borrow_mut().stats, kind, name)?;
                guest.data().world.trace(|trace| trace.note(format!("metric {id}"), false));
                write(guest, id_at, &id.to_le_bytes())
            })
        },
    )?;
    linker.func_wrap("env", "proxy_increment_metric", |mut guest: Guest<'_>, id: u32, step: i64| {
        answer(&mut guest, "proxy_increment_metric", |guest| {
            let state = guest.data();
            state.world.trace(|trace| trace.note(format!("metric {id}, {step}"), true));
            state.metrics.increment(&mut state.world.0.borrow_mut().stats, id, step)?;
            if state.is_configuring() {
                state.note(Lint::ConfigureEffect, "a metric is incremented");
            }
            Ok(())
        })
    })?;
    linker.func_wrap("env", "proxy_record_metric", |mut guest: Guest<'_>, id: u32, value: u64| {
        answer(&mut guest, "proxy_record_metric", |guest| {
            let state = guest.data();
            state.world.trace(|trace| trace.note(format!("metric {id}, {value}"), true));
            state.metrics.record(&mut state.world.0.borrow_mut().stats, id, value)?;
            if state.is_configuring() && !state.metrics.is_gauge(id) {
                state
                    .note(Lint::ConfigureEffect, "a value is added to a counter, or a sample to a histogram");
            }
            Ok(())
        })
    })?;
    linker.func_wrap("env", "proxy_get_metric", |mut guest: Guest<'_>, id: u32, at: u32| {
        answer(&mut guest, "proxy_get_metric", |guest| {
            let value = guest.data().metrics.get(&guest.data().world.0.borrow().stats, id)?;
            guest.data().world.trace(|trace| {
                trace.note(format!("metric {id}"), true);
                trace.note(value.to_string(), false);
            });
            write(guest, at, &value.to_le_bytes())
        })
    })?;
    Ok(())
}
