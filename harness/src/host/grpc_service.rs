//! What a gRPC callout is for: Envoy reads its first argument as a serialised `envoy.config.core.v3.GrpcService`, and only where it is none, as a
//! cluster's name.

/// What a service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Service {
    /// A cluster of Envoy's, by its name.
    Cluster(Vec<u8>),
    /// A server that Google's client is to speak to.
    Google,
    /// A message that names neither. Envoy ends.
    Unset,
    /// The bytes are no message.
    NoMessage,
}

/// The fields of `GrpcService` and of its `EnvoyGrpc` that matter here.
const ENVOY: u64 = 1;
const GOOGLE: u64 = 2;
const CLUSTER_NAME: u64 = 1;

/// Those of `EnvoyGrpc` that are text, and must be UTF-8.
const TEXTS: [u64; 2] = [CLUSTER_NAME, 2];

/// How deep groups may stand within each other.
const DEPTH: usize = 100;

/// A field: its number, and its bytes if it has a length.
type Field<'a> = (u64, Option<&'a [u8]>);

/// Reads a service. A short name may be a message by chance: `users` is a field of four bytes that nobody knows.
pub(super) fn read(bytes: &[u8]) -> Service {
    match message(bytes) {
        Some(service) => service,
        None => Service::NoMessage,
    }
}

fn message(bytes: &[u8]) -> Option<Service> {
    let mut service = Service::Unset;
    for (number, value) in fields(bytes)? {
        let Some(value) = value else { continue };
        match number {
            ENVOY => {
                let mut name = match service {
                    Service::Cluster(name) => name,
                    _ => Vec::new(),
                };
                for (number, value) in fields(value)? {
                    let Some(value) = value else { continue };
                    if TEXTS.contains(&number) {
                        std::str::from_utf8(value).ok()?;
                    }
                    if number == CLUSTER_NAME {
                        name = value.to_vec();
                    }
                }
                service = Service::Cluster(name);
            }
            GOOGLE => {
                fields(value)?;
                service = Service::Google;
            }
            // A timeout, initial metadata, a retry policy.
            3 | 5 | 6 => _ = fields(value)?,
            _ => {}
        }
    }
    Some(service)
}

/// The fields of a message, by protobuf's wire format; none if it is not one.
fn fields(mut bytes: &[u8]) -> Option<Vec<Field<'_>>> {
    let mut fields = Vec::new();
    let mut groups: Vec<u64> = Vec::new();
    while !bytes.is_empty() {
        let tag = u64::from(u32::try_from(varint(&mut bytes)?).ok()?);
        let (number, kind) = (tag >> 3, tag & 7);
        if number == 0 {
            return None;
        }
        let value = match kind {
            0 => {
                varint(&mut bytes)?;
                None
            }
            1 => {
                take(&mut bytes, 8)?;
                None
            }
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                Some(take(&mut bytes, length)?)
            }
            3 => {
                groups.push(number);
                if groups.len() > DEPTH {
                    return None;
                }
                continue;
            }
            4 => {
                groups.pop().filter(|open| *open == number)?;
                continue;
            }
            5 => {
                take(&mut bytes, 4)?;
                None
            }
            _ => return None,
        };
        if groups.is_empty() {
            fields.push((number, value));
        }
    }
    groups.is_empty().then_some(fields)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for place in 0..10 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (part, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::{Service, read};

    fn check(bytes: &[u8], expected: &Service) {
        assert_eq!(read(bytes), *expected, "{}", bytes.escape_ascii());
    }

    #[test]
    fn a_service_names_a_cluster() {
        let one = Service::Cluster(b"one".to_vec());
        check(b"\n\x05\n\x03one", &one);
        check(b"\n\x05\n\x03two\n\x05\n\x03one", &one);
        check(b"\x12\0\n\x05\n\x03one\x1a\x02\x08\x05", &one);
        check(b"\n\0", &Service::Cluster(Vec::new()));
        check(b"\n\x05\n\x03one\x12\0", &Service::Google);
    }

    #[test]
    fn most_names_are_no_messages() {
        for name in [
            "up",
            "one",
            "outbound|80||a.svc",
            "grpc-one",
            "user",
            "\0",
            "\n\x05\n\x03on",
            "\n\x03\n\x01\u{e9}",
        ] {
            check(name.as_bytes(), &Service::NoMessage);
        }
        check(b"\n\x03\n\x01\xff", &Service::NoMessage);
        check(b"\x0b\x14", &Service::NoMessage);
        check(b"\x0b", &Service::NoMessage);
    }

    #[test]
    fn some_names_are_messages_without_a_target() {
        for name in ["", "users", "empty", "email", "inventory", "analytics", "\x0b\x0c"] {
            check(name.as_bytes(), &Service::Unset);
        }
    }
}
