//! Requests that are nearly as they were.

use super::{
    identity::{IDENTITIES, SNIS},
    random::Random,
    request::{Caller, NEAR, Request, example},
};
use harness::Bytes;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Changes one thing of a request.
pub fn request(random: &mut Random, request: &mut Request) {
    if random.percent(1) {
        // Requests whose target is no path.
        let target = random.text(&["*", "shop.example:443"]);
        request.method = if target == "*" { "OPTIONS".to_owned() } else { "CONNECT".to_owned() };
        request.target = target.into_bytes();
        return;
    }
    if request.headers.len() > 1 && random.percent(35) {
        return header(random, request);
    }
    if request.claims.is_some() && random.percent(40) {
        return claims(random, request);
    }
    match random.below(12) {
        0..=5 => path(random, &mut request.target),
        6 => host(random, request),
        7 => method(random, &mut request.method),
        8 | 9 => header(random, request),
        10 => claims(random, request),
        _ => forwarded(random, request),
    }
}

/// Changes one thing of a connection.
pub fn caller(random: &mut Random, caller: &mut Caller) {
    match random.below(6) {
        0 => caller.identity = random.percent(60).then(|| random.below(IDENTITIES.len() + 1)),
        1 => caller.sni = random.percent(60).then(|| random.text(&SNIS)),
        2 => {
            let port = random.text(&["80", "443", "8080", "81", "15006", "1", "65535"]);
            caller.destination.set_port(port.parse().unwrap_or_default());
        }
        3 => {
            let last = u8::try_from(random.below(255)).unwrap_or_default();
            let near = Ipv4Addr::new(127, u8::from(random.percent(50)), 2, last.max(1));
            caller.peer = if random.percent(30) { Ipv6Addr::LOCALHOST.into() } else { near.into() };
        }
        4 => {
            caller.source = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]);
            let ip = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 2]);
            caller.destination = SocketAddr::new(ip, caller.destination.port());
        }
        _ => {
            let sources: [[u8; 4]; 4] = [[203, 0, 113, 129], [10, 1, 2, 3], [192, 168, 0, 1], [127, 0, 0, 1]];
            caller.source = random.pick(&sources).map_or(caller.source, |source| IpAddr::from(*source));
            caller.destination = SocketAddr::from(([10, 0, 0, 1], caller.destination.port()));
        }
    }
    if caller.identity.is_none() {
        caller.sni = None;
    }
}

/// The place of one of these bytes, if there is one.
fn place_of(random: &mut Random, text: &[u8], is_it: impl Fn(u8) -> bool) -> Option<usize> {
    let places: Vec<usize> =
        text.iter().enumerate().filter(|(_, byte)| is_it(**byte)).map(|(place, _)| place).collect();
    random.pick(&places).copied()
}

fn splice(text: &mut Vec<u8>, place: usize, drop: usize, new: &[u8]) {
    let end = (place + drop).min(text.len());
    if place <= end {
        text.splice(place..end, new.iter().copied());
    }
}

fn path(random: &mut Random, target: &mut Vec<u8>) {
    const ENDS: [&str; 18] = [
        "?", "?a=b", "?/admin", "/", "//", "/.", "/..", ";", ";v=1", "=", "%00", "%2F", ".", "%20", "#top",
        "?%2e%2e/", "*", "%",
    ];
    const BEGINNINGS: [&str; 9] =
        ["/", "/.", "/x/..", "/%2e", "/..", "/%2E%2e", "/x/%2e%2E", "\\", "/x%2F.."];
    const BETWEEN: [&str; 12] =
        ["//", "/./", "/x/../", "%2F", "%2f", "\\", "%5C", "/..;/", "/;/", "/%2e/", "%252F", "/%c0%ae/"];
    match random.below(9) {
        0 | 1 => target.extend(random.text(&ENDS).bytes()),
        2 => splice(target, 0, 0, random.text(&BEGINNINGS).as_bytes()),
        3 | 4 => {
            if let Some(place) = place_of(random, target, |byte| byte == b'/') {
                splice(target, place, 1, random.text(&BETWEEN).as_bytes());
            }
        }
        5 => {
            // A character, percent-encoded once or twice, in either case.
            if let Some(place) = place_of(random, target, |byte| byte != b'/') {
                let byte = target.get(place).copied().unwrap_or_default();
                let escaped = match random.below(3) {
                    0 => format!("%{byte:02x}"),
                    1 => format!("%{byte:02X}"),
                    _ => format!("%25{byte:02x}"),
                };
                splice(target, place, 1, escaped.as_bytes());
            }
        }
        6 => {
            if let Some(place) = place_of(random, target, |byte| byte.is_ascii_alphabetic())
                && let Some(byte) = target.get_mut(place)
            {
                *byte ^= 0x20;
            }
        }
        7 => {
            let place = random.below(target.len() + 1);
            let new = random.text(&["x", "é", "\u{ff}", "=", "*", "%zz", "&", "|", "\"", "~", "{", "+", " "]);
            splice(target, place, random.below(2), new.as_bytes());
        }
        _ => {
            // The absolute form, here and there with another host.
            let host = random.text(&["shop.example", "other.example", "shop.example:8080", "SHOP.example"]);
            splice(target, 0, 0, format!("http://{host}").as_bytes());
        }
    }
    if random.percent(1) {
        let place = random.below(target.len());
        splice(target, place, 0, &[0xff]);
    }
}

