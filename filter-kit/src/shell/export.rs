//! The exports of a module.

use super::{Shell, abi::Single};
use crate::Filter;
use std::cell::RefCell;

/// The VM's one shell.
pub type Cell<F> = Single<RefCell<Shell<F>>>;

/// An empty shell.
pub const fn cell<F: Filter>() -> Cell<F> {
    Single::new(RefCell::new(Shell::new()))
}

/// Makes a module of a filter: `filter_kit::export!(AbRouting: request_headers, response_headers);`.
///
/// The callbacks named are the module's exports, and must be the filter's [`CALLBACKS`](crate::Filter::CALLBACKS), or it does not compile.
/// The custom section `outrigger.callbacks` names them for tools.
#[macro_export]
macro_rules! export {
    ($filter:ty: $($callback:ident),+ $(,)?) => {
        #[expect(unsafe_code, reason = "the names of exports are global")]
        mod module {
            use super::*;
            use $crate::{Callbacks, Filter, Flow, Phase, shell};

            const EXPORTED: Callbacks = Callbacks::NONE$(.and($crate::export!(@set $callback)))+;
            const _: () = assert!(
                EXPORTED.equals(<$filter as Filter>::CALLBACKS),
                "the callbacks that export! names are not the filter's CALLBACKS",
            );

            static SHELL: shell::Cell<$filter> = shell::cell();

            /// The host never enters a VM that is in a callback, except for memory; should it do so, the callback does nothing.
            #[inline(always)]
            fn with<T: Default>(call: impl FnOnce(&mut shell::Shell<$filter>) -> T) -> T {
                match SHELL.get().try_borrow_mut() {
                    Ok(mut shell) => call(&mut shell),
                    Err(_) => T::default(),
                }
            }

            #[inline(always)]
            fn stream(context: u32, phase: Phase, size: usize, last: bool) -> u32 {
                match SHELL.get().try_borrow_mut() {
                    Ok(mut shell) => u32::from(shell.stream(context, phase, size, last) == Flow::Pause),
                    Err(_) => 0,
                }
            }

            const NAMES: &str = concat!($($crate::export!(@name $callback), ","),+);

            #[used]
            #[unsafe(link_section = "outrigger.callbacks")]
            static CALLBACKS: [u8; NAMES.len()] = match NAMES.as_bytes().first_chunk() {
                Some(names) => *names,
                None => [0; NAMES.len()],
            };

            #[unsafe(no_mangle)]
            extern "C" fn proxy_abi_version_0_2_1() {}

            #[unsafe(no_mangle)]
            extern "C" fn _initialize() {
                shell::abi::initialize();
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
                shell::abi::allocate(size)
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_configure(context: u32, _size: usize) -> u32 {
                with(|shell| u32::from(shell.configure(context)))
            }

            $($crate::export!(@export $callback);)+
        }
    };

    (@set request_headers) => { Callbacks::REQUEST_HEADERS };
    (@set request_body) => { Callbacks::REQUEST_BODY };
    (@set request_trailers) => { Callbacks::REQUEST_TRAILERS };
    (@set response_headers) => { Callbacks::RESPONSE_HEADERS };
    (@set response_body) => { Callbacks::RESPONSE_BODY };
    (@set response_trailers) => { Callbacks::RESPONSE_TRAILERS };
    (@set log) => { Callbacks::LOG };
    (@set tick) => { Callbacks::TICK };
    (@set callout) => { Callbacks::CALLOUT };
    (@set create) => { Callbacks::CREATE };
    (@set delete) => { Callbacks::DELETE };

    (@name callout) => { "proxy_on_http_call_response" };
    (@name create) => { "proxy_on_context_create" };
    (@name $callback:ident) => { concat!("proxy_on_", stringify!($callback)) };

    (@export request_headers) => { $crate::export!(@headers proxy_on_request_headers RequestHeaders); };
    (@export response_headers) => { $crate::export!(@headers proxy_on_response_headers ResponseHeaders); };
    (@export request_body) => { $crate::export!(@headers proxy_on_request_body RequestBody); };
    (@export response_body) => { $crate::export!(@headers proxy_on_response_body ResponseBody); };
    (@export request_trailers) => { $crate::export!(@trailers proxy_on_request_trailers RequestTrailers); };
    (@export response_trailers) => { $crate::export!(@trailers proxy_on_response_trailers ResponseTrailers); };
    (@export log) => {
        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_log(context: u32) {
            stream(context, Phase::Log, 0, true);
        }
    };
    (@export tick) => {
        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_tick(context: u32) {
            with(|shell| shell.tick(context));
        }
    };
    (@export callout) => {
        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_http_call_response(_root: u32, token: u32, _headers: usize, size: usize, _trailers: usize) {
            with(|shell| shell.callout(token, size));
        }
    };
    (@export create) => {
        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_context_create(context: u32, parent: u32) {
            with(|shell| shell.create(context, parent));
        }
    };
    (@export delete) => {
        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_delete(context: u32) {
            with(|shell| shell.delete(context));
        }
    };
    // A header or body callback: the count of headers or the bytes of body, and whether the stream ends here.
    (@headers $name:ident $phase:ident) => {
        #[unsafe(no_mangle)]
        extern "C" fn $name(context: u32, size: usize, last: u32) -> u32 {
            stream(context, Phase::$phase, size, last != 0)
        }
    };
    (@trailers $name:ident $phase:ident) => {
        #[unsafe(no_mangle)]
        extern "C" fn $name(context: u32, size: usize) -> u32 {
            stream(context, Phase::$phase, size, true)
        }
    };
}
