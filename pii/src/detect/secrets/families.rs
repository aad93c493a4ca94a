//! The families of tokens that are known, with the lengths and alphabets that their vendors give or that tokens in the wild have.
//!
//! The prefixes are those that gitleaks, secretlint and GitHub's secret scanning list.

/// A family of tokens.
#[derive(Debug)]
pub struct Family {
    /// The first character of the prefix in lower case.
    pub first: u8,
    /// How its tokens begin.
    pub prefix: &'static str,
    /// What follows the prefix.
    pub alphabet: Alphabet,
    /// The fewest characters behind the prefix.
    pub least: usize,
    /// The most.
    pub most: usize,
    /// Whether the last six characters are a CRC-32.
    pub crc32: bool,
}

/// The characters of a token behind its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alphabet {
    /// Capitals and digits.
    Upper,
    /// Small letters and digits.
    Lower,
    /// Hex digits.
    Hex,
    /// Letters and digits.
    Alnum,
    /// Letters, digits, `-` and `_`.
    Url,
    /// The same and dots.
    Dotted,
    /// Letters, digits, `+`, `/` and `=`.
    Base64,
    /// Letters, digits, `-`, `_` and `=`.
    Base64Url,
}

impl Alphabet {
    /// Whether it has the character.
    #[inline]
    pub fn has(self, byte: u8) -> bool {
        match self {
            Self::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Lower => byte.is_ascii_lowercase() || byte.is_ascii_digit(),
            Self::Hex => byte.is_ascii_hexdigit(),
            Self::Alnum => byte.is_ascii_alphanumeric(),
            Self::Url => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'),
            Self::Dotted => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'),
            Self::Base64 => byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='),
            Self::Base64Url => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'='),
        }
    }
}

const fn family(prefix: &'static str, alphabet: Alphabet, least: usize, most: usize) -> Family {
    // No prefix is empty.
    let first = match prefix.as_bytes().first() {
        Some(first) => first.to_ascii_lowercase(),
        None => 0,
    };
    Family { first, prefix, alphabet, least, most, crc32: false }
}

const fn checked(prefix: &'static str) -> Family {
    let mut family = family(prefix, Alphabet::Alnum, 36, 36);
    family.crc32 = true;
    family
}

/// Where the families of a first character begin and end in [`FAMILIES`].
#[inline]
pub fn of(first: u8) -> &'static [Family] {
    let range = RANGES.get(usize::from(first)).map(|(from, to)| usize::from(*from)..usize::from(*to));
    range.and_then(|range| FAMILIES.get(range)).unwrap_or_default()
}

const RANGES: [(u8, u8); 128] = ranges();

#[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "evaluated at compile time")]
const fn ranges() -> [(u8, u8); 128] {
    let mut ranges = [(0, 0); 128];
    let mut index = 0;
    while index < FAMILIES.len() {
        let first = FAMILIES[index].first as usize;
        if ranges[first].1 == 0 {
            ranges[first].0 = index as u8;
        }
        ranges[first].1 = index as u8 + 1;
        index += 1;
    }
    ranges
}

/// Whether a family may begin with these three characters, in any case.
#[inline]
pub fn may_begin(three: [u8; 3]) -> bool {
    let place = place(three);
    BEGINS.get(place / 64).is_some_and(|bits| bits >> (place % 64) & 1 == 1)
}

/// The bits of the table of first characters.
const BITS: usize = 4096;

/// The place of three characters in the table; several have the same.
#[inline]
const fn place([first, second, third]: [u8; 3]) -> usize {
    let letters = ((first & 31) as usize) << 10 | ((second & 31) as usize) << 5 | (third & 31) as usize;
    ((letters * 0x9e35) >> 7) % BITS
}

static BEGINS: [u64; BITS / 64] = begins();

#[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
const fn begins() -> [u64; BITS / 64] {
    let mut table = [0; BITS / 64];
    let mut index = 0;
    while index < FAMILIES.len() {
        let prefix = FAMILIES[index].prefix.as_bytes();
        // Any character may follow a prefix of two.
        let mut third = 0;
        while third < 32 {
            if prefix.len() < 3 || prefix[2] & 31 == third {
                let place = place([prefix[0], prefix[1], third]);
                table[place / 64] |= 1 << (place % 64);
            }
            third += 1;
        }
        index += 1;
    }
    table
}