fn host(random: &mut Random, request: &mut Request) {
    let place = request.headers.iter().position(|(name, _)| name.0 == b"host");
    let Some(place) = place else { return };
    let value = String::from_utf8_lossy(&request.headers[place].1.0).into_owned();
    let changed = match random.below(8) {
        0 => format!("{value}{}", random.text(&[":80", ":8080", ":443", ":"])),
        1 => value.split(':').next().unwrap_or_default().to_owned(),
        2 => value.to_uppercase(),
        3 => format!("{value}."),
        4 => format!("{}.{value}", random.word()),
        5 => value.chars().skip(1).collect(),
        6 => {
            let near = random.text(NEAR[0]);
            example(random, &near)
        }
        _ => {
            // Another host header: Envoy refuses the request.
            request.headers.push((Bytes::from("Host"), Bytes::from("other.example")));
            value
        }
    };
    request.headers[place].1 = Bytes::from(&*changed);
}

fn method(random: &mut Random, method: &mut String) {
    *method = match random.below(5) {
        0 => method.to_lowercase(),
        1 => format!("{method}X"),
        2 => method.chars().take(method.len().saturating_sub(1).max(1)).collect(),
        _ => {
            let near = random.text(NEAR[1]);
            example(random, &near)
        }
    };
    method.retain(|character| character.is_ascii_alphanumeric() || "-*".contains(character));
    if method.is_empty() || method == "*" {
        "GET".clone_into(method);
    }
}

fn header(random: &mut Random, request: &mut Request) {
    let is_other = |name: &Bytes| name.0 != b"host";
    let places: Vec<usize> =
        (0..request.headers.len()).filter(|place| is_other(&request.headers[*place].0)).collect();
    let Some(place) = random.pick(&places).copied() else {
        let name = random.text(&["x-tier", "X-Tier", "x-meta", "cookie", "x-empty", "content-type"]);
        let value = random.text(&["gold", "", "Gold", "gold,silver", "exact", "a=b"]);
        request.headers.push((Bytes::from(&*name), Bytes::from(&*value)));
        return;
    };
    let (name, value) = request.headers[place].clone();
    let text = String::from_utf8_lossy(&value.0).into_owned();
    let changed = match random.below(10) {
        0 => text.to_uppercase(),
        1 => format!("  {text}\t "),
        2 => format!("{text}{}", random.word()),
        3 => text.chars().skip(1).collect(),
        4 if random.percent(50) => String::new(),
        4 => format!("{}{text}", random.word()),
        5 => {
            request.headers.remove(place);
            return;
        }
        6 | 7 => {
            // The same name once more, before or after, with another value, an empty one or the same.
            let other = random.text(&["silver", "", "gold", &text]);
            let at = place + random.below(2);
            request.headers.insert(at, (name, Bytes::from(&*other)));
            return;
        }
        8 => {
            let upper = String::from_utf8_lossy(&name.0).to_uppercase();
            request.headers[place].0 = Bytes::from(&*upper);
            return;
        }
        _ => format!("{text}é"),
    };
    request.headers[place].1 = Bytes::from(&*changed);
}

fn forwarded(random: &mut Random, request: &mut Request) {
    let value = random.text(&[
        "203.0.113.7",
        "10.1.2.3, 203.0.113.7",
        "203.0.113.7, 10.1.2.3",
        "203.0.113.7:4000",
        "[2001:db8::1]:80",
        "2001:db8::1",
        "unknown",
        "203.0.113.7,",
        "",
        " 198.51.100.6 , 198.51.100.7 ",
        "300.1.1.1",
        "127.0.0.1",
        "::ffff:203.0.113.7",
        "203.0.113.7, x",
    ]);
    if random.percent(20) {
        request.headers.push((Bytes::from("x-forwarded-for"), Bytes::from(&*value)));
    } else {
        request.set("X-Forwarded-For", &value);
    }
}

fn claims(random: &mut Random, request: &mut Request) {
    let Some(claims) = &mut request.claims else {
        let near = random.text(NEAR[2]);
        let (issuer, subject) = near.rsplit_once('/').unwrap_or((&near, ""));
        request.claims = Some(json!({"iss": example(random, issuer), "sub": example(random, subject)}));
        return;
    };
    if random.percent(10) {
        request.is_forged = true;
        return;
    }
    let names: Vec<String> = claims.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
    let Some(name) = random.pick(&names) else { return };
    let value = claims[name].clone();
    let text = value.as_str().unwrap_or("admin").to_owned();
    claims[name] = match random.below(15) {
        0 => json!(text.to_uppercase()),
        1 => json!(format!("{text}x")),
        2 => json!([value]),
        3 => json!([[value]]),
        4 => json!([]),
        5 => json!(5),
        6 => json!(true),
        7 => Value::Null,
        8 => json!({"x": value}),
        9 => json!([5, true, null, {"a": "b"}, value]),
        10 => json!(format!("{text} read")),
        11 => json!(format!("{text}\nx")),
        12 => json!(format!("é{text}\u{0}")),
        13 => json!([{"x": [value]}, format!("\n{text}")]),
        _ => json!(""),
    };
}
