//! Generated leak cases: entity x encoding x place, with encoders that share no code with the engine.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that cannot go on has failed, and each test uses its part"
)]

mod oracle;

#[allow(unused_imports, reason = "not every test looks for all of it")]
pub use oracle::{Forms, Output, leak};
use std::fmt::Write as _;

/// A case: a text with a value in it.
pub struct Case {
    pub entity: &'static str,
    pub encoding: &'static str,
    pub place: &'static str,
    pub value: String,
    pub text: String,
}

/// SplitMix64: cases are the same in every run.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit).unwrap()).unwrap()
    }
    pub fn of(&mut self, alphabet: &str, length: usize) -> String {
        let alphabet: Vec<char> = alphabet.chars().collect();
        (0..length).map(|_| alphabet[self.below(alphabet.len())]).collect()
    }
    pub fn digits(&mut self, length: usize) -> String {
        self.of("0123456789", length)
    }
}

const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const ALNUM: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const HEX: &str = "0123456789abcdef";

/// An entity: its id, the name of its field (`q` says nothing), and whether its case means nothing.
pub struct Kind {
    pub id: &'static str,
    pub key: &'static str,
    any_case: bool,
    make: fn(&mut Random) -> String,
}

impl Kind {
    /// A value.
    pub fn value(&self, random: &mut Random) -> String {
        (self.make)(random)
    }
}

const fn kind(id: &'static str, key: &'static str, make: fn(&mut Random) -> String) -> Kind {
    Kind { id, key, any_case: false, make }
}

const fn caseless(id: &'static str, key: &'static str, make: fn(&mut Random) -> String) -> Kind {
    Kind { id, key, any_case: true, make }
}

