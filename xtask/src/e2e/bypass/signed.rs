//! What an attempt signs, forges and spoils: `$[NAME WORDS | SPOIL WORDS]$` in its bytes.
//!
//! | name | is |
//! |---|---|
//! | `force LIST` | a list of arms with the signature of `overrides` |
//! | `carried LIST` | one with the signature of `propagate` |
//! | `kept EXPERIMENT VERSION ARM PLACE KEY` | an entry of the cookie of kept assignments |
//! | `explain METHOD AUTHORITY PATH SECONDS` | a header for an explanation, that counts for so many seconds, or until `=TIME` |
//! | `jwt HEAD CLAIMS` | a token, both as JSON |
//!
//! `@+SECONDS` and `@-SECONDS` in a list are that time from now.

use crate::e2e::rbac::client;
use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use std::time::{SystemTime, UNIX_EPOCH};

/// The secret of the VM's environment, by which filters sign.
pub const SECRET: (&str, &str) = ("BYPASS", "a secret of this corpus and of no other");

/// A token that Envoy finds good.
pub fn token(claims: &serde_json::Value) -> String {
    client::token_of(&serde_json::json!({"alg": "HS256", "typ": "JWT", "kid": "k"}), claims, false)
}

/// Replaces what stands in `$[...]$`.
pub fn fill(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut filled = Vec::new();
    let mut rest = bytes;
    while let Some(place) = rest.windows(2).position(|pair| pair == b"$[") {
        let end = rest.windows(2).skip(place).position(|pair| pair == b"]$").context("`$[` without `]$`")?;
        let (before, inside, after) =
            (&rest[..place], &rest[place + 2..place + end], &rest[place + end + 2..]);
        filled.extend(before);
        filled.extend(made(std::str::from_utf8(inside)?)?.bytes());
        rest = after;
    }
    filled.extend(rest);
    Ok(filled)
}

fn now(offset: i64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    now.saturating_add_signed(offset)
}

/// Times in a list, as seconds since 1970.
fn with_times(list: &str) -> Result<String> {
    let items: Vec<String> = list
        .split('~')
        .map(|item| match item.strip_prefix('@').filter(|time| time.starts_with(['+', '-'])) {
            Some(offset) => Ok(format!("@{}", now(offset.parse()?))),
            None => Ok(item.to_owned()),
        })
        .collect::<Result<_>>()?;
    Ok(items.join("~"))
}

fn mac(parts: &[&[u8]], secret: &str) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map(|mut mac| {
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().to_vec()
    });
    mac.unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect()
}

/// What is signed, and what has been signed of it, in bytes; how many of them are written; and what stands between.
struct Made {
    text: String,
    tag: Vec<u8>,
    joint: &'static str,
}

fn made(text: &str) -> Result<String> {
    let mut steps = text.split(" | ");
    let first = steps.next().unwrap_or_default();
    let steps: Vec<&str> = steps.collect();
    let secret = if steps.contains(&"wrong key") { "a secret of somebody else entirely" } else { SECRET.1 };
    let (name, words) = first.split_once(' ').context("a name and words")?;
    if name == "jwt" {
        return spoiled_token(words, &steps);
    }
    let mut made = sign(name, words, secret)?;
    let mut written = hex(&made.tag);
    for step in steps {
        let (step, word) = step.split_once(' ').unwrap_or((step, ""));
        match step {
            "wrong" => {}
            "cut" => written.truncate(written.len().saturating_sub(word.parse()?)),
            "add" => written.push_str(word),
            "before" => written.insert_str(0, word),
            "upper" => written.make_ascii_uppercase(),
            "flip-first" => written.replace_range(..1, if written.starts_with('0') { "1" } else { "0" }),
            "flip-last" => {
                let last = if written.ends_with('0') { "1" } else { "0" };
                written.pop();
                written.push_str(last);
            }
            "zeros" => written = "0".repeat(written.len()),
            "none" => written.clear(),
            "base64" => written = URL_SAFE_NO_PAD.encode(&made.tag),
            "half" => written.truncate(32),
            "whole" => written = hex(&mac_of(name, words, secret)?),
            "reverse" => written = written.chars().rev().collect(),
            "fullwidth" => {
                // U+FF10 is the digit zero of another width.
                written = written
                    .chars()
                    .map(|digit| match digit {
                        '0'..='9' => char::from_u32(u32::from(digit) - 0x30 + 0xff10).unwrap_or(digit),
                        other => other,
                    })
                    .collect();
            }
            "swap" => {
                let (one, other) = word.split_once(' ').context("swap ONE OTHER")?;
                made.text = made.text.replace(one, other);
            }
            "joint" => made.joint = ":",
            other => bail!("there is no {other}"),
        }
    }
    Ok(format!("{}{}{written}", made.text, made.joint))
}

fn mac_of(name: &str, words: &str, secret: &str) -> Result<Vec<u8>> {
    let list = with_times(words)?;
    match name {
        "force" => Ok(mac(&[list.as_bytes()], secret)),
        "carried" => Ok(mac(&[b"carried\0", list.as_bytes()], secret)),
        _ => bail!("nothing is cut of {name}"),
    }
}

fn sign(name: &str, words: &str, secret: &str) -> Result<Made> {
    let half = |mut tag: Vec<u8>| {
        tag.truncate(16);
        tag
    };
    let list: Vec<&str> = words.split(' ').collect();
    Ok(match (name, list.as_slice()) {
        ("force", _) => Made { text: with_times(words)?, tag: mac_of(name, words, secret)?, joint: "~" },
        ("carried", _) => {
            Made { text: with_times(words)?, tag: half(mac_of(name, words, secret)?), joint: "~" }
        }
        ("kept", [experiment, version, arm, place, key]) => {
            let parts = ["sticky", experiment, version, arm, place, key].join("\0");
            let text = format!("{experiment}:{version}:{arm}");
            Made { text, tag: half(mac(&[parts.as_bytes()], secret)), joint: ":" }
        }
        ("explain", [method, authority, path, seconds]) => {
            let until = match seconds.strip_prefix('=') {
                Some(time) => time.to_owned(),
                None => now(seconds.parse()?).to_string(),
            };
            let lines = ["outrigger-explain-1", method, authority, path, &until].join("\n");
            Made { text: until, tag: half(mac(&[lines.as_bytes()], secret)), joint: "." }
        }
        _ => bail!("there is no {name}, or not with {} words", list.len()),
    })
}

/// `jwt {"alg":"none"} {"sub":"alice"}`, signed with the key unless a step says otherwise.
fn spoiled_token(words: &str, steps: &[&str]) -> Result<String> {
    let (head, claims) = words.split_once(' ').context("jwt HEAD CLAIMS")?;
    let mut token = client::token_of(
        &serde_json::from_str(head)?,
        &serde_json::from_str(claims)?,
        steps.contains(&"wrong key"),
    );
    for step in steps {
        let (step, word) = step.split_once(' ').unwrap_or((step, ""));
        let place = token.rfind('.').unwrap_or_default();
        match step {
            "wrong" => {}
            "none" => token.truncate(place + 1),
            "cut" => token.truncate(token.len().saturating_sub(word.parse()?)),
            "bare" => token.truncate(place),
            "add" => token.push_str(word),
            "swap" => {
                // Other claims under the same signature.
                let signature = token.split_off(place);
                let head = token.split('.').next().unwrap_or_default().to_owned();
                token = format!("{head}.{}{signature}", URL_SAFE_NO_PAD.encode(word));
            }
            other => bail!("there is no {other}"),
        }
    }
    Ok(token)
}
