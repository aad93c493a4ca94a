//! MurmurHash3 for 32-bit machines (A. Appleby; public domain), which Unleash, flagd and Optimizely use.

/// A hash under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Murmur {
    hash: u32,
    /// The bytes that do not yet fill a block, the first one lowest.
    block: u32,
    length: u32,
}

impl Murmur {
    pub(super) fn new(seed: u32) -> Self {
        Self { hash: seed, block: 0, length: 0 }
    }

    /// The hash with more bytes.
    #[must_use]
    pub(super) fn with(mut self, bytes: &[u8]) -> Self {
        for byte in bytes {
            self.block |= u32::from(*byte) << (self.length % 4 * 8);
            self.length = self.length.wrapping_add(1);
            if self.length.is_multiple_of(4) {
                self.hash =
                    (self.hash ^ mix(self.block)).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
                self.block = 0;
            }
        }
        self
    }

    pub(super) fn sum(self) -> u32 {
        let mut hash = self.hash ^ mix(self.block) ^ self.length;
        hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
        hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
        hash ^ (hash >> 16)
    }
}

/// A block of no bytes mixes to 0, which changes nothing.
fn mix(block: u32) -> u32 {
    block.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593)
}
