//! Requests that are routed and are no exposures.

use filter_kit::View;

/// Words in the user-agent of programs that fetch pages by themselves. Case does not count.
const BOTS: [&[u8]; 10] = [
    b"bot",
    b"crawl",
    b"spider",
    b"slurp",
    b"facebookexternalhit",
    b"headlesschrome",
    b"lighthouse",
    b"pingdom",
    b"uptime",
    b"preview",
];

/// Headers by which a browser says that it fetches a page before its user asks for it: the standard's (Fetch, `Sec-Purpose`), and what
/// Chromium, Safari and Firefox sent before.
const PURPOSES: [&str; 3] = ["sec-purpose", "purpose", "x-moz"];

/// Whether a program that is no browser asks.
pub fn is_bot(view: &View<'_>) -> bool {
    view.request_headers()
        .first("user-agent")
        .is_some_and(|agent| BOTS.into_iter().any(|bot| has(agent, bot)))
}

/// Whether a browser asks before its user does.
pub fn is_prefetch(view: &View<'_>) -> bool {
    let is_early =
        |value: &[u8]| has(value, b"prefetch") || has(value, b"prerender") || has(value, b"preview");
    PURPOSES.into_iter().any(|name| view.request_headers().all(name).any(is_early))
}

/// Whether a text holds a word, in any case. Of a long text only the beginning is looked at: it bounds what a client can make a request cost.
fn has(text: &[u8], word: &[u8]) -> bool {
    let text = text.get(..512).unwrap_or(text);
    text.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::{is_bot, is_prefetch};
    use filter_kit::{Phase, View, fake::Stream};

    #[test]
    fn bots_and_prefetches_are_told_by_their_headers() {
        for (name, value, bot, prefetch) in [
            (
                "user-agent",
                "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
                true,
                false,
            ),
            ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) HeadlessChrome/120.0", true, false),
            (
                "user-agent",
                "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
                false,
                false,
            ),
            ("sec-purpose", "prefetch;prerender", false, true),
            ("purpose", "prefetch", false, true),
            ("x-purpose", "prefetch", false, false),
            ("x-moz", "Prefetch", false, true),
            ("x-moz", "", false, false),
        ] {
            let request = Stream::get("/").header(name, value);
            let view = View::new(&request, Phase::RequestHeaders, 0, true);
            assert_eq!((is_bot(&view), is_prefetch(&view)), (bot, prefetch), "{name}: {value}");
        }
    }
}
