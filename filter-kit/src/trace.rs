//! The trace that a request belongs to, by its `traceparent` header.

/// The length of a `traceparent` of version 00, in bytes: `00-` trace id `-` parent id `-` flags.
const LENGTH: usize = 55;

/// The bit of the flags that says that the caller may have recorded the trace.
const SAMPLED: u8 = 1;

/// A `traceparent` header, read by the rule of W3C Trace Context, 3.2 (level 1, and level 2, which reads the same).
///
/// Borrowed from the header: reading takes no memory.
///
/// ```
/// # use filter_kit::TraceParent;
/// let parent = TraceParent::parse(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
/// assert_eq!(parent.map(|parent| parent.trace_id()), Some("0af7651916cd43dd8448eb211c80319c"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent<'h> {
    trace_id: &'h str,
    parent_id: &'h str,
    flags: u8,
}

impl<'h> TraceParent<'h> {
    /// Reads the value of a `traceparent` header; `None` where the recommendation says that it is invalid and a new trace begins:
    ///
    /// - version 00 is exactly 55 bytes long;
    /// - version ff is invalid;
    /// - a higher version is read as 00 is if its first 55 bytes are the whole of it or a `-` follows them;
    /// - digits are hexadecimal in lower case, and neither id is all zeros.
    ///
    /// Of a request with several such headers none counts: the caller has to look.
    pub fn parse(value: &'h [u8]) -> Option<Self> {
        let (known, more) = value.split_at_checked(LENGTH)?;
        // Of every request: the places are fixed, so nothing is searched for.
        let known = std::str::from_utf8(known).ok()?;
        let bytes = known.as_bytes();
        let parts = [bytes.get(..2)?, bytes.get(3..35)?, bytes.get(36..52)?, bytes.get(53..)?];
        let digits = parts.iter().copied().flatten().fold(true, |all, byte| all & is_digit(*byte));
        let dashes = [2, 35, 52].iter().all(|place| bytes.get(*place) == Some(&b'-'));
        if !digits || !dashes {
            return None;
        }
        let (version, trace_id, parent_id) = (known.get(..2)?, known.get(3..35)?, known.get(36..52)?);
        let flags = u8::from_str_radix(known.get(53..)?, 16).ok()?;
        let ends = match version {
            "00" => more.is_empty(),
            "ff" => false,
            _ => matches!(more.first(), None | Some(b'-')),
        };
        // Of a version that is not known yet, the sampled bit is all that may be read.
        let flags = if version == "00" { flags } else { flags & SAMPLED };
        let is_some_id = |id: &str| id.bytes().any(|digit| digit != b'0');
        let is_valid = ends && is_some_id(trace_id) && is_some_id(parent_id);
        is_valid.then_some(Self { trace_id, parent_id, flags })
    }

    /// The id of the trace: 32 hexadecimal digits in lower case, not all zeros.
    pub fn trace_id(&self) -> &'h str {
        self.trace_id
    }

    /// The id of the caller's span: 16 hexadecimal digits in lower case, not all zeros.
    pub fn parent_id(&self) -> &'h str {
        self.parent_id
    }

    /// The flags; of a version above 00 the sampled bit alone, since its other bits are not known.
    pub fn flags(&self) -> u8 {
        self.flags
    }

    /// Whether the caller may have recorded the trace.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

/// Whether a byte is a hexadecimal digit in lower case. Without a branch: it is asked 52 times for each request.
#[inline]
const fn is_digit(byte: u8) -> bool {
    (byte.wrapping_sub(b'0') < 10) | (byte.wrapping_sub(b'a') < 6)
}

#[cfg(test)]
mod tests {
    use super::TraceParent;
    use proptest::prelude::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn after(text: &str, bytes: usize) -> &str {
        text.split_at(bytes).1
    }

    #[track_caller]
    fn check(value: impl AsRef<[u8]>, expected: Option<u8>) {
        let value = value.as_ref();
        let got = TraceParent::parse(value);
        assert_eq!(got.map(|parent| parent.flags()), expected, "{:?}", String::from_utf8_lossy(value));
        if let Some(parent) = got {
            assert_eq!((parent.trace_id(), parent.parent_id()), (TRACE, SPAN));
            assert_eq!(parent.is_sampled(), parent.flags() % 2 == 1);
        }
    }

