//! From a key to a number: every algorithm is a hash of the key to a whole number below a total, of which arms own ranges.
//!
//! The formulas are those of the SDKs that applications use, so that a user lands in the same arm in the mesh and in the application. Where an SDK
//! compares floating-point numbers, the bounds are found once, when the configuration is compiled, by the SDK's own comparison: a request costs a
//! hash and a binary search.

mod digest;
mod fnv;
pub mod growthbook;
mod murmur;
mod ranges;
#[cfg(test)]
mod tests;

pub use fnv::Units;
pub use ranges::Ranges;

use digest::{Md5, Sha1};
use filter_kit::choices;
use fnv::Fnv;
use murmur::Murmur;
use xxhash_rust::xxh64::xxh64;

/// The count of slots of our own algorithm, which is what weights add up to.
pub const SLOTS: u16 = 10_000;

/// Whose formula it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Algorithm {
    /// Our own: XXH64, with a place in the coverage beside the slot.
    #[default]
    Outrigger,
    /// GrowthBook's hash version 1: thousandths.
    GrowthbookV1,
    /// GrowthBook's hash version 2: ten-thousandths.
    GrowthbookV2,
    /// The rollout of an Unleash strategy: percents.
    Unleash,
    /// Unleash's variants.
    UnleashVariant,
    /// flagd's `fractional` operator.
    Flagd,
    /// flagd's `fractional` operator as it was before it took weights of any sum.
    FlagdV1,
    /// Optimizely's traffic allocation.
    Optimizely,
    /// LaunchDarkly's rollouts and experiments.
    Launchdarkly,
    /// Eppo's shards.
    Eppo,
}

choices!(Algorithm {
    "outrigger" => Outrigger,
    "growthbook-v1" => GrowthbookV1,
    "growthbook-v2" => GrowthbookV2,
    "unleash" => Unleash,
    "unleash-variant" => UnleashVariant,
    "flagd" => Flagd,
    "flagd-v1" => FlagdV1,
    "optimizely" => Optimizely,
    "launchdarkly" => Launchdarkly,
    "eppo" => Eppo,
});

/// The second seed of Unleash, for variants.
const VARIANT_SEED: u32 = 86_028_157;

/// LaunchDarkly's scale: fifteen hexadecimal digits.
const LONG_SCALE: u64 = 0xfff_ffff_ffff_ffff;

/// What an algorithm takes beside the key.
#[derive(Debug, Clone, Copy, Default)]
pub struct Parameters<'p> {
    /// GrowthBook's and flagd's: the text before (or behind) the key. LaunchDarkly's: a whole number, in place of group and salt.
    pub seed: &'p str,
    /// Unleash's group, Optimizely's parent id, LaunchDarkly's flag key.
    pub group: &'p str,
    /// Our own, LaunchDarkly's and Eppo's.
    pub salt: &'p str,
    /// How many values there are: Eppo's total of shards; flagd's and Unleash's sum of weights.
    pub total: u64,
    /// What of a text GrowthBook's hash is over.
    pub units: Units,
}

/// A hash of keys, with what stands before and behind a key already in it.
#[derive(Debug, Clone)]
pub struct Bucketer {
    algorithm: Algorithm,
    hash: Hash,
    after: Box<[u8]>,
    total: u64,
}

#[derive(Debug, Clone)]
enum Hash {
    Xxh64(u64),
    Fnv(Fnv),
    Murmur(Murmur),
    Sha1(Box<Sha1>),
    Md5(Box<Md5>),
}

/// Where a key falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Below the algorithm's total: which arm.
    pub value: u64,
    /// The place in the coverage, 0 to 9,999, of our own algorithm; a key is enrolled when it is below the coverage. 0 for the others.
    pub place: u16,
}

/// A bucket as the SDK shows it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shown {
    /// A whole number.
    Whole(u64),
    /// A share of 1, or of 100 for flagd's first version.
    Share(f64),
}

