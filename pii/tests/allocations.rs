//! Nothing is allocated for a text that has nothing in it, and little for one that has.
#![expect(unsafe_code, reason = "an allocator that counts is one")]

use pii::{Engine, Place};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, which counts what the thread asks of it.
struct Counting;

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many findings a text has, and how often finding them asks for memory.
fn count(engine: &Engine, text: &str, place: Place<'_>) -> (usize, usize) {
    let before = COUNT.get();
    let found = engine.find(text.as_bytes(), place);
    (found.spans().len(), COUNT.get() - before)
}

#[test]
fn nothing_is_allocated_where_there_is_nothing_to_find() {
    let engine = Engine::default();
    for text in [
        "",
        "/v2/shops/berlin-mitte/products/47110815?category=running-shoes&sort=price&page=2&color=black",
        r#"{"page":1,"items":[{"id":17,"state":"open"}],"next":null}"#,
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/32.0.1700.77 Safari/537.36",
        "theme=dark; lang=en; tz=utc",
    ] {
        assert_eq!(count(&engine, text, Place::Text), (0, 0), "{text}");
        assert_eq!(count(&engine, text, Place::Field(b"x-note")), (0, 0), "{text}");
    }
}

#[test]
fn four_findings_cost_one_allocation_and_escapes_two_more() {
    let engine = Engine::default();
    let plain =
        "/v2/users?email=joe.bloggs@example.com&ip=198.51.100.7&card=4111-1111-1111-1111&session=abc1";
    assert_eq!(count(&engine, plain, Place::Text), (4, 1));
    // What is decoded, and its map.
    let (found, allocations) = count(&engine, &plain.replace('@', "%40"), Place::Text);
    assert!(found == 4 && allocations <= 3, "{found} found, {allocations} allocations");
}