    #[test]
    fn version_00_is_55_bytes() {
        let valid = format!("00-{TRACE}-{SPAN}-01");
        assert_eq!(valid.len(), 55);
        check(&valid, Some(1));
        for (flags, read) in [("00", 0), ("01", 1), ("02", 2), ("03", 3), ("09", 9), ("ff", 255)] {
            check(format!("00-{TRACE}-{SPAN}-{flags}"), Some(read));
        }
        for length in 0..55 {
            check(valid.split_at(length).0, None);
        }
        for more in ["-", "-00", "0", ".", " ", "\t", "\0", "-what-the-future-brings"] {
            check(format!("{valid}{more}"), None);
        }
        check(format!(" {valid}"), None);
        check(format!("{valid},{valid}"), None);
    }

    #[test]
    fn version_ff_is_invalid() {
        check(format!("ff-{TRACE}-{SPAN}-01"), None);
        check(format!("ff-{TRACE}-{SPAN}-01-x"), None);
        for version in ["fF", "FF", "Ff", "0g", "-1", "+1", " 1", "1 ", "0", "000", "", "x", "é"] {
            check(format!("{version}-{TRACE}-{SPAN}-01"), None);
        }
    }

    #[test]
    fn a_higher_version_is_read_as_00_is_if_a_dash_or_nothing_follows() {
        for version in ["01", "0f", "10", "cc", "f0", "fe"] {
            check(format!("{version}-{TRACE}-{SPAN}-01"), Some(1));
            check(format!("{version}-{TRACE}-{SPAN}-01-"), Some(1));
            check(format!("{version}-{TRACE}-{SPAN}-01-what-the-future-brings"), Some(1));
            check(format!("{version}-{TRACE}-{SPAN}-03-\u{ff}"), Some(1));
            check(format!("{version}-{TRACE}-{SPAN}-fe"), Some(0));
            check([format!("{version}-{TRACE}-{SPAN}-01-").as_bytes(), b"\xff\0"].concat(), Some(1));
            for more in ["0", ".", " ", "1-", "what-the-future-brings"] {
                check(format!("{version}-{TRACE}-{SPAN}-01{more}"), None);
            }
            check(format!("{version}-{TRACE}-{SPAN}-0"), None);
            check(format!("{version}-{TRACE}-{SPAN}-0-"), None);
        }
    }

    #[test]
    fn ids_are_hexadecimal_in_lower_case_and_not_all_zeros() {
        let (no_trace, no_span) = ("0".repeat(32), "0".repeat(16));
        check(format!("00-{no_trace}-{SPAN}-01"), None);
        check(format!("00-{TRACE}-{no_span}-01"), None);
        check(format!("01-{no_trace}-{SPAN}-01-x"), None);
        check(format!("00-{}-{SPAN}-01", TRACE.to_uppercase()), None);
        check(format!("00-{TRACE}-{}-01", SPAN.to_uppercase()), None);
        check(format!("00-{TRACE}-{SPAN}-0A"), None);
        check(format!("00-{TRACE}-{SPAN}-.0"), None);
        check(format!("00-{TRACE}-{SPAN}-+1"), None);
        for wrong in ["g", ".", " ", "-", "\0", "A", "`", "/", ":"] {
            check(format!("00-{wrong}{}-{SPAN}-01", after(TRACE, 1)), None);
            check(format!("00-{}{wrong}-{SPAN}-01", after(TRACE, 1)), None);
            check(format!("00-{TRACE}-{wrong}{}-01", after(SPAN, 1)), None);
        }
        check(format!("00-{}é-{SPAN}-01", after(TRACE, 2)), None);
        check([b"00-\xff", format!("{}-{SPAN}-01", after(TRACE, 1)).as_bytes()].concat(), None);
        // The right length, with the ids' places shifted.
        check(format!("00-{}-{SPAN}{}-01", after(TRACE, 1), TRACE.split_at(1).0), None);
        check(format!("00-{TRACE}{SPAN}-01-"), None);
        for place in [2, 35, 52] {
            let mut other = format!("00-{TRACE}-{SPAN}-01").into_bytes();
            other[place] = b'_';
            check(other, None);
        }
        let ones = format!("00-{}1-{}1-00", after(&no_trace, 1), after(&no_span, 1));
        assert_eq!(TraceParent::parse(ones.as_bytes()).map(|parent| parent.flags()), Some(0));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_not(value in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(TraceParent::parse(&value), None);
        }

        #[test]
        fn what_is_read_stands_in_the_header(value in "[0f][0f]-[0a]{32}-[0a]{16}-0[0-3](-.{0,3})?") {
            if let Some(parent) = TraceParent::parse(value.as_bytes()) {
                prop_assert_eq!((parent.trace_id(), parent.parent_id()), (after(&value, 3).split_at(32).0, after(&value, 36).split_at(16).0));
                prop_assert!(!value.starts_with("ff"));
            }
        }
    }
}
