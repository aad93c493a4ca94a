//! Envoy's response flags, by the letters that its access logs have for them.

/// The letters of each bit of `response.flags`, the lowest first: Envoy's access logging, `%RESPONSE_FLAGS%`.
const LETTERS: [&str; 30] = [
    "LH", "UH", "UT", "LR", "UR", "UF", "UC", "UO", "NR", "DI", "FI", "RL", "UAEX", "RLSE", "DC", "URX",
    "SI", "IH", "DPE", "UMSDR", "RFCF", "NFCF", "DT", "UPE", "NC", "OM", "DF", "DO", "DR", "UDO",
];

/// Writes the letters with commas between them, or `-` for no flag.
pub fn write(flags: u64, out: &mut String) {
    let before = out.len();
    for (bit, letters) in LETTERS.iter().enumerate() {
        if flags >> bit & 1 == 1 {
            if out.len() > before {
                out.push(',');
            }
            out.push_str(letters);
        }
    }
    if out.len() == before {
        out.push('-');
    }
}

#[cfg(test)]
mod tests {
    use super::write;

    #[track_caller]
    fn check(flags: u64, expected: &str) {
        let mut out = String::new();
        write(flags, &mut out);
        assert_eq!(out, expected);
    }

    #[test]
    fn flags_are_written_as_envoy_does() {
        check(0, "-");
        check(0x100, "NR");
        check(0x20, "UF");
        check(0x20 | 0x8000, "UF,URX");
        check(0x100_0000, "NC");
        check(1 << 63, "-");
    }
}
