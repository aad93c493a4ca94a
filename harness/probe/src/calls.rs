//! The host calls, by name, each with its signature in letters.

use std::mem;

/// A value of 32 bits is `i`, one of 64 bits `l`, bytes (a pointer and a size) `s`, a list of pairs likewise. What the host writes: 32 bits `o`,
/// 64 bits `q`, bytes in memory that it asks for `b`, bytes in place `w` (four of them).
pub struct Call {
    pub name: &'static str,
    pub signature: &'static str,
    pub function: *const (),
}

// SAFETY: the module has one thread, and the pointers are to functions.
unsafe impl Sync for Call {}

macro_rules! calls {
    ($($module:literal { $($(#[$only:meta])? $name:ident $export:ident $signature:literal ($($argument:ty),*);)* })*) => {
        $(#[link(wasm_import_module = $module)]
        unsafe extern "C" {
            $($(#[$only])? #[link_name = stringify!($export)] fn $name($(_: $argument),*) -> u32;)*
        })*
        pub static CALLS: &[Call] = &[$($($(#[$only])? Call {
            name: stringify!($name),
            signature: $signature,
            function: $name as *const (),
        }),*),*];
    };
}

calls! {
    "env" {
        log proxy_log "is" (u32, u32, u32);
        #[cfg(not(any(feature = "abi_0_1_0", feature = "abi_0_2_0")))]
        get_log_level proxy_get_log_level "o" (u32);
        get_current_time_nanoseconds proxy_get_current_time_nanoseconds "q" (u32);
        set_tick_period_milliseconds proxy_set_tick_period_milliseconds "i" (u32);
        get_property proxy_get_property "sb" (u32, u32, u32, u32);
        set_property proxy_set_property "ss" (u32, u32, u32, u32);
        get_header_map_value proxy_get_header_map_value "isb" (u32, u32, u32, u32, u32);
        get_header_map_pairs proxy_get_header_map_pairs "ib" (u32, u32, u32);
        get_header_map_size proxy_get_header_map_size "io" (u32, u32);
        add_header_map_value proxy_add_header_map_value "iss" (u32, u32, u32, u32, u32);
        replace_header_map_value proxy_replace_header_map_value "iss" (u32, u32, u32, u32, u32);
        remove_header_map_value proxy_remove_header_map_value "is" (u32, u32, u32);
        set_header_map_pairs proxy_set_header_map_pairs "is" (u32, u32, u32);
        get_buffer_bytes proxy_get_buffer_bytes "iiib" (u32, u32, u32, u32, u32);
        set_buffer_bytes proxy_set_buffer_bytes "iiis" (u32, u32, u32, u32, u32);
        get_buffer_status proxy_get_buffer_status "ioo" (u32, u32, u32);
        #[cfg(not(feature = "abi_0_1_0"))]
        continue_stream proxy_continue_stream "i" (u32);
        #[cfg(not(feature = "abi_0_1_0"))]
        close_stream proxy_close_stream "i" (u32);
        #[cfg(feature = "abi_0_1_0")]
        continue_request proxy_continue_request "" ();
        #[cfg(feature = "abi_0_1_0")]
        continue_response proxy_continue_response "" ();
        #[cfg(feature = "abi_0_1_0")]
        clear_route_cache proxy_clear_route_cache "" ();
        #[cfg(feature = "abi_0_1_0")]
        get_configuration proxy_get_configuration "b" (u32, u32);
        send_local_response proxy_send_local_response "isssi" (u32, u32, u32, u32, u32, u32, u32, u32);
        http_call proxy_http_call "ssssio" (u32, u32, u32, u32, u32, u32, u32, u32, u32, u32);
        grpc_call proxy_grpc_call "sssssio" (u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32);
        grpc_stream proxy_grpc_stream "sssso" (u32, u32, u32, u32, u32, u32, u32, u32, u32);
        grpc_send proxy_grpc_send "isi" (u32, u32, u32, u32);
        grpc_cancel proxy_grpc_cancel "i" (u32);
        grpc_close proxy_grpc_close "i" (u32);
        get_status proxy_get_status "ob" (u32, u32, u32);
        set_effective_context proxy_set_effective_context "i" (u32);
        done proxy_done "" ();
        define_metric proxy_define_metric "iso" (u32, u32, u32, u32);
        increment_metric proxy_increment_metric "il" (u32, i64);
        record_metric proxy_record_metric "il" (u32, i64);
        get_metric proxy_get_metric "iq" (u32, u32);
        get_shared_data proxy_get_shared_data "sbo" (u32, u32, u32, u32, u32);
        set_shared_data proxy_set_shared_data "ssi" (u32, u32, u32, u32, u32);
        register_shared_queue proxy_register_shared_queue "so" (u32, u32, u32);
        resolve_shared_queue proxy_resolve_shared_queue "sso" (u32, u32, u32, u32, u32);
        enqueue_shared_queue proxy_enqueue_shared_queue "is" (u32, u32, u32);
        dequeue_shared_queue proxy_dequeue_shared_queue "ib" (u32, u32, u32);
        call_foreign_function proxy_call_foreign_function "ssb" (u32, u32, u32, u32, u32, u32);
    }
    "wasi_snapshot_preview1" {
        args_sizes_get args_sizes_get "oo" (u32, u32);
        args_get args_get "ww" (u32, u32);
        environ_sizes_get environ_sizes_get "oo" (u32, u32);
        environ_get environ_get "ww" (u32, u32);
        clock_res_get clock_res_get "iq" (u32, u32);
        clock_time_get clock_time_get "ilq" (u32, i64, u32);
        random_get random_get "wi" (u32, u32);
        sched_yield sched_yield "" ();
        fd_write fd_write "iso" (u32, u32, u32, u32);
        fd_read fd_read "iso" (u32, u32, u32, u32);
        fd_seek fd_seek "iliq" (u32, i64, u32, u32);
        fd_close fd_close "i" (u32);
        fd_fdstat_get fd_fdstat_get "iw" (u32, u32);
        fd_fdstat_set_flags fd_fdstat_set_flags "ii" (u32, u32);
        fd_prestat_get fd_prestat_get "iw" (u32, u32);
        fd_prestat_dir_name fd_prestat_dir_name "iw" (u32, u32, u32);
        fd_filestat_get fd_filestat_get "iw" (u32, u32);
        path_open path_open "iisilliw" (u32, u32, u32, u32, u32, i64, i64, u32, u32);
        path_filestat_get path_filestat_get "iisw" (u32, u32, u32, u32, u32);
        poll_oneoff poll_oneoff "wwio" (u32, u32, u32, u32);
    }
}

/// An argument, as it goes over the border.
#[derive(Clone, Copy)]
pub enum Word {
    Short(u32),
    Long(i64),
}

/// Calls a host function. `signature` lays out the words; every layout that occurs has an arm.
pub fn call(function: *const (), words: &[Word]) -> Option<u32> {
    macro_rules! arms {
        ($($($name:ident $kind:ident)*;)*) => {
            match *words {
                // SAFETY: the table above gives each function the type that the words were laid out by.
                $([$(Word::$kind($name)),*] => unsafe {
                    mem::transmute::<*const (), extern "C" fn($(arms!(@ $kind)),*) -> u32>(function)($($name),*)
                },)*
                _ => return None,
            }
        };
        (@ Short) => { u32 };
        (@ Long) => { i64 };
    }
    Some(arms! {
        ;
        a Short;
        a Short b Short;
        a Short b Long;
        a Short b Short c Short;
        a Short b Long c Short;
        a Short b Short c Short d Short;
        a Short b Long c Short d Short;
        a Short b Short c Short d Short e Short;
        a Short b Short c Short d Short e Short f Short;
        a Short b Short c Short d Short e Short f Short g Short h Short;
        a Short b Short c Short d Short e Short f Short g Short h Short i Short;
        a Short b Short c Short d Short e Short f Long g Long h Short i Short;
        a Short b Short c Short d Short e Short f Short g Short h Short i Short j Short;
        a Short b Short c Short d Short e Short f Short g Short h Short i Short j Short k Short l Short;
    })
}
