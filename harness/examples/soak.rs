//! Sends many different requests through a module and watches its memory: `soak MODULE CONFIG [REQUESTS]`. The first tenth is the warm-up. The last line is
//! an object of JSON: `requests`, `seconds`, `warm_bytes` and `end_bytes` of linear memory, `traps`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a program of the host: it has arguments and a clock, and what it prints is its product"
)]

use harness::{
    Bytes, Module, Options, Proxy, Settings,
    expect::Expect,
    scenario::{Chunk, Connection, Exchange, Request, Response},
};
use serde_json::json;
use std::{env, error::Error, fmt::Write as _, fs, time::Instant};

/// How many requests there are where the command does not say.
const REQUESTS: u64 = 1_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(module), Some(config)) = (arguments.next(), arguments.next()) else {
        return Err("usage: soak MODULE CONFIG [REQUESTS]".into());
    };
    let requests = arguments.next().map_or(Ok(REQUESTS), |count| count.parse())?;
    let config = fs::read(config)?;
    let module = Module::load(&fs::read(module)?)?;
    let mut proxy = Proxy::new(Settings::default());
    proxy.add(&module, &Options::default(), Some(&config))?;
    let begun = Instant::now();
    let mut warm_bytes = 0;
    let mut random = Random(7);
    for number in 0..requests {
        if number == requests / 10 {
            warm_bytes = proxy.memory_size();
        }
        if number > 0 && number % 1_000_000 == 0 {
            eprintln!(
                "{number} requests, {} bytes, {:.0} s",
                proxy.memory_size(),
                begun.elapsed().as_secs_f64()
            );
        }
        proxy.exchange(&exchange(&mut random));
        proxy.take_log();
    }
    let traps = proxy.traps().len();
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{}",
        json!({
            "requests": requests, "seconds": seconds, "warm_bytes": warm_bytes, "end_bytes": proxy.memory_size(), "traps": traps
        })
    );
    Ok(())
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
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

    fn pick<'t>(&mut self, of: &[&'t str]) -> &'t str {
        let place = self.below(of.len() as u64);
        of.get(usize::try_from(place).unwrap_or(0)).copied().unwrap_or_default()
    }

    /// A text of 1 to so many characters.
    fn text(&mut self, most: u64) -> String {
        let length = 1 + self.below(most);
        (0..length).map(|_| char::from(b'a' + u8::try_from(self.below(26)).unwrap_or(0))).collect()
    }
}

/// A request of any size: few are like another.
fn exchange(random: &mut Random) -> Exchange {
    let part = |random: &mut Random| match random.below(6) {
        0 => random.below(1 << 40).to_string(),
        1 => format!("{}@{}.example", random.text(12), random.text(8)),
        2 => format!("{:016x}", random.next()),
        _ => random.text(10),
    };
    let mut path = String::new();
    for _ in 0..=random.below(5) {
        path.push('/');
        path.push_str(&if random.below(3) == 0 {
            part(random)
        } else {
            random.pick(&["shop", "users", "orders", "v1"]).to_owned()
        });
    }
    for number in 0..random.below(5) {
        path.push(if number == 0 { '?' } else { '&' });
        let value = part(random);
        let _ = write!(path, "{}={value}", random.pick(&["q", "email", "page", "token", "color"]));
    }
    let mut request = Request {
        method: random.pick(&["GET", "GET", "POST", "DELETE"]).to_owned(),
        path,
        ..Request::default()
    };
    for _ in 0..random.below(12) {
        let name = random.pick(&[
            "cookie",
            "x-user-id",
            "x-tenant",
            "user-agent",
            "accept",
            "x-arm",
            "referer",
            "traceparent",
        ]);
        let value = match random.below(20) {
            0 => random.text(4000),
            1 => "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
            2..=8 => format!("visitor={:032x}; theme={}", u128::from(random.next()), random.text(6)),
            _ => part(random),
        };
        request.headers.push((Bytes::from(name), Bytes::from(value.as_str())));
    }
    if request.method == "POST" {
        request.headers.push((Bytes::from("content-type"), Bytes::from("application/json")));
        let mut body = String::from("{\"total\": 7");
        for _ in 0..random.below(40) {
            let _ = write!(body, ", \"{}\": \"{}\"", random.text(8), part(random));
        }
        body.push('}');
        request.is_chunked = random.below(2) == 0;
        let half = body.len() / 2;
        let (first, second) = body.split_at(half);
        request.chunks = if request.is_chunked {
            vec![first.into(), Chunk::apart(second)]
        } else {
            vec![body.as_str().into()]
        };
    }
    let status = [200, 200, 200, 204, 302, 404, 500]
        .get(usize::try_from(random.below(7)).unwrap_or(0))
        .copied()
        .unwrap_or(200);
    Exchange {
        after_ms: 0,
        is_tcp: false,
        connection: Connection::default(),
        request,
        response: Response { status, ..Response::of(random.text(300).as_str()) },
        expect: Expect::default(),
    }
}
