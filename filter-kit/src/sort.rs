//! Sorting in little code.

/// Sorts by heap sort, which is one loop: the standard library's sorts are up to 5 KB of a module for each type. What is sorted already costs one look.
#[inline(never)]
pub fn sort<T: Ord>(items: &mut [T]) {
    if items.is_sorted() {
        return;
    }
    let count = items.len();
    for root in (0..count / 2).rev() {
        sift(items, root, count);
    }
    for end in (1..count).rev() {
        items.swap(0, end);
        sift(items, 0, end);
    }
}

/// Sorts, and keeps one of those that are equal.
pub fn sort_unique<T: Ord>(items: &mut Vec<T>) {
    sort(items);
    items.dedup();
}

/// Lets an item of the heap sink to its place among the first `end`.
fn sift<T: Ord>(items: &mut [T], mut root: usize, end: usize) {
    loop {
        let mut child = 2 * root + 1;
        if child >= end {
            return;
        }
        if child + 1 < end && items.get(child) < items.get(child + 1) {
            child += 1;
        }
        if items.get(root) >= items.get(child) {
            return;
        }
        items.swap(root, child);
        root = child;
    }
}

#[cfg(test)]
mod tests {
    use super::{sort, sort_unique};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_sorts_as_the_standard_library_does(mut items in prop::collection::vec(0_u8..30, 0..60)) {
            let mut expected = items.clone();
            expected.sort_unstable();
            let mut sorted = items.clone();
            sort(&mut sorted);
            prop_assert_eq!(&sorted, &expected);
            expected.dedup();
            sort_unique(&mut items);
            prop_assert_eq!(items, expected);
        }
    }
}
