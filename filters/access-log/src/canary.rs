//! Canaries: planted values that nobody has. One that is seen in what is about to be written has got through, and so would a real one.

use filter_kit::{
    Bounded, Effects, Level, MetricChange,
    metrics::{Kind, Metrics, SeriesId},
    settings::Field,
};
use memchr::memmem::Finder;

/// The most canaries.
const CANARY_LIMIT: usize = 32;
/// The shortest, in bytes: a shorter one would be seen by accident.
const SHORTEST: i64 = 6;
const LONGEST: i64 = 128;

/// The planted values.
#[derive(Debug, Default)]
pub struct Canaries(Vec<Canary>);

#[derive(Debug)]
struct Canary {
    name: Box<str>,
    /// The value as it is and as it may be encoded.
    forms: Vec<Finder<'static>>,
    leaks: SeriesId,
    alarm: SeriesId,
}

impl Canaries {
    /// Reads `[{"name": "alice", "value": "alice.canary@example.com"}]`.
    pub fn read(config: &Field<'_, '_>, metrics: &mut Metrics) -> Self {
        if config.is_empty() {
            return Self::default();
        }
        let leaks = metrics.family(Kind::Counter, "canary_leaks_total", &["canary"]);
        let alarm = metrics.family(Kind::Gauge, "canary_alarm", &["canary"]);
        let mut read = |item: Field<'_, '_>| {
            item.only(&["name", "value"]);
            let (name, value) = (item.get("name"), item.get("value"));
            let (text, planted) = (name.text().unwrap_or_default(), value.text().unwrap_or_default());
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            if text.is_empty() || text.len() > 64 || !text.bytes().all(is_name) {
                name.refuse_text("must be 1 to 64 letters, digits, `-` or `_`", text);
            }
            // The value is left out of the message: it stands in for a real one.
            if !(SHORTEST..=LONGEST).contains(&i64::try_from(planted.len()).unwrap_or(i64::MAX)) {
                value.refuse_got("must have 6 to 128 bytes", &planted.len().to_string());
            }
            let series =
                |metrics: &mut Metrics, family| metrics.series(family, &[Bounded::own(text.to_owned())]);
            Canary {
                name: text.into(),
                forms: forms(planted.as_bytes()).iter().map(|form| Finder::new(form).into_owned()).collect(),
                leaks: series(metrics, leaks),
                alarm: series(metrics, alarm),
            }
        };
        let mut canaries = Vec::new();
        for item in config.items_up_to(CANARY_LIMIT) {
            let canary = read(item);
            if canaries.iter().any(|other: &Canary| other.name == canary.name) {
                item.get("name").refuse_text("must be the canary's own, got one again", &canary.name);
            }
            canaries.push(canary);
        }
        Self(canaries)
    }

    /// Whether none of them is in a text that is about to be written. One that is raises the alarm.
    pub fn is_clean<'a>(&'a self, text: &str, effects: &mut Effects<'a>) -> bool {
        let mut is_clean = true;
        for canary in &self.0 {
            if canary.forms.iter().any(|form| form.find(text.as_bytes()).is_some()) {
                is_clean = false;
                effects.count(canary.leaks);
                effects.measure(MetricChange::Known(canary.alarm, 1));
                let line = ["canary ", &canary.name, " was in a log record: the record is dropped"].concat();
                effects.log(Level::Error, Bounded::own(line));
            }
        }
        is_clean
    }
}

/// A value as it is, percent-encoded with digits of either case, and in base64, of which the characters at the ends depend on what is around it.
fn forms(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![value.to_vec()];
    for digits in [b"0123456789ABCDEF", b"0123456789abcdef"] {
        let percent = |byte: &u8| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
                return vec![*byte];
            }
            let digit = |value: u8| digits.get(usize::from(value)).copied().unwrap_or(b'0');
            vec![b'%', digit(byte >> 4), digit(byte & 15)]
        };
        forms.push(value.iter().flat_map(percent).collect());
    }
    for offset in 0..3 {
        let mut padded = vec![0; offset];
        padded.extend_from_slice(value);
        let encoded = base64(&padded);
        // What an unknown byte before or behind has a part in is left out.
        let (from, to) = ((offset * 8).div_ceil(6), padded.len() * 8 / 6);
        forms.push(encoded.get(from..to).unwrap_or_default().to_vec());
    }
    filter_kit::sort_unique(&mut forms);
    forms
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::new();
    for chunk in bytes.chunks(3) {
        let at = |place: usize| u32::from(chunk.get(place).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for shift in [18, 12, 6, 0] {
            let index = usize::try_from(bits >> shift & 63).unwrap_or(0);
            out.push(ALPHABET.get(index).copied().unwrap_or(b'A'));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::forms;

    #[test]
    fn a_value_is_known_in_its_encodings() {
        let forms = forms(b"canary@example.com");
        let has = |text: &str| forms.iter().any(|form| memchr::memmem::find(text.as_bytes(), form).is_some());
        assert!(has("a canary@example.com b") && has("x=canary%40example.com"));
        // printf 'mail=canary@example.com;' | base64, with 0, 1 and 2 further characters in front.
        assert!(has("bWFpbD1jYW5hcnlAZXhhbXBsZS5jb207"));
        assert!(has("LW1haWw9Y2FuYXJ5QGV4YW1wbGUuY29tOw=="));
        assert!(has("LS1tYWlsPWNhbmFyeUBleGFtcGxlLmNvbTs="));
        assert!(!has("canary.example.com"));
    }
}
