//! The list of a `baggage` header: <https://www.w3.org/TR/baggage/>.

/// The longest list that is written, in bytes: what each platform propagates whole, by the specification.
pub const LIMIT: usize = 8192;

/// The most members that are written: what the specification's first edition allowed. Later ones ask for 64 at least.
pub const MEMBER_LIMIT: usize = 180;

/// A well-formed member of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'v> {
    /// All of it: the key, the value and the properties.
    pub text: &'v str,
    /// The key.
    pub key: &'v str,
    /// The value, percent-encoded, without the properties.
    value: &'v str,
}

impl<'v> Member<'v> {
    fn parse(text: &'v [u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?.trim_matches([' ', '\t']);
        let mut parts = text.split(';').map(pair);
        let (key, value) = parts.next()??;
        let value = value?;
        parts.all(|property| property.is_some()).then_some(Self { text, key, value })
    }

    /// The value, decoded. Bytes that are no UTF-8 are replaced.
    pub fn value(&self) -> String {
        let bytes: Vec<u8> = percent_encoding::percent_decode_str(self.value).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// A key, and a value where there is one, each well-formed.
fn pair(text: &str) -> Option<(&str, Option<&str>)> {
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, Some(value.trim_matches([' ', '\t']))),
        None => (text, None),
    };
    let key = key.trim_matches([' ', '\t']);
    let is_key = !key.is_empty() && key.bytes().all(is_token);
    (is_key && value.unwrap_or_default().bytes().all(is_octet)).then_some((key, value))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_octet(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e)
}

/// The well-formed members of all values of the header.
pub fn members<'v>(values: impl Iterator<Item = &'v [u8]>) -> impl Iterator<Item = Member<'v>> {
    values.flat_map(|value| value.split(|byte| *byte == b',')).filter_map(Member::parse)
}

/// The list of those members that have another key, with one more behind them where there is room is made for: the last of the others go until it fits.
/// And how many went.
pub fn merge<'v>(
    others: impl Iterator<Item = Member<'v>>,
    key: &str,
    value: Option<&str>,
) -> (String, usize) {
    let own = value.map(|value| [key, "=", value].concat());
    let room = LIMIT - own.as_ref().map_or(0, |own| own.len() + 1).min(LIMIT);
    let places = MEMBER_LIMIT - usize::from(own.is_some());
    let (mut list, mut count, mut gone) = (String::new(), 0, 0);
    for member in others.filter(|member| member.key != key) {
        if gone > 0 || count == places || list.len() + member.text.len() + 1 > room {
            gone += 1;
            continue;
        }
        if count > 0 {
            list.push(',');
        }
        list.push_str(member.text);
        count += 1;
    }
    if let Some(own) = own {
        if count > 0 {
            list.push(',');
        }
        list.push_str(&own);
    }
    (list, gone)
}

#[cfg(test)]
mod tests {
    use super::{LIMIT, MEMBER_LIMIT, members, merge};

    fn read(values: &[&[u8]]) -> Vec<String> {
        members(values.iter().copied()).map(|member| format!("{}={}", member.key, member.value())).collect()
    }

    #[test]
    fn members_are_read_as_the_specification_has_them() {
        // The specification's own examples.
        assert_eq!(
            read(&[
                b"key1=value1;property1;property2, key2 = value2, key3=value3; propertyKey=propertyValue"
            ]),
            ["key1=value1", "key2=value2", "key3=value3"]
        );
        assert_eq!(
            read(&[b"userId=alice,serverNode=DF%2028,isProduction=false"]),
            ["userId=alice", "serverNode=DF 28", "isProduction=false"]
        );
        assert_eq!(read(&[b"a=1", b"b=2,a=3", b"c="]), ["a=1", "b=2", "a=3", "c="]);
    }

    #[test]
    fn what_is_not_well_formed_is_no_member() {
        let bad: [&[u8]; 12] = [
            b"", b",", b"a", b"=1", b"a b=1", b"a=1 2", b"a=\"1\"", b"a=\\", b"a=\xff", b"a=1;", b"a=1;p q",
            b"a(=1",
        ];
        for value in bad {
            assert_eq!(read(&[value]), [""; 0], "{}", String::from_utf8_lossy(value));
        }
        assert_eq!(read(&[b"a=1,,\xff=2, ,b=%zz,c=%ff"]), ["a=1", "b=%zz", "c=\u{fffd}"]);
    }

    fn merged(value: &str, own: Option<&str>) -> (String, usize) {
        merge(members([value.as_bytes()].into_iter()), "ab", own)
    }

    #[test]
    fn one_key_is_there_once_and_the_others_as_they_were() {
        for (before, own, after) in [
            ("", Some("x"), "ab=x"),
            ("", None, ""),
            ("a=1;p=2 , b = 3", Some("x"), "a=1;p=2,b = 3,ab=x"),
            ("ab=1,a=1,ab=2;p", Some("x"), "a=1,ab=x"),
            ("ab=1,a=1", None, "a=1"),
            ("AB=1,a b,a=1", Some("x"), "AB=1,a=1,ab=x"),
        ] {
            assert_eq!(merged(before, own), (after.to_owned(), 0), "{before}");
        }
    }

    #[test]
    fn the_list_is_bounded_and_the_last_go_first() {
        let full: Vec<String> = (0..MEMBER_LIMIT).map(|number| format!("k{number}=1")).collect();
        assert_eq!(merged(&full.join(","), None), (full.join(","), 0));
        let (list, gone) = merged(&full.join(","), Some("x"));
        assert!(gone == 1 && list.ends_with("k178=1,ab=x"), "{gone} {list}");
        let long = format!("a={},b={},c=1", "1".repeat(LIMIT - 20), "2".repeat(20));
        let (list, gone) = merged(&long, Some("x"));
        assert!(gone == 2 && list.ends_with("1,ab=x") && list.len() <= LIMIT, "{gone}");
        let (list, gone) = merged(&format!("a={}", "1".repeat(LIMIT)), Some("x"));
        assert_eq!((list.as_str(), gone), ("ab=x", 1));
    }
}