pub const KINDS: &[Kind] = &[
    caseless("email", "q", |r| {
        format!("{}.{}@{}.example.com", r.of(LOWER, 5), r.of(LOWER, 4), r.of(LOWER, 6))
    }),
    caseless("email", "q", |r| format!("{}+{}@{}.org", r.of(LOWER, 3), r.of(LOWER, 4), r.of(LOWER, 9))),
    kind("phone", "q", |r| format!("+49{}{}", 1 + r.below(9), r.digits(9))),
    kind("phone", "q", |r| format!("+1 ({}{}) {}-{}", 2 + r.below(7), r.digits(2), r.digits(3), r.digits(4))),
    kind("phone", "phone", |r| format!("0{} {}", 1 + r.below(9), r.digits(7))),
    kind("card", "q", |r| luhn(r, "4", 16)),
    kind("card", "q", |r| luhn(r, "34", 15)),
    kind("card", "q", |r| luhn(r, "51", 16)),
    kind("card", "q", |r| spaced(&luhn(r, "4", 16), &[4, 4, 4, 4], ' ')),
    kind("card", "q", |r| spaced(&luhn(r, "55", 16), &[4, 4, 4, 4], '-')),
    kind("card", "q", |r| spaced(&luhn(r, "37", 15), &[4, 6, 5], '.')),
    kind("card", "card_number", |r| r.digits(16)),
    caseless("iban", "q", |r| iban(r, "DE", 18)),
    caseless("iban", "q", |r| spaced(&iban(r, "GB", 18), &[4, 4, 4, 4, 4, 2], ' ')),
    caseless("vin", "q", vin),
    kind("imei", "imei", |r| luhn(r, "35", 15)),
    kind("ipv4", "q", |r| {
        format!("{}.{}.{}.{}", 1 + r.below(220), r.below(256), r.below(256), 1 + r.below(254))
    }),
    caseless("ipv6", "q", |r| {
        format!(
            "2001:db8:{}:{}::{}",
            r.of("123456789abcdef", 4),
            r.of("123456789abcdef", 3),
            r.of("123456789abcdef", 2)
        )
    }),
    caseless("mac", "q", |r| (0..6).map(|_| r.of(HEX, 2)).collect::<Vec<_>>().join(":")),
    caseless("mac", "mac", |r| {
        format!("a{}-{}", r.of(HEX, 1), (0..5).map(|_| r.of(HEX, 2)).collect::<Vec<_>>().join("-"))
    }),
    kind("coordinates", "ll", |r| {
        format!("{}.{},-{}.{}", 10 + r.below(80), r.digits(6), 10 + r.below(89), r.digits(6))
    }),
    kind("date_of_birth", "dob", |r| {
        format!("{}-{:02}-{:02}", 1930 + r.below(80), 1 + r.below(12), 1 + r.below(28))
    }),
    kind("us_ssn", "q", |r| format!("{}-{}-{}", 100 + r.below(500), 10 + r.below(89), 1000 + r.below(8999))),
    kind("us_ssn", "ssn", |r| format!("{}{}{}", 100 + r.below(500), 10 + r.below(89), 1000 + r.below(8999))),
    kind("us_itin", "q", |r| format!("9{}-7{}-{}", r.digits(2), r.below(9), 1000 + r.below(8999))),
    caseless("uk_nino", "q", |r| {
        format!(
            "{}{}{}",
            r.of("ABCEGHJ", 2).replace("GB", "AB").replace("BG", "AB"),
            r.digits(6),
            r.of("ABCD", 1)
        )
    }),
    kind("uk_nhs", "nhs_number", |r| valid(r, "uk_nhs", |r| r.digits(10))),
    caseless("es_nif", "q", |r| valid(r, "es_nif", |r| format!("{}{}", r.digits(8), r.of(UPPER, 1)))),
    caseless("es_nie", "q", |r| {
        valid(r, "es_nie", |r| format!("{}{}{}", r.of("XYZ", 1), r.digits(7), r.of(UPPER, 1)))
    }),
    caseless("it_fiscal_code", "q", |r| {
        valid(r, "it_fiscal_code", |r| {
            format!(
                "{}{}{}{}{}{}{}",
                r.of(UPPER, 6),
                r.digits(2),
                r.of("ABCDEHLMPRST", 1),
                r.digits(2),
                r.of(UPPER, 1),
                r.digits(3),
                r.of(UPPER, 1)
            )
        })
    }),
    kind("fr_nir", "q", |r| {
        let body = format!(
            "{}{}{:02}{}{}{}",
            1 + r.below(2),
            r.digits(2),
            1 + r.below(12),
            10 + r.below(80),
            r.digits(3),
            r.digits(3)
        );
        format!("{body}{:02}", 97 - body.parse::<u64>().unwrap() % 97)
    }),
    kind("de_tax_id", "steuer_id", |r| valid(r, "de_tax_id", |r| r.digits(11))),
    kind("pl_pesel", "pesel", |r| valid(r, "pl_pesel", |r| r.digits(11))),
    kind("nl_bsn", "bsn", |r| valid(r, "nl_bsn", |r| r.digits(9))),
    kind("be_nrn", "q", |r| {
        let body = format!("{}{:02}{:02}{}", 10 + r.below(89), 1 + r.below(12), 1 + r.below(28), r.digits(3));
        let check = format!("{:02}", 97 - body.parse::<u64>().unwrap() % 97);
        format!("{}.{}.{}-{}.{check}", &body[..2], &body[2..4], &body[4..6], &body[6..])
    }),
    kind("pt_nif", "nif", |r| valid(r, "pt_nif", |r| r.digits(9))),
    kind("se_personnummer", "q", |r| {
        let value = valid(r, "se_personnummer", |r| {
            format!("{}{:02}{:02}{}", 10 + r.below(89), 1 + r.below(12), 1 + r.below(28), r.digits(4))
        });
        format!("{}-{}", &value[..6], &value[6..])
    }),
    caseless("fi_hetu", "q", |r| {
        let body =
            format!("{:02}{:02}{}{}", 1 + r.below(28), 1 + r.below(12), 10 + r.below(89), 100 + r.below(800));
        let check = "0123456789ABCDEFHJKLMNPRSTUVWXY".as_bytes()
            [usize::try_from(body.parse::<u64>().unwrap() % 31).unwrap()];
        format!("{}-{}{}", &body[..6], &body[6..], char::from(check))
    }),
    kind("dk_cpr", "cpr", |r| {
        format!("{:02}{:02}{}-{}", 1 + r.below(28), 1 + r.below(12), 10 + r.below(89), r.digits(4))
    }),
    kind("no_fodselsnummer", "fodselsnummer", |r| r.digits(11)),
    kind("ro_cnp", "cnp", |r| valid(r, "ro_cnp", |r| r.digits(13))),
    kind("cz_rodne_cislo", "rodne_cislo", |r| valid(r, "cz_rodne_cislo", |r| r.digits(10))),
    kind("bg_egn", "egn", |r| valid(r, "bg_egn", |r| r.digits(10))),
    caseless("ie_pps", "q", |r| valid(r, "ie_pps", |r| format!("{}{}", r.digits(7), r.of(UPPER, 2)))),
    caseless("cn_ric", "q", |r| {
        valid(r, "cn_ric", |r| {
            format!(
                "{}19{}{:02}{:02}{}",
                110_000 + r.below(80_000),
                r.digits(2),
                1 + r.below(12),
                1 + r.below(28),
                r.digits(4)
            )
        })
    }),
    kind("kr_rrn", "rrn", |r| {
        valid(r, "kr_rrn", |r| {
            format!(
                "{}{:02}{:02}{}{}",
                10 + r.below(89),
                1 + r.below(12),
                1 + r.below(28),
                1 + r.below(4),
                r.digits(6)
            )
        })
    }),
    kind("in_aadhaar", "aadhaar", |r| {
        valid(r, "in_aadhaar", |r| format!("{}{}", 2 + r.below(8), r.digits(11)))
    }),
    caseless("in_pan", "q", |r| {
        format!("{}P{}{}{}", r.of(UPPER, 3), r.of(UPPER, 1), 1000 + r.below(8999), r.of(UPPER, 1))
    }),
    caseless("sg_nric", "q", |r| {
        valid(r, "sg_nric", |r| format!("{}{}{}", r.of("STFGM", 1), r.digits(7), r.of(UPPER, 1)))
    }),
    kind("za_id", "sa_id_number", |r| r.digits(13)),
    kind("br_cpf", "q", |r| {
        let value = valid(r, "br_cpf", |r| r.digits(11));
        format!("{}.{}.{}-{}", &value[..3], &value[3..6], &value[6..9], &value[9..])
    }),
    kind("br_cnpj", "cnpj", |r| r.digits(14)),
    kind("au_tfn", "tfn", |r| valid(r, "au_tfn", |r| r.digits(9))),
    kind("au_abn", "abn", |r| r.digits(11)),
    kind("au_medicare", "medicare_number", |r| r.digits(10)),
    kind("ca_sin", "sin", |r| luhn(r, "5", 9)),
    kind("us_npi", "npi", |r| r.digits(10)),
    kind("us_aba", "routing_number", |r| r.digits(9)),
    kind("password", "password", |r| format!("{}{}{}", r.of(LOWER, 5), r.of("!$*", 1), r.of(ALNUM, 5))),
    kind("secret", "api_key", |r| r.of(ALNUM, 24)),
    kind("secret", "session_id", |r| r.of(HEX, 32)),
    kind("name", "first_name", |r| format!("{}{}", r.of(UPPER, 1), r.of(LOWER, 9))),
    kind("address", "street", |r| format!("{} {}", r.of(LOWER, 9), 100 + r.below(900))),
    kind("passport", "passport_number", |r| format!("{}{}", r.of(UPPER, 1), r.digits(8))),
    kind("driving_licence", "driving_licence", |r| format!("{}{}", r.of(UPPER, 2), r.digits(9))),
    kind("bank_account", "account_number", |r| r.digits(10)),
    kind("jwt", "q", |r| {
        format!(
            "{}.{}.{}",
            base64url(r#"{"alg":"HS256"}"#),
            base64url(&format!(r#"{{"sub":"{}"}}"#, r.digits(8))),
            r.of(ALNUM, 43)
        )
    }),
    kind("api_token", "q", token),
    kind("api_token", "q", token),
    kind("url_credentials", "q", |r| format!("https://{}:{}@host.example", r.of(LOWER, 6), r.of(ALNUM, 12))),
    kind("url_signature", "X-Amz-Signature", |r| r.of(HEX, 64)),
    kind("private_key", "q", |r| {
        format!("-----BEGIN EC PRIVATE KEY-----\n{}\n-----END EC PRIVATE KEY-----", r.of(ALNUM, 64))
    }),
];

/// Tokens of vendors.
fn token(r: &mut Random) -> String {
    let families: [(&str, &str, usize); 24] = [
        ("AKIA", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16),
        ("AIza", ALNUM, 35),
        ("ya29.", ALNUM, 60),
        ("glpat-", ALNUM, 20),
        ("xoxb-", ALNUM, 40),
        ("sk_live_", ALNUM, 24),
        ("rk_live_", ALNUM, 24),
        ("hf_", ALNUM, 34),
        ("sk-ant-api03-", ALNUM, 93),
        ("sk-proj-", ALNUM, 60),
        ("shpat_", HEX, 32),
        ("dop_v1_", HEX, 64),
        ("rubygems_", HEX, 48),
        ("lin_api_", ALNUM, 40),
        ("figd_", ALNUM, 40),
        ("pul-", HEX, 40),
        ("xkeysib-", HEX, 81),
        ("github_pat_", ALNUM, 82),
        ("pypi-AgE", ALNUM, 80),
        ("gsk_", ALNUM, 52),
        ("hvs.", ALNUM, 40),
        ("tskey-", ALNUM, 30),
        ("sntryu_", HEX, 64),
        ("sbp_", HEX, 40),
    ];
    let (prefix, alphabet, length) = families[r.below(families.len())];
    format!("{prefix}{}7", r.of(alphabet, length - 1))
}

/// Draws until the value has the entity's checksum.
fn valid(r: &mut Random, id: &str, make: fn(&mut Random) -> String) -> String {
    let entity = pii::Entity::from_id(id).unwrap();
    loop {
        let value = make(r);
        if pii::is_valid(entity, &value) == Some(true) {
            return value;
        }
    }
}

fn luhn(r: &mut Random, prefix: &str, length: usize) -> String {
    let body = format!("{prefix}{}", r.digits(length - 1 - prefix.len()));
    let sum: u32 = body
        .chars()
        .rev()
        .enumerate()
        .map(|(place, c)| {
            let digit = c.to_digit(10).unwrap() * if place % 2 == 0 { 2 } else { 1 };
            digit / 10 + digit % 10
        })
        .sum();
    format!("{body}{}", (10 - sum % 10) % 10)
}

fn iban(r: &mut Random, country: &str, length: usize) -> String {
    let body = r.digits(length);
    let letters = |text: &str| text.chars().map(|c| c.to_digit(36).unwrap().to_string()).collect::<String>();
    let rest = format!("{body}{}00", letters(country))
        .bytes()
        .fold(0_u32, |rest, byte| (rest * 10 + u32::from(byte - b'0')) % 97);
    format!("{country}{:02}{body}", 98 - rest)
}

fn vin(r: &mut Random) -> String {
    valid(r, "vin", |r| {
        format!("{}{}{}", r.of("ABCDEFGHJKLMNPRSTUVWXYZ", 8), r.of("0123456789X", 1), r.digits(8))
    })
}

fn spaced(value: &str, groups: &[usize], separator: char) -> String {
    let mut rest = value;
    let mut parts = Vec::new();
    for group in groups {
        let (part, after) = rest.split_at(*group);
        parts.push(part);
        rest = after;
    }
    parts.join(&separator.to_string())
}

fn percent(text: &str, upper: bool, all: bool) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if !all && (byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)) {
            out.push(char::from(byte));
        } else if upper {
            write!(out, "%{byte:02X}").unwrap();
        } else {
            write!(out, "%{byte:02x}").unwrap();
        }
        out
    })
}

