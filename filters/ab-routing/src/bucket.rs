//! From a key to a number.

use crate::SLOTS;
use xxhash_rust::xxh64::xxh64;

/// Where a key falls in an experiment: two independent numbers out of one hash.
///
/// `hash = XXH64(key, seed = XXH64(salt, seed = 0))` over the bytes as they are. The upper 32 bits choose the slot and the lower 32 the
/// place in the coverage, each scaled by `bits * 10000 >> 32`, which needs no division and favours no value by more than 2.4e-6.
/// XXH64 is in every language's libraries, passes SMHasher, and takes 8 bytes a step; its specification is the xxHash project's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// The slot of the allocation, 0 to 9,999.
    pub slot: u16,
    /// The place in the coverage, 0 to 9,999: a key is enrolled when it is below the coverage.
    pub place: u16,
}

impl Bucket {
    /// The seed of an experiment.
    pub fn seed(salt: &str) -> u64 {
        xxh64(salt.as_bytes(), 0)
    }

    /// Where a key falls.
    pub fn of(key: &[u8], seed: u64) -> Self {
        let hash = xxh64(key, seed);
        Self { slot: scale(hash >> 32), place: scale(hash & 0xffff_ffff) }
    }
}

fn scale(bits: u64) -> u16 {
    u16::try_from((bits * u64::from(SLOTS)) >> 32).unwrap_or(SLOTS - 1)
}

#[cfg(test)]
mod tests {
    use super::Bucket;
    use xxhash_rust::xxh64::xxh64;

    #[test]
    fn the_hash_is_the_published_one() {
        // From the xxHash project's own sanity checks.
        assert_eq!(xxh64(b"", 0), 0xef46_db37_51d8_e999);
        assert_eq!(xxh64(b"a", 0), 0xd24e_c4f1_a98c_6e5b);
        assert_eq!(xxh64(b"abc", 0), 0x44bc_2cf5_ad77_0999);
    }

    #[test]
    fn a_key_falls_where_it_fell_in_every_release() {
        let seed = Bucket::seed("checkout");
        for (key, slot, place) in [
            (&b"alice"[..], 9185, 470),
            (b"bob", 2974, 391),
            (b"5f1c", 5999, 1176),
            ("ü".as_bytes(), 261, 6433),
            (b"\xff\xfe", 3009, 2844),
        ] {
            assert_eq!(Bucket::of(key, seed), Bucket { slot, place }, "{key:?}");
        }
    }
}
