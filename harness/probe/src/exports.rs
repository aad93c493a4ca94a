//! What the host calls.

use crate::state::{Of, callback};

macro_rules! exports {
    ($($export:ident $name:literal ($($argument:ident),*) $of:expr $(, $answer:literal)?;)*) => {
        $(#[unsafe(no_mangle)]
        extern "C" fn $export($($argument: u32),*) $(-> exports!(@ $answer))? {
            let answer = callback($name, &[$($argument),*], $of);
            let _ = answer;
            $(return answer.unwrap_or($answer);)?
        })*
    };
    (@ $answer:literal) => { u32 };
}

exports! {
    proxy_on_context_create "context_create" (context, parent) Of::Stream(context);
    proxy_on_vm_start "vm_start" (context, size) Of::Root, 1;
    proxy_on_configure "configure" (context, size) Of::Root, 1;
    proxy_on_tick "tick" (context) Of::Root;
    proxy_on_queue_ready "queue_ready" (context, queue) Of::Root;
    proxy_on_request_body "request_body" (context, size, last) Of::Stream(context), 0;
    proxy_on_request_trailers "request_trailers" (context, count) Of::Stream(context), 0;
    proxy_on_response_body "response_body" (context, size, last) Of::Stream(context), 0;
    proxy_on_response_trailers "response_trailers" (context, count) Of::Stream(context), 0;
    proxy_on_http_call_response "http_call_response" (context, token, headers, size, trailers) Of::Callout(token);
    proxy_on_grpc_receive_initial_metadata "grpc_receive_initial_metadata" (context, token, count) Of::Callout(token);
    proxy_on_grpc_receive "grpc_receive" (context, token, size) Of::Callout(token);
    proxy_on_grpc_receive_trailing_metadata "grpc_receive_trailing_metadata" (context, token, count) Of::Callout(token);
    proxy_on_grpc_close "grpc_close" (context, token, status) Of::Callout(token);
    proxy_on_log "log" (context) Of::Stream(context);
    proxy_on_done "done" (context) Of::Stream(context), 1;
    proxy_on_delete "delete" (context) Of::Stream(context);
}

// In the first version of the ABI these two are not told whether the stream ends.
#[cfg(feature = "abi_0_1_0")]
exports! {
    proxy_on_request_headers "request_headers" (context, count) Of::Stream(context), 0;
    proxy_on_response_headers "response_headers" (context, count) Of::Stream(context), 0;
}

#[cfg(not(feature = "abi_0_1_0"))]
exports! {
    proxy_on_request_headers "request_headers" (context, count, last) Of::Stream(context), 0;
    proxy_on_response_headers "response_headers" (context, count, last) Of::Stream(context), 0;
}

#[cfg(feature = "abi_0_1_0")]
#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_1_0() {}

#[cfg(feature = "abi_0_2_0")]
#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_0() {}

#[cfg(not(any(feature = "abi_0_1_0", feature = "abi_0_2_0")))]
#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    Box::into_raw(vec![0_u8; size].into_boxed_slice()).cast()
}

#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    unsafe extern "C" {
        fn __wasm_call_ctors();
    }
    // SAFETY: the host calls `_initialize` once, before everything else.
    unsafe { __wasm_call_ctors() };
}