fn json_escaped(text: &str) -> String {
    text.encode_utf16().fold(String::new(), |mut out, unit| {
        write!(out, "\\u{unit:04x}").unwrap();
        out
    })
}

fn html(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        write!(out, "&#{};", u32::from(c)).unwrap();
        out
    })
}

fn base64_with(text: &str, alphabet: &[u8; 64], pad: bool) -> String {
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let value =
            chunk.iter().fold(0_u32, |value, byte| value << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            if place <= chunk.len() {
                out.push(char::from(alphabet[usize::try_from(value >> (18 - 6 * place) & 63).unwrap()]));
            } else if pad {
                out.push('=');
            }
        }
    }
    out
}

pub fn base64(text: &str) -> String {
    base64_with(text, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", true)
}

pub fn base64url(text: &str) -> String {
    base64_with(text, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", false)
}

/// Encodes a value.
type Encode = fn(&str) -> String;
/// Puts an encoded value under a key.
type Put = fn(&str, &str) -> String;

/// The encodings that a value can have in a text.
pub const ENCODINGS: [(&str, Encode); 13] = [
    ("raw", |text| text.to_owned()),
    ("percent, upper case", |text| percent(text, true, false)),
    ("percent, lower case", |text| percent(text, false, true)),
    ("double percent", |text| percent(&percent(text, true, true), true, false)),
    ("plus", |text| percent(text, true, false).replace("%20", "+")),
    ("JSON escape", json_escaped),
    ("JSON escape twice", |text| json_escaped(&json_escaped(text))),
    ("JSON escape and percent", |text| percent(&json_escaped(text), true, false)),
    ("HTML entity", html),
    ("base64", base64),
    ("base64url", base64url),
    ("base64 twice", |text| base64(&base64(text))),
    ("base64 and percent", |text| percent(&base64(text), false, false)),
];

/// The places that a value can stand in.
pub const PLACES: [(&str, Put); 7] = [
    ("path", |key, value| {
        if key == "q" {
            format!("/v1/things/{value}/more?page=2")
        } else {
            format!("/v1/{key}/{value}/more?page=2")
        }
    }),
    ("query", |key, value| format!("/search?lang=en&{key}={value}&page=3")),
    ("cookie", |key, value| format!("theme=dark; {key}={value}; tz=utc")),
    ("form", |key, value| format!("lang=en&{key}={value}")),
    ("json", |key, value| {
        format!(r#"{{"page":1,"more":{{"{key}":"{}"}},"ok":true}}"#, value.replace('\n', "\\n"))
    }),
    ("json array", |key, value| {
        format!(r#"{{"page":1,"{key}":["{}"],"ok":true}}"#, value.replace('\n', "\\n"))
    }),
    ("header", |key, value| format!("x-{key}: {value}\r\naccept: text/html")),
];

/// All cases, so many of each entity, encoding and place.
pub fn all(count: usize, seed: u64) -> impl Iterator<Item = Case> {
    let mut random = Random(seed);
    KINDS.iter().flat_map(move |kind| {
        let mut cases = Vec::new();
        for (encoding, encode) in ENCODINGS {
            for (place, put) in PLACES {
                // Words alone say nothing as a path's segment: routes have such.
                let is_word = matches!(kind.id, "name" | "address" | "password" | "secret" | "url_signature");
                // An unencoded value with a slash or a line's end is several segments, lines or members.
                let is_split =
                    encoding == "raw" && place != "json" && place != "json array" && kind.id == "private_key";
                let is_elsewhere = kind.id == "url_signature" && place == "header";
                if is_word && place == "path" || is_split || is_elsewhere {
                    continue;
                }
                for index in 0..count {
                    let mut value = (kind.make)(&mut random);
                    if kind.any_case && index % 2 == 1 {
                        value = value
                            .chars()
                            .map(|c| {
                                if random.below(2) == 0 {
                                    c.to_ascii_uppercase()
                                } else {
                                    c.to_ascii_lowercase()
                                }
                            })
                            .collect();
                    }
                    let text = put(kind.key, &encode(&value));
                    cases.push(Case { entity: kind.id, encoding, place, value, text });
                }
            }
        }
        cases
    })
}