/// All families, sorted by their first character.
pub const FAMILIES: &[Family] = &[
    family("access-development-", Alphabet::Url, 36, 36),
    family("access-production-", Alphabet::Url, 36, 36),
    family("AGE-SECRET-KEY-1", Alphabet::Upper, 58, 58),
    family("access-sandbox-", Alphabet::Url, 36, 36),
    family("api_org_", Alphabet::Alnum, 34, 34),
    family("ATATT3", Alphabet::Base64Url, 180, 250),
    family("ATCTT3", Alphabet::Base64Url, 180, 250),
    family("ABIA", Alphabet::Upper, 16, 16),
    family("ABSK", Alphabet::Base64, 100, 160),
    family("ACCA", Alphabet::Upper, 16, 16),
    family("AIza", Alphabet::Url, 35, 35),
    family("AKCp", Alphabet::Alnum, 60, 80),
    family("AKIA", Alphabet::Upper, 16, 16),
    family("AKID", Alphabet::Alnum, 28, 40),
    family("ASIA", Alphabet::Upper, 16, 16),
    family("ATBB", Alphabet::Alnum, 32, 32),
    family("aio_", Alphabet::Alnum, 28, 28),
    family("bkua_", Alphabet::Hex, 40, 40),
    family("CLOJARS_", Alphabet::Alnum, 60, 60),
    family("cmVmdGtu", Alphabet::Alnum, 56, 70),
    family("CCIPAT_", Alphabet::Url, 40, 100),
    family("CCIPRJ_", Alphabet::Url, 40, 100),
    family("CFPAT-", Alphabet::Url, 43, 43),
    family("duffel_live_", Alphabet::Url, 43, 43),
    family("duffel_test_", Alphabet::Url, 43, 43),
    family("dckr_oat_", Alphabet::Url, 32, 40),
    family("dckr_pat_", Alphabet::Url, 27, 27),
    family("doo_v1_", Alphabet::Hex, 64, 64),
    family("dop_v1_", Alphabet::Hex, 64, 64),
    family("dor_v1_", Alphabet::Hex, 64, 64),
    family("dt0c01.", Alphabet::Dotted, 80, 100),
    family("dt0s01.", Alphabet::Dotted, 80, 100),
    family("dp.ct.", Alphabet::Alnum, 40, 60),
    family("dp.pt.", Alphabet::Alnum, 40, 60),
    family("dp.st.", Alphabet::Dotted, 40, 80),
    family("dapi", Alphabet::Hex, 32, 34),
    family("ddp_", Alphabet::Alnum, 36, 36),
    family("ddw_", Alphabet::Alnum, 36, 36),
    family("EAAA", Alphabet::Url, 60, 64),
    family("EAAC", Alphabet::Alnum, 60, 400),
    family("EAAG", Alphabet::Alnum, 60, 400),
    family("EZAK", Alphabet::Alnum, 54, 54),
    family("EZTK", Alphabet::Alnum, 54, 54),
    family("FLWSECK_TEST-", Alphabet::Alnum, 12, 40),
    family("FLWSECK-", Alphabet::Url, 32, 40),
    family("fio-u-", Alphabet::Url, 64, 64),
    family("figd_", Alphabet::Url, 40, 50),
    family("fm1_", Alphabet::Base64, 100, 600),
    family("fm2_", Alphabet::Base64, 100, 600),
    family("fo1_", Alphabet::Url, 43, 43),
    family("fw_", Alphabet::Alnum, 22, 40),
    family("github_pat_", Alphabet::Url, 60, 90),
    family("GR1348941", Alphabet::Url, 20, 20),
    family("glagent-", Alphabet::Url, 20, 60),
    family("GOCSPX-", Alphabet::Url, 28, 28),
    family("glsoat-", Alphabet::Url, 20, 60),
    family("glcbt-", Alphabet::Url, 20, 60),
    family("glimt-", Alphabet::Url, 20, 60),
    family("glpat-", Alphabet::Dotted, 20, 60),
    family("glptt-", Alphabet::Url, 20, 60),
    family("gldt-", Alphabet::Url, 20, 60),
    family("glft-", Alphabet::Url, 20, 60),
    family("glrt-", Alphabet::Url, 20, 60),
    family("glsa_", Alphabet::Url, 40, 42),
    checked("gho_"),
    checked("ghp_"),
    checked("ghr_"),
    checked("ghs_"),
    checked("ghu_"),
    family("glc_", Alphabet::Base64, 32, 400),
    family("gsk_", Alphabet::Alnum, 48, 56),
    family("HRKU-", Alphabet::Url, 36, 64),
    family("hvb.", Alphabet::Url, 24, 400),
    family("hvs.", Alphabet::Url, 24, 300),
    family("hf_", Alphabet::Alnum, 34, 40),
    family("ico-", Alphabet::Alnum, 32, 32),
    family("key-", Alphabet::Hex, 32, 32),
    family("lin_oauth_", Alphabet::Alnum, 40, 80),
    family("lin_api_", Alphabet::Alnum, 40, 40),
    family("lsv2_pt_", Alphabet::Url, 40, 60),
    family("lsv2_sk_", Alphabet::Url, 40, 60),
    family("LTAI", Alphabet::Alnum, 16, 22),
    family("nvapi-", Alphabet::Url, 60, 70),
    family("NRAK-", Alphabet::Upper, 27, 27),
    family("NRII-", Alphabet::Url, 32, 32),
    family("NRJS-", Alphabet::Hex, 19, 19),
    family("nfp_", Alphabet::Alnum, 36, 50),
    checked("npm_"),
    family("ntn_", Alphabet::Alnum, 40, 50),
    family("ops_ey", Alphabet::Base64, 200, 1200),
    family("oy2", Alphabet::Lower, 43, 43),
    family("pscale_oauth_", Alphabet::Dotted, 32, 64),
    family("pscale_tkn_", Alphabet::Dotted, 32, 64),
    family("pscale_pw_", Alphabet::Dotted, 32, 64),
    family("pypi-AgE", Alphabet::Url, 50, 300),
    family("pk.eyJ", Alphabet::Dotted, 60, 300),
    family("PMAK-", Alphabet::Url, 59, 59),
    family("pplx-", Alphabet::Alnum, 40, 64),
    family("pat.", Alphabet::Dotted, 60, 80),
    family("phx_", Alphabet::Alnum, 40, 60),
    family("pnu_", Alphabet::Alnum, 36, 36),
    family("pul-", Alphabet::Hex, 40, 40),
    family("rubygems_", Alphabet::Hex, 48, 48),
    family("rzp_live_", Alphabet::Alnum, 14, 14),
    family("rzp_test_", Alphabet::Alnum, 14, 14),
    family("rk_live_", Alphabet::Alnum, 10, 120),
    family("rk_test_", Alphabet::Alnum, 10, 120),
    family("rdme_", Alphabet::Alnum, 70, 70),
    family("r8_", Alphabet::Alnum, 37, 37),
    family("re_", Alphabet::Url, 24, 40),
    family("shippo_live_", Alphabet::Hex, 40, 40),
    family("shippo_test_", Alphabet::Hex, 40, 40),
    family("sk-svcacct-", Alphabet::Url, 40, 200),
    family("sb_secret_", Alphabet::Url, 30, 50),
    family("sk-admin-", Alphabet::Url, 40, 200),
    family("sk-or-v1-", Alphabet::Hex, 64, 64),
    family("sk-proj-", Alphabet::Url, 40, 200),
    family("sk_live_", Alphabet::Alnum, 10, 120),
    family("sk_test_", Alphabet::Alnum, 10, 120),
    family("secret_", Alphabet::Alnum, 43, 43),
    family("sha256~", Alphabet::Url, 43, 43),
    family("sk-ant-", Alphabet::Url, 30, 140),
    family("sm_aat_", Alphabet::Alnum, 16, 16),
    family("sm_pat_", Alphabet::Alnum, 16, 16),
    family("sm_sat_", Alphabet::Alnum, 16, 16),
    family("sntrys_", Alphabet::Base64, 100, 300),
    family("sntryu_", Alphabet::Hex, 64, 64),
    family("sq0atp-", Alphabet::Url, 22, 22),
    family("sq0csp-", Alphabet::Url, 43, 43),
    family("shpat_", Alphabet::Hex, 32, 32),
    family("shpca_", Alphabet::Hex, 32, 32),
    family("shppa_", Alphabet::Hex, 32, 32),
    family("shpss_", Alphabet::Hex, 32, 32),
    family("sk.eyJ", Alphabet::Dotted, 60, 300),
    family("sat.", Alphabet::Dotted, 60, 80),
    family("sbp_", Alphabet::Hex, 40, 40),
    family("sqa_", Alphabet::Hex, 40, 40),
    family("sqp_", Alphabet::Hex, 40, 40),
    family("squ_", Alphabet::Hex, 40, 40),
    family("SG.", Alphabet::Dotted, 50, 80),
    family("sk-", Alphabet::Alnum, 32, 64),
    family("SK", Alphabet::Hex, 32, 32),
    family("tk-us-", Alphabet::Url, 48, 48),
    family("tskey-", Alphabet::Url, 20, 100),
    family("tfp_", Alphabet::Dotted, 59, 59),
    family("whsec_", Alphabet::Base64, 32, 80),
    family("xsmtpsib-", Alphabet::Url, 81, 81),
    family("xkeysib-", Alphabet::Url, 81, 81),
    family("xapp-", Alphabet::Url, 20, 150),
    family("xoxa-", Alphabet::Url, 20, 120),
    family("xoxb-", Alphabet::Url, 20, 120),
    family("xoxe-", Alphabet::Url, 20, 300),
    family("xoxe.", Alphabet::Dotted, 20, 300),
    family("xoxo-", Alphabet::Url, 20, 120),
    family("xoxp-", Alphabet::Url, 20, 120),
    family("xoxr-", Alphabet::Url, 20, 120),
    family("xoxs-", Alphabet::Url, 20, 120),
    family("xai-", Alphabet::Alnum, 70, 90),
    family("ya29.", Alphabet::Url, 20, 400),
    family("zpka_", Alphabet::Alnum, 32, 64),
];