impl Bucketer {
    /// Prepares the hash of an algorithm.
    #[inline(never)]
    pub fn new(algorithm: Algorithm, parameters: &Parameters<'_>) -> Self {
        let Parameters { seed, group, salt, total, units } = *parameters;
        let fnv = |text: &str| Hash::Fnv(Fnv::new(units).with(text.as_bytes()));
        let murmur = |seed, text: String| Hash::Murmur(Murmur::new(seed).with(text.as_bytes()));
        let (hash, after, total) = match algorithm {
            // hash = XXH64(key, seed = XXH64(salt, seed = 0)) over the bytes as they are. The upper 32 bits choose the slot and the lower 32 the
            // place in the coverage, each scaled by `bits * 10000 >> 32`, which needs no division and favours no value by more than 2.4e-6. XXH64
            // is in every language's libraries, passes SMHasher, and takes 8 bytes a step.
            Algorithm::Outrigger => (Hash::Xxh64(xxh64(salt.as_bytes(), 0)), "", u64::from(SLOTS)),
            Algorithm::GrowthbookV1 => (fnv(""), seed, 1_000),
            Algorithm::GrowthbookV2 => (fnv(seed), "", 10_000),
            Algorithm::Unleash => (murmur(0, [group, ":"].concat()), "", 100),
            Algorithm::UnleashVariant => (murmur(VARIANT_SEED, [group, ":"].concat()), "", total),
            Algorithm::Flagd => (murmur(0, seed.to_owned()), "", total),
            Algorithm::FlagdV1 => (murmur(0, seed.to_owned()), "", (1 << 31) + 1),
            Algorithm::Optimizely => (murmur(1, String::new()), group, 10_000),
            Algorithm::Launchdarkly => {
                let before =
                    if seed.is_empty() { [group, ".", salt, "."].concat() } else { [seed, "."].concat() };
                (Hash::Sha1(Box::new(Sha1::after(before.as_bytes()))), "", LONG_SCALE + 1)
            }
            Algorithm::Eppo => (Hash::Md5(Box::new(Md5::after([salt, "-"].concat().as_bytes()))), "", total),
        };
        Self { algorithm, hash, after: after.as_bytes().into(), total }
    }

    /// The hash of a GrowthBook namespace, which is its version 1 with `__` before the name.
    pub fn namespace(name: &str, units: Units) -> Self {
        let seed = ["__", name].concat();
        Self::new(Algorithm::GrowthbookV1, &Parameters { seed: &seed, units, ..Parameters::default() })
    }

    /// Whose formula it is.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// How many values there are.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Where a key falls. The key is not empty.
    #[inline]
    pub fn of(&self, key: &[u8]) -> Bucket {
        match &self.hash {
            Hash::Xxh64(seed) => {
                let hash = xxh64(key, *seed);
                let place = u16::try_from(scale(hash & 0xffff_ffff, u64::from(SLOTS))).unwrap_or(SLOTS);
                Bucket { value: scale(hash >> 32, u64::from(SLOTS)), place }
            }
            _ => Bucket { value: self.of_sdk(key), place: 0 },
        }
    }

    #[inline(never)]
    fn of_sdk(&self, key: &[u8]) -> u64 {
        match &self.hash {
            Hash::Xxh64(seed) => xxh64(key, *seed),
            Hash::Fnv(fnv) => {
                let hash = fnv.with(key).with(&self.after);
                let hash =
                    if self.algorithm == Algorithm::GrowthbookV2 { hash.of_decimal() } else { hash.sum() };
                u64::from(hash) % self.total
            }
            Hash::Murmur(murmur) => {
                let hash = murmur.with(key).with(&self.after).sum();
                match self.algorithm {
                    Algorithm::FlagdV1 => u64::from(hash.cast_signed().unsigned_abs()),
                    Algorithm::Flagd | Algorithm::Optimizely => scale(u64::from(hash), self.total),
                    _ => u64::from(hash).checked_rem(self.total).unwrap_or(0),
                }
            }
            Hash::Sha1(sha1) => u64::from_be_bytes(sha1.head(key)) >> 4,
            Hash::Md5(md5) => {
                u64::from(u32::from_be_bytes(md5.head(key))).checked_rem(self.total).unwrap_or(0)
            }
        }
    }

    /// A value as the SDK shows it.
    #[expect(clippy::cast_precision_loss, reason = "the SDKs round here too, and so must we")]
    pub fn show(&self, value: u64) -> Shown {
        match self.algorithm {
            Algorithm::GrowthbookV1 | Algorithm::GrowthbookV2 => {
                Shown::Share(value as f64 / self.total as f64)
            }
            Algorithm::FlagdV1 => Shown::Share(value as f64 / f64::from(i32::MAX) * 100.0),
            Algorithm::Launchdarkly => Shown::Share(value as f64 / LONG_SCALE as f64),
            Algorithm::Unleash | Algorithm::UnleashVariant => Shown::Whole(value + 1),
            Algorithm::Outrigger | Algorithm::Flagd | Algorithm::Optimizely | Algorithm::Eppo => {
                Shown::Whole(value)
            }
        }
    }

    /// The first value that the SDK finds at or above a share: `start <= value < end` holds for exactly the values between two of these.
    pub fn bound(&self, share: f64) -> u64 {
        let (mut low, mut high) = (0, self.total);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.show(middle) {
                Shown::Share(shown) if shown >= share => high = middle,
                _ => low = middle + 1,
            }
        }
        low
    }
}

/// The 32 bits of a hash as a number below a total, without a division.
fn scale(bits: u64, total: u64) -> u64 {
    (bits * total) >> 32
}
