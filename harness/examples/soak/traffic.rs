//! Requests without end, of which few are like another: users, arms that are asked for and forged, personal data, tokens, bodies. The soak sends them
//! to a module in the harness and, as bytes, to one in Envoy.

use harness::{
    Bytes,
    expect::Expect,
    scenario::{Chunk, Connection, Exchange, Request, Response},
};
use std::{collections::BTreeMap, fmt::Write as _};

/// What stands where a sender puts a number of its own, so that a request that is sent again is another one.
#[allow(dead_code, reason = "the harness makes every request anew")]
pub const MARK: &str = "00000000";

/// The header that says which status the shop answers.
pub const ANSWER: &str = "x-answer";

/// The statuses of a shop: none is one of a filter's.
const STATUSES: [u16; 8] = [200, 200, 200, 200, 204, 302, 404, 500];

/// The source of requests, and how many of each kind it has made: `requests`, and those that `forged` an arm, asked for one (`forced`), or brought
/// a list of arms (`carried`).
#[derive(Debug)]
pub struct Traffic {
    random: Random,
    made: BTreeMap<String, u64>,
    is_marked: bool,
    /// Whether the next request is as large as one can be.
    is_large: bool,
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    fn is_one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        let place = self.below(of.len() as u64);
        of.get(usize::try_from(place).unwrap_or(0)).copied()
    }

    fn word(&mut self, of: &[&'static str]) -> &'static str {
        self.pick(of).unwrap_or_default()
    }

    /// A text of 1 to so many letters.
    fn text(&mut self, most: u64) -> String {
        let length = 1 + self.below(most);
        (0..length).map(|_| char::from(b'a' + u8::try_from(self.below(26)).unwrap_or(0))).collect()
    }

    /// A number, an address, a hash, a card or a word.
    fn part(&mut self) -> String {
        match self.below(9) {
            0 => self.below(1 << 40).to_string(),
            1 => format!("{}@{}.example", self.text(12), self.text(8)),
            2 => format!("{:016x}", self.next()),
            3 => format!("4111-1111-1111-{:04}", self.below(10_000)),
            4 => format!("%2B49{}", 1_000_000_000 + self.below(1 << 30)),
            _ => self.text(10),
        }
    }
}

impl Traffic {
    /// Requests that come from this seed.
    pub fn new(seed: u64) -> Self {
        Self { random: Random(seed), made: BTreeMap::new(), is_marked: false, is_large: false }
    }

    /// As [`new`](Self::new), with a [`MARK`] in each user's and tenant's name.
    #[allow(dead_code, reason = "the harness makes every request anew")]
    pub fn marked(seed: u64) -> Self {
        Self { is_marked: true, ..Self::new(seed) }
    }

    /// How many of each kind were made since the last call.
    pub fn take_made(&mut self) -> BTreeMap<String, u64> {
        std::mem::take(&mut self.made)
    }

    fn count(&mut self, kind: &str) {
        match self.made.get_mut(kind) {
            Some(count) => *count += 1,
            None => _ = self.made.insert(kind.to_owned(), 1),
        }
    }

    /// A name that is another one in each request.
    fn name(&mut self, prefix: &str) -> String {
        if self.is_marked {
            format!("{prefix}{MARK}")
        } else {
            format!("{prefix}{}", self.random.below(1 << 26))
        }
    }

    /// As [`next`](Self::next), as large as one can be: what memory all others need is known then.
    #[allow(dead_code, reason = "Envoy gets all sizes many times in its warm-up")]
    pub fn largest(&mut self) -> Exchange {
        self.is_large = true;
        let exchange = self.next();
        self.is_large = false;
        exchange
    }

    /// The next request, and what the shop answers.
    pub fn next(&mut self) -> Exchange {
        self.count("requests");
        let status = self.random.pick(&STATUSES).unwrap_or(200);
        let mut request = Request {
            method: if self.is_large {
                "POST"
            } else {
                self.random.word(&["GET", "GET", "GET", "POST", "DELETE"])
            }
            .to_owned(),
            path: self.path(),
            ..Request::default()
        };
        self.identify(&mut request);
        self.ask_for_arms(&mut request);
        self.add_others(&mut request);
        request = request.header(ANSWER, &status.to_string());
        if request.method == "POST" {
            self.add_body(&mut request);
        }
        let has_body = status != 204;
        let mut response =
            if has_body { Response::of(self.random.text(300).as_str()) } else { Response::default() };
        response.status = status;
        let depth = self.random.below(100).to_string();
        response.headers.push((Bytes::from("x-queue-depth"), Bytes::from(depth.as_str())));
        Exchange {
            after_ms: self.random.below(3),
            is_tcp: false,
            connection: Connection::default(),
            request,
            response,
            expect: Expect::default(),
        }
    }

    fn path(&mut self) -> String {
        let random = &mut self.random;
        let mut path = match random.below(8) {
            0 => format!("/users/{}/orders/{}", random.part(), random.below(100_000)),
            1 => "/checkout".to_owned(),
            2 => "/orders".to_owned(),
            3 => "/admin/users".to_owned(),
            _ => {
                let mut path = String::new();
                for _ in 0..=random.below(4) {
                    let part = if random.is_one_in(3) {
                        random.part()
                    } else {
                        random.word(&["shop", "users", "orders", "v1"]).to_owned()
                    };
                    _ = write!(path, "/{part}");
                }
                path
            }
        };
        for number in 0..random.below(5) {
            let value = random.part();
            let name = random.word(&["q", "email", "page", "token", "color"]);
            _ = write!(path, "{}{name}={value}", if number == 0 { '?' } else { '&' });
        }
        path
    }

    /// Who sends it: by a header, a cookie, or not at all.
    fn identify(&mut self, request: &mut Request) {
        let mut add = |name: &str, value: &str| request.headers.push((Bytes::from(name), Bytes::from(value)));
        if !self.random.is_one_in(3) {
            add("x-user-id", &self.name("user-"));
        }
        if self.random.is_one_in(2) {
            add("x-tenant", &self.name("tenant-"));
        }
        if self.random.is_one_in(2) {
            let random = &mut self.random;
            let mut cookie = format!("theme={}", random.text(6));
            if random.is_one_in(2) {
                _ = write!(cookie, "; uid={}; visitor={:032x}", random.text(12), u128::from(random.next()));
            }
            if random.is_one_in(4) {
                _ = write!(
                    cookie,
                    "; arms=coupon:{}:{:032x}",
                    random.word(&["ten", "none"]),
                    u128::from(random.next())
                );
            }
            add("cookie", &cookie);
        }
    }

    /// Arms that a client forges, asks for, or says that it has.
    fn ask_for_arms(&mut self, request: &mut Request) {
        let mut add = |name: &str, value: &str| request.headers.push((Bytes::from(name), Bytes::from(value)));
        if self.random.is_one_in(20) {
            self.count("forged");
            add("x-arm", self.random.word(&["b", "control", "none"]));
        }
        if self.random.is_one_in(30) {
            self.count("forced");
            add("x-force-arm", &format!("checkout:b~{:032x}", u128::from(self.random.next())));
        }
        if self.random.is_one_in(10) {
            let mut baggage = format!("tenant={}", self.random.text(8));
            if self.random.is_one_in(2) {
                self.count("carried");
                _ = write!(baggage, ",ab-arms=checkout:b~{:032x}", u128::from(self.random.next()));
            }
            add("baggage", &baggage);
        }
    }

    fn add_others(&mut self, request: &mut Request) {
        let random = &mut self.random;
        for name in ["user-agent", "referer", "x-note", "x-plan", "x-api-key", "traceparent"] {
            if random.is_one_in(2) && !self.is_large {
                continue;
            }
            let value = match (name, random.below(20)) {
                ("user-agent" | "referer" | "x-note", _) if self.is_large => "a long text ".repeat(333),
                ("traceparent", 0) => random.text(60),
                ("traceparent", _) => {
                    format!("00-{:032x}-{:016x}-01", u128::from(random.next()) << 7 | 1, random.next() | 1)
                }
                ("x-plan", _) => random.word(&["free", "gold", "silver", "copper"]).to_owned(),
                ("x-api-key", 0) => "k-4711".to_owned(),
                (_, 0) if random.is_one_in(10) => random.text(4000),
                (_, 1) => "alice.canary@example.com".to_owned(),
                ("user-agent", 2) => "Googlebot/2.1 (+http://www.google.com/bot.html)".to_owned(),
                _ => random.part(),
            };
            request.headers.push((Bytes::from(name), Bytes::from(value.as_str())));
        }
    }

    fn add_body(&mut self, request: &mut Request) {
        let random = &mut self.random;
        request.headers.push((Bytes::from("content-type"), Bytes::from("application/json")));
        let mut body = format!(
            "{{\"order\": {{\"id\": {}, \"total\": {}.5}}",
            random.below(1 << 30),
            random.below(1000)
        );
        let members = if self.is_large { 30 } else { random.below(30) };
        for _ in 0..members {
            let part = random.part();
            _ = write!(body, ", \"{}\": \"{part}\"", random.text(8));
        }
        body.push('}');
        request.is_chunked = random.is_one_in(2);
        let (first, second) = body.split_at(body.len() / 2);
        request.chunks = if request.is_chunked {
            vec![first.into(), Chunk::apart(second)]
        } else {
            vec![body.as_str().into()]
        };
    }
}
