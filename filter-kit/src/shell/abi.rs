//! The host calls of ABI 0.2.1 that the kit makes, each with its plain status.
//!
//! They are declared here and not taken from the SDK: its getters panic on status 2, and a status that its enum lacks is undefined behaviour.
#![expect(
    unsafe_code,
    reason = "the host's functions take pointers into this module's memory; this file alone deals with them"
)]
#![cfg_attr(
    not(target_arch = "wasm32"),
    expect(dead_code, reason = "the test tries what has memory of the host's, and the rest is for modules")
)]

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;

use crate::{Buffer, HeaderMap, HostBytes, Level, Pairs, Source, metrics::Kind};
use std::{
    cell::{Cell, UnsafeCell},
    mem::MaybeUninit,
    ops::Deref,
    ptr, slice,
};

const OK: u32 = 0;

#[cfg_attr(target_arch = "wasm32", link(wasm_import_module = "env"))]
unsafe extern "C" {
    fn proxy_log(level: u32, text: *const u8, size: usize) -> u32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_get_property(path: *const u8, path_size: usize, value: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_property(path: *const u8, path_size: usize, value: *const u8, size: usize) -> u32;
    fn proxy_get_header_map_pairs(map: u32, value: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_add_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        size: usize,
    ) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        size: usize,
    ) -> u32;
    fn proxy_remove_header_map_value(map: u32, name: *const u8, name_size: usize) -> u32;
    fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        max: usize,
        value: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_set_buffer_bytes(
        buffer: u32,
        start: usize,
        size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_continue_stream(stream: u32) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_http_call(
        cluster: *const u8,
        cluster_size: usize,
        headers: *const u8,
        headers_size: usize,
        body: *const u8,
        body_size: usize,
        trailers: *const u8,
        trailers_size: usize,
        timeout_ms: u32,
        token: *mut u32,
    ) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        value: *mut *mut u8,
        size: *mut usize,
        change: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(
        key: *const u8,
        key_size: usize,
        value: *const u8,
        size: usize,
        change: u32,
    ) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, size: usize, id: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, step: i64) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
}

/// A static of a module: it has one thread.
pub struct Single<T>(T);

// SAFETY: a module for wasm32-wasip1 without the feature `atomics` has one thread.
#[cfg(not(target_feature = "atomics"))]
unsafe impl<T> Sync for Single<T> {}

impl<T> Single<T> {
    /// Puts a value into a static.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value.
    pub fn get(&self) -> &T {
        &self.0
    }
}

/// The memory that is used over and over: most header maps fit in, and to take and give back memory costs as much as to read one.
static SCRATCH: Single<UnsafeCell<[u8; SCRATCH_SIZE]>> = Single::new(UnsafeCell::new([0; SCRATCH_SIZE]));
const SCRATCH_SIZE: usize = 4096;

/// Whether somebody holds it: from the host's asking for memory, until the bytes in it are dropped.
static IS_SCRATCH_TAKEN: Single<Cell<bool>> = Single::new(Cell::new(false));

/// Bytes in the memory that is used over and over. There is one of these at most.
pub struct Scratch {
    size: usize,
}

impl Deref for Scratch {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: `take` made this value, with a size that `allocate` found to fit, and nobody writes until it is dropped.
        unsafe { slice::from_raw_parts(SCRATCH.get().get().cast(), self.size) }
    }
}

impl Drop for Scratch {
    #[inline]
    fn drop(&mut self) {
        IS_SCRATCH_TAKEN.get().set(false);
    }
}

/// Memory for the host to write a value into; [`take`] owns it afterwards.
pub fn allocate(size: usize) -> *mut u8 {
    if size <= SCRATCH_SIZE && !IS_SCRATCH_TAKEN.get().replace(true) {
        return SCRATCH.get().get().cast();
    }
    let memory: Box<[MaybeUninit<u8>]> = Box::new_uninit_slice(size);
    Box::into_raw(memory).cast()
}

/// The most bytes that are asked for: with any place in a buffer less than what the host takes for an overflow.
const MOST: usize = usize::MAX >> 2;

/// Makes a host call that returns bytes; `None` unless its status is ok.
fn take(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Option<HostBytes> {
    try_take(call).ok()
}

/// As [`take`], with the status where it is not ok.
fn try_take(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<HostBytes, u32> {
    let (mut value, mut size) = (ptr::null_mut::<u8>(), 0);
    let status = call(&raw mut value, &raw mut size);
    if status != OK {
        return Err(status);
    }
    if value.is_null() || size == 0 {
        return Ok(HostBytes::default());
    }
    if value == SCRATCH.get().get().cast() {
        return Ok(Scratch { size }.into());
    }
    // SAFETY: the host got this memory from `allocate` with this very size, has filled it, and keeps no hold of it.
    let memory: Box<[u8]> = unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(value, size)) };
    Ok(memory.into())
}

/// The host itself.
pub struct Host;

impl Source for Host {
    fn pairs(&self, map: HeaderMap) -> Pairs {
        // SAFETY: both pointers are to locals of `take`.
        Pairs::new(
            take(|value, size| unsafe { proxy_get_header_map_pairs(map as u32, value, size) })
                .unwrap_or_default(),
        )
    }

    fn header(&self, map: HeaderMap, name: &str) -> Option<HostBytes> {
        // SAFETY: the name outlives the call; the other pointers are to locals of `take`.
        take(|value, size| unsafe {
            proxy_get_header_map_value(map as u32, name.as_ptr(), name.len(), value, size)
        })
    }

    fn buffer(&self, buffer: Buffer, from: usize) -> HostBytes {
        // SAFETY: both pointers are to locals of `take`.
        take(|value, size| unsafe { proxy_get_buffer_bytes(buffer as u32, from, MOST, value, size) })
            .unwrap_or_default()
    }

