//! The code with pointers against a host in this process, so that valgrind can watch it: a module runs in a sandbox, where nobody sees a byte too far.
//!
//! `cargo test -p filter-kit --lib --no-run`, and the program that it names behind `valgrind --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite`.

use super::{Host, IS_SCRATCH_TAKEN, SCRATCH_SIZE, allocate};
use crate::{Buffer, HeaderMap, Source};
use std::{cell::RefCell, ptr};

thread_local! {
    /// What the host answers: bytes, or a status.
    static ANSWER: RefCell<Result<Vec<u8>, u32>> = const { RefCell::new(Ok(Vec::new())) };
    /// What was handed to the host last.
    static GIVEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What Envoy does: asks for memory of the size and writes into it; nothing of no size.
fn answer(value: *mut *mut u8, size: *mut usize) -> u32 {
    ANSWER.with_borrow(|answer| match answer {
        Err(status) => *status,
        Ok(bytes) => {
            let place = if bytes.is_empty() { ptr::null_mut() } else { allocate(bytes.len()) };
            // SAFETY: the pointers are to locals of the caller, and the memory is of this size.
            unsafe {
                ptr::copy_nonoverlapping(bytes.as_ptr(), place, bytes.len());
                *value = place;
                *size = bytes.len();
            }
            0
        }
    })
}

/// What was handed over, byte for byte.
fn keep(bytes: *const u8, size: usize) {
    // SAFETY: the caller says that there are so many.
    let given = unsafe { std::slice::from_raw_parts(bytes, size) };
    GIVEN.with_borrow_mut(|kept| kept.extend_from_slice(given));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_get_header_map_pairs(_: u32, value: *mut *mut u8, size: *mut usize) -> u32 {
    answer(value, size)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_get_header_map_value(
    _: u32,
    name: *const u8,
    name_size: usize,
    value: *mut *mut u8,
    size: *mut usize,
) -> u32 {
    keep(name, name_size);
    answer(value, size)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_get_buffer_bytes(
    _: u32,
    _: usize,
    _: usize,
    value: *mut *mut u8,
    size: *mut usize,
) -> u32 {
    answer(value, size)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_get_property(
    path: *const u8,
    path_size: usize,
    value: *mut *mut u8,
    size: *mut usize,
) -> u32 {
    keep(path, path_size);
    answer(value, size)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_get_shared_data(
    key: *const u8,
    key_size: usize,
    value: *mut *mut u8,
    size: *mut usize,
    change: *mut u32,
) -> u32 {
    keep(key, key_size);
    // SAFETY: the pointer is to a local of the caller.
    unsafe { *change = 7 };
    answer(value, size)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_set_shared_data(
    key: *const u8,
    key_size: usize,
    value: *const u8,
    size: usize,
    change: u32,
) -> u32 {
    keep(key, key_size);
    keep(value, size);
    change
}

#[unsafe(no_mangle)]
extern "C" fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32 {
    // SAFETY: the pointer is to a local of the caller.
    unsafe { *time = 42 };
    0
}

fn answers(bytes: &[u8]) {
    ANSWER.set(Ok(bytes.to_vec()));
}

/// One test: what is tried has statics, and a module one thread.
#[test]
fn what_the_host_hands_over_is_read_and_given_back() {
    let is_taken = || IS_SCRATCH_TAKEN.get().get();
    // Sizes around that of the memory that is used over and over.
    for size in [0, 1, 7, SCRATCH_SIZE - 1, SCRATCH_SIZE, SCRATCH_SIZE + 1, 1 << 20] {
        let bytes: Vec<u8> = (0..size).map(|place| u8::try_from(place % 251).unwrap()).collect();
        answers(&bytes);
        let first = Host.header(HeaderMap::Request, "x-a").unwrap();
        assert_eq!(is_taken(), (1..=SCRATCH_SIZE).contains(&size), "{size}");
        // While it is held, others have memory of their own.
        let second = Host.property(&["a", "b"]).unwrap();
        answers(b"other");
        let third = Host.buffer(Buffer::RequestBody, 0);
        assert_eq!((&*first, &*second, &*third), (&bytes[..], &bytes[..], &b"other"[..]), "{size}");
        drop(first);
        assert_eq!((&*second, &*third), (&bytes[..], &b"other"[..]), "{size}");
        drop((second, third));
        assert!(!is_taken(), "{size}");
    }
    // A status that is not ok is no value, and takes no memory.
    ANSWER.set(Err(2));
    assert!(
        Host.header(HeaderMap::Request, "x-a").is_none() && Host.buffer(Buffer::RequestBody, 0).is_empty()
    );
    assert!(matches!(Host.shared("key"), Err(2)) && !is_taken());
    answers(b"value");
    GIVEN.take();
    let (value, change) = Host.shared("key").unwrap();
    assert_eq!((&*value, change, Host.set_shared("key", &value, 9), Host.now()), (&b"value"[..], 7, 9, 42));
    assert_eq!(GIVEN.take(), b"keykeyvalue");
    drop(value);
    // Bytes that are no pairs are a map without any.
    for bytes in [&b"\x01"[..], &[0xff; 64], &[1, 0, 0, 0, 255, 255, 255, 127, 0, 0, 0, 0]] {
        answers(bytes);
        assert_eq!(Host.pairs(HeaderMap::Request).iter().count(), 0);
    }
    assert!(!is_taken());
}
