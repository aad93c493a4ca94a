use super::{Algorithm, Bucket, Bucketer, Parameters, Shown, Units};
use xxhash_rust::xxh64::xxh64;

fn bucketer(algorithm: Algorithm, parameters: Parameters<'_>) -> Bucketer {
    Bucketer::new(algorithm, &parameters)
}

#[test]
fn the_hash_is_the_published_one() {
    // From the xxHash project's own sanity checks.
    assert_eq!(xxh64(b"", 0), 0xef46_db37_51d8_e999);
    assert_eq!(xxh64(b"a", 0), 0xd24e_c4f1_a98c_6e5b);
    assert_eq!(xxh64(b"abc", 0), 0x44bc_2cf5_ad77_0999);
}

#[test]
fn a_key_falls_where_it_fell_in_every_release() {
    let own = bucketer(Algorithm::Outrigger, Parameters { salt: "checkout", ..Parameters::default() });
    for (key, value, place) in [
        (&b"alice"[..], 9185, 470),
        (b"bob", 2974, 391),
        (b"5f1c", 5999, 1176),
        ("ü".as_bytes(), 261, 6433),
        (b"\xff\xfe", 3009, 2844),
    ] {
        assert_eq!(own.of(key), Bucket { value, place }, "{key:?}");
    }
}

#[test]
fn murmur_is_the_published_one() {
    // From the SMHasher project's and Wikipedia's lists for MurmurHash3_x86_32.
    use super::murmur::Murmur;
    for (bytes, seed, hash) in [
        (&b""[..], 0, 0),
        (b"", 1, 0x514e_28b7),
        (b"", u32::MAX, 0x81f1_6f39),
        (b"test", 0, 0xba6b_d213),
        (b"Hello, world!", 0x9747_b28c, 0x2488_4cba),
        (b"The quick brown fox jumps over the lazy dog", 0x9747_b28c, 0x2fa8_26cd),
        (b"\xff\xff\xff\xff", 0, 0x7629_3b50),
        (b"\x21\x43\x65", 0, 0x7e4a_8634),
    ] {
        assert_eq!(Murmur::new(seed).with(bytes).sum(), hash, "{bytes:?}");
        let (head, tail) = bytes.split_at(bytes.len() / 2);
        assert_eq!(Murmur::new(seed).with(head).with(tail).sum(), hash, "{bytes:?} in two parts");
    }
}

#[test]
fn growthbook_hashes_what_its_setting_says() {
    let with = |units| {
        let of = |key: &[u8]| {
            bucketer(Algorithm::GrowthbookV1, Parameters { seed: "s", units, ..Parameters::default() })
                .of(key)
                .value
        };
        [of(b"abc"), of("é😀".as_bytes()), of(b"\xff")]
    };
    let [utf16, utf8] = [with(Units::Utf16), with(Units::Utf8)];
    assert_eq!(utf16[0], utf8[0]);
    assert_ne!(utf16[1], utf8[1]);
    // By hand: the reference's loop over charCodeAt().
    let reference = |units: &[u32]| {
        units.iter().fold(0x811c_9dc5_u32, |hash, unit| (hash ^ unit).wrapping_mul(0x0100_0193)) % 1000
    };
    assert_eq!(utf16[1], u64::from(reference(&[0xe9, 0xd83d, 0xde00, u32::from(b's')])));
    assert_eq!(utf16[2], u64::from(reference(&[0xfffd, u32::from(b's')])));
    assert_eq!(utf8[2], u64::from(reference(&[0xff, u32::from(b's')])));
}

#[test]
fn the_digests_are_the_published_formulas() {
    // SHA-1 of "flag.salt.user" and of "7.user", and MD5 of "salt-user", by another program.
    let launchdarkly = |seed| {
        bucketer(
            Algorithm::Launchdarkly,
            Parameters { seed, group: "flag", salt: "salt", ..Parameters::default() },
        )
    };
    assert_eq!(launchdarkly("").of(b"user").value, 109_117_107_924_691_701);
    assert_eq!(launchdarkly("7").of(b"user").value, 661_837_269_014_839_137);
    let eppo = bucketer(Algorithm::Eppo, Parameters { salt: "salt", total: 10_000, ..Parameters::default() });
    assert_eq!(eppo.of(b"user").value, 7946);
}

#[test]
fn bounds_are_where_the_sdks_comparison_turns() {
    for algorithm in
        [Algorithm::GrowthbookV1, Algorithm::GrowthbookV2, Algorithm::FlagdV1, Algorithm::Launchdarkly]
    {
        let bucketer = bucketer(algorithm, Parameters::default());
        let shown = |value| match bucketer.show(value) {
            Shown::Share(share) => share,
            Shown::Whole(_) => panic!("{algorithm:?}"),
        };
        for share in [0.0, 0.1, 0.3, 0.333_333_33, 0.5, 0.1 + 0.2, 0.999_9, 1.0] {
            let bound = bucketer.bound(share);
            assert!(bound == 0 || shown(bound - 1) < share, "{algorithm:?} {share}");
            assert!(bound == bucketer.total() || shown(bound) >= share, "{algorithm:?} {share}");
        }
        assert_eq!(bucketer.bound(0.0), 0);
    }
    let v2 = bucketer(Algorithm::GrowthbookV2, Parameters::default());
    assert_eq!((v2.bound(0.29), v2.bound(1.0), v2.bound(1.1)), (2900, 10_000, 10_000));
}