    fn property(&self, path: &[&str]) -> Option<HostBytes> {
        let path = path.join("\0");
        // SAFETY: `path` outlives the call; the other pointers are to locals of `take`.
        take(|value, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), value, size) })
    }

    fn now(&self) -> u64 {
        let mut time = 0;
        // SAFETY: the pointer is to a local.
        unsafe { proxy_get_current_time_nanoseconds(&raw mut time) };
        time
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn random(&self, _: &mut [u8]) -> bool {
        false
    }

    #[cfg(target_arch = "wasm32")]
    #[expect(clippy::disallowed_methods, reason = "this is what stands behind View::random")]
    fn random(&self, bytes: &mut [u8]) -> bool {
        getrandom::fill(bytes).is_ok()
    }

    fn shared(&self, key: &str) -> Result<(HostBytes, u32), u32> {
        let mut change = 0;
        // SAFETY: the key outlives the call; the other pointers are to locals of `try_take` and of this function.
        let value = try_take(|value, size| unsafe {
            proxy_get_shared_data(key.as_ptr(), key.len(), value, size, &raw mut change)
        })?;
        Ok((value, change))
    }

    fn set_shared(&self, key: &str, value: &[u8], change: u32) -> u32 {
        // SAFETY: key and value outlive the call.
        unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), change) }
    }
}

/// A variable of the VM's environment.
#[expect(clippy::disallowed_methods, reason = "this is what stands behind Environment::get")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Writes a line to the host's log.
pub fn log(level: Level, text: &str) {
    // SAFETY: `text` outlives the call.
    unsafe { proxy_log(level as u32, text.as_ptr(), text.len()) };
}

/// Gives a header this one value.
pub fn set_header(map: HeaderMap, name: &str, value: &[u8]) {
    // SAFETY: name and value outlive the call.
    unsafe {
        proxy_replace_header_map_value(map as u32, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    };
}

/// Adds a header.
pub fn add_header(map: HeaderMap, name: &str, value: &[u8]) {
    // SAFETY: name and value outlive the call.
    unsafe { proxy_add_header_map_value(map as u32, name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
}

/// Removes a header.
pub fn remove_header(map: HeaderMap, name: &str) {
    // SAFETY: the name outlives the call.
    unsafe { proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) };
}

/// Replaces the whole of a buffer.
pub fn set_buffer(buffer: Buffer, value: &[u8]) {
    // SAFETY: the value outlives the call.
    unsafe { proxy_set_buffer_bytes(buffer as u32, 0, usize::MAX >> 1, value.as_ptr(), value.len()) };
}

/// Leaves a value in filter state.
pub fn set_state(key: &str, value: &str) {
    // SAFETY: key and value outlive the call.
    unsafe { proxy_set_property(key.as_ptr(), key.len(), value.as_ptr(), value.len()) };
}

/// Lets a held stream go on: 0 is the request, 1 the response.
pub fn resume(side: u32) {
    // SAFETY: no pointers.
    unsafe { proxy_continue_stream(side) };
}

/// Answers in the upstream's place.
pub fn reply(status: u16, details: &str, body: &[u8], headers: &[u8]) {
    // SAFETY: every slice outlives the call.
    unsafe {
        proxy_send_local_response(
            u32::from(status),
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            -1,
        )
    };
}

/// Sends a request to a cluster; the callout's id, or `None` when Envoy refuses it.
pub fn call(cluster: &str, headers: &[u8], body: &[u8], timeout_ms: u32) -> Option<u32> {
    let mut token = 0;
    // SAFETY: every slice outlives the call, and the last pointer is to a local.
    let status = unsafe {
        proxy_http_call(
            cluster.as_ptr(),
            cluster.len(),
            headers.as_ptr(),
            headers.len(),
            body.as_ptr(),
            body.len(),
            ptr::null(),
            0,
            timeout_ms,
            &raw mut token,
        )
    };
    (status == OK).then_some(token)
}

/// Makes the maps of a stream readable in a callback of the root context. False where the host has no such context any more.
pub fn set_effective_context(context: u32) -> bool {
    // SAFETY: no pointers.
    unsafe { proxy_set_effective_context(context) == 0 }
}

/// Starts the root context's timer.
pub fn set_tick_period(milliseconds: u32) {
    // SAFETY: no pointers.
    unsafe { proxy_set_tick_period_milliseconds(milliseconds) };
}

/// Defines a series.
pub fn define(kind: Kind, name: &str) -> Option<u32> {
    let mut id = 0;
    // SAFETY: the name outlives the call, and the last pointer is to a local.
    let status = unsafe { proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &raw mut id) };
    (status == OK).then_some(id)
}

/// Adds to a counter, sets a gauge, or takes a sample into a histogram.
#[expect(clippy::inline_always, reason = "a call costs more than what it does here")]
#[inline(always)]
pub fn measure(kind: Kind, id: u32, value: u64) {
    match (kind, i64::try_from(value)) {
        // Envoy refuses a step of 0.
        (Kind::Counter, Ok(0)) => {}
        // SAFETY: no pointers.
        (Kind::Counter, step) => _ = unsafe { proxy_increment_metric(id, step.unwrap_or(i64::MAX)) },
        // SAFETY: no pointers.
        (Kind::Gauge | Kind::Histogram, _) => _ = unsafe { proxy_record_metric(id, value) },
    }
}

/// Runs the constructors of this module and of libc. Without this call in `_initialize`, the linker wraps every export in them.
pub fn initialize() {
    unsafe extern "C" {
        fn __wasm_call_ctors();
    }
    // SAFETY: the host calls `_initialize` once, before everything else.
    unsafe { __wasm_call_ctors() };
}
