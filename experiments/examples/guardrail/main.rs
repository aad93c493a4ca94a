//! Simulates experiments that a guardrail looks at after each request: `guardrail [RUNS] [REQUESTS] [SVG]`. RUNS is how many experiments there are of
//! each kind (2,000), REQUESTS how long one without a change is (20,000), SVG where the figures are drawn.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program of the host: it has arguments, and what it prints is its product"
)]

mod plot;
mod ratios;
mod simulation;
mod speed;

use simulation::{Caught, Jump, Random, Rule, alarms, caught, quantile, weights};
use std::{env, error::Error, fs, thread};

/// The base rates.
pub const BASES: [f64; 4] = [0.001, 0.01, 0.05, 0.2];
/// How many arms there are.
const ARMS: [usize; 4] = [2, 3, 4, 5];
/// The window of experiments without a change: short, so that there are many.
const WINDOW: u64 = 2_000;
/// Threads, of which each has kinds of experiments of its own.
const THREADS: usize = 2;

/// What is drawn of what is caught.
pub const FIRST: &str = "1 % to 5 %, from the first request";
/// In the middle of a window.
pub const LATE: &str = "1 % to 5 %, after 125,000";
/// With a hundredth of alpha.
pub const PROXIES: &str = "1 % to 5 %, proxies: 100";
/// By the usual statistic.
pub const BETA: &str = "1 % to 5 %, beta-binomial mixtures";

/// What is drawn.
#[derive(Default)]
pub struct Figures {
    /// How many experiments there were of each kind.
    pub runs: u64,
    /// By base rate, the most false alarms of any number of arms at the margin, and those of a test that is meant for one look.
    pub alarms: Vec<(u64, u64)>,
    /// What was caught when, by what is said of it.
    pub caught: Vec<(&'static str, Vec<Caught>)>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let mut number = |otherwise: u64| arguments.next().map_or(Ok(otherwise), |text| text.parse());
    let (runs, requests) = (number(2000)?, number(20_000)?);
    let mut figures = Figures { runs, ..Figures::default() };
    speed::print();
    false_alarms(&mut figures, requests)?;
    bent(runs, requests)?;
    detection(&mut figures)?;
    ratios::print(runs, requests)?;
    if let Some(path) = arguments.next() {
        fs::write(path, plot::draw(&figures)?)?;
    }
    Ok(())
}

/// Does all jobs on a few threads; the results are in the jobs' order.
pub fn together<J: Sync, R: Send>(
    jobs: &[J],
    work: impl Fn(&J) -> R + Sync,
) -> Result<Vec<R>, Box<dyn Error>> {
    let part = |first: usize| {
        let places = (first..jobs.len()).step_by(THREADS);
        places.filter_map(|place| Some((place, work(jobs.get(place)?)))).collect::<Vec<_>>()
    };
    let mut results = Vec::new();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS).map(|first| scope.spawn(move || part(first))).collect();
        for worker in workers {
            results.extend(worker.join().map_err(|_| "a worker has ended")?);
        }
        Ok::<(), Box<dyn Error>>(())
    })?;
    results.sort_by_key(|(place, _)| *place);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

/// Numbers in columns.
fn cells(numbers: impl Iterator<Item = u64>) -> String {
    numbers.fold(String::new(), |row, number| format!("{row}{number:>8}"))
}

fn false_alarms(figures: &mut Figures, requests: u64) -> Result<(), Box<dyn Error>> {
    let runs = figures.runs;
    let mut jobs = Vec::new();
    for base in BASES {
        jobs.extend([0.0, 0.005].iter().flat_map(|over| ARMS.map(|arms| (base, *over, Some(arms)))));
        jobs.push((base, 0.005, None));
    }
    let results = together(&jobs, |(base, over, arms)| {
        let rule = arms.map_or(Rule::OneLook(2.326), |arms| Rule::guardrail(arms as u64 - 1, 1, WINDOW));
        let arms = arms.unwrap_or(2);
        let weights = weights(arms);
        alarms(&rule, arms, runs, requests, |random, _| {
            let arm = random.arm(&weights);
            (arm, random.is(if arm == 0 { *base } else { base + over }))
        })
    })?;
    println!(
        "False alarms of {runs} experiments of {requests} requests, windows of {WINDOW}, looking after each; at most 1 % is stated."
    );
    println!(
        "An arm has 10 % of the requests and the rate of control (as good), or a rate that is above it by the margin of 0.5 % (at the margin)."
    );
    println!(
        "One look is a test of two proportions at 1 % that is meant for one look, with two arms at the margin.\n"
    );
    println!("control's rate             2 arms  3 arms  4 arms  5 arms  one look");
    for (base, results) in BASES.iter().zip(results.chunks(2 * ARMS.len() + 1)) {
        let (good, rest) = results.split_at(ARMS.len());
        let (margin, one_look) = rest.split_at(ARMS.len());
        let cells = |counts: &[u64]| cells(counts.iter().copied());
        println!("{:>5.1} %  as good       {}", base * 100.0, cells(good));
        println!("{:>5.1} %  at the margin {}{}", base * 100.0, cells(margin), cells(one_look));
        let worst = margin.iter().chain(good).copied().max().unwrap_or(0);
        figures.alarms.push((worst, one_look.first().copied().unwrap_or(0)));
    }
    println!();
    Ok(())
}

/// What is not as the test assumes it.
#[derive(Clone, Copy)]
enum Bent {
    /// Both arms' rates go up and down together.
    Outages,
    /// The arm grows from 2 % to 50 % of the requests while the rate of all goes from 1 % to 5 %.
    Ramp,
    /// As before, but the counts begin anew when the weights change.
    RampAnew,
    /// A user makes 20 requests in a row, of which all are bad or none is, and so many of them count as one.
    Users(u64),
}

fn bent(runs: u64, requests: u64) -> Result<(), Box<dyn Error>> {
    let kinds = [
        ("all rates go from 1 % to 30 % and back, every 2,000 requests", Bent::Outages),
        ("the arm goes from 2 % to 50 % of the requests while all rates go from 1 % to 5 %", Bent::Ramp),
        ("the same, and the counts begin anew with the new weights", Bent::RampAnew),
        ("a user makes 20 requests in a row, all bad with 5 % of users, else none", Bent::Users(1)),
        ("the same, requests_per_user: 20", Bent::Users(20)),
    ];
    let results = together(&kinds, |(_, bent)| {
        let per_user = if let Bent::Users(per_user) = bent { *per_user } else { 1 };
        let rule = Rule::for_users(1, 1, WINDOW, per_user);
        let run = |requests: u64, each: &dyn Fn(&mut Random, u64) -> (usize, bool)| {
            alarms(&rule, 2, runs, requests, each)
        };
        let plain = |random: &mut Random, weight: f64, rate: f64| {
            (random.arm(&[1.0 - weight, weight]), random.is(rate))
        };
        match bent {
            Bent::Outages => run(requests, &|random, place| {
                plain(random, 0.1, if place / 2000 % 2 == 1 { 0.3 } else { 0.01 })
            }),
            Bent::Ramp => run(requests, &|random, place| {
                if place < requests / 2 { plain(random, 0.02, 0.01) } else { plain(random, 0.5, 0.05) }
            }),
            Bent::RampAnew => run(requests / 2, &|random, _| plain(random, 0.5, 0.05)),
            // A user is a number of its own, of which arm and fate are drawn.
            Bent::Users(_) => {
                let seed = std::cell::Cell::new((0, false));
                run(requests, &|random, place| {
                    if place % 20 == 0 {
                        seed.set(plain(random, 0.1, 0.05));
                    }
                    seed.get()
                })
            }
        }
    })?;
    println!(
        "False alarms of {runs} experiments of {requests} requests where all arms are as good, but not as the test assumes:\n"
    );
    for ((text, _), alarms) in kinds.iter().zip(results) {
        println!("{alarms:>6}  {text}");
    }
    println!();
    Ok(())
}

fn detection(figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    let runs = figures.runs.min(1000);
    let jump = |arms, from, to, after| Jump { arms, from, to, after };
    let usual = || Rule::guardrail(1, 1, 50_000);
    let window = |window| Rule::guardrail(1, 1, window);
    let jobs = [
        (FIRST, usual(), jump(2, 0.01, 0.05, 0)),
        (LATE, usual(), jump(2, 0.01, 0.05, 125_000)),
        ("1 % to 5 %, after 1,025,000", usual(), jump(2, 0.01, 0.05, 1_025_000)),
        ("1 % to 5 %, after 130,000, window: 20000", window(20_000), jump(2, 0.01, 0.05, 130_000)),
        ("1 % to 5 %, after 100,000, window: 200000", window(200_000), jump(2, 0.01, 0.05, 100_000)),
        ("1 % to 5 %, after 125,000, no windows", window(u64::MAX), jump(2, 0.01, 0.05, 125_000)),
        ("1 % to 5 %, one of 5 arms", Rule::guardrail(4, 1, 50_000), jump(5, 0.01, 0.05, 0)),
        (PROXIES, Rule::guardrail(1, 100, 50_000), jump(2, 0.01, 0.05, 0)),
        (BETA, Rule::BetaBinomial, jump(2, 0.01, 0.05, 0)),
        ("1 % to 100 %", usual(), jump(2, 0.01, 1.0, 0)),
        ("0.1 % to 2 %", usual(), jump(2, 0.001, 0.02, 0)),
        ("5 % to 10 %", usual(), jump(2, 0.05, 0.1, 0)),
        ("20 % to 30 %", usual(), jump(2, 0.2, 0.3, 0)),
    ];
    let results = together(&jobs, |(_, rule, jump)| caught(rule, jump, runs))?;
    println!(
        "Requests until a jump of an arm's rate is caught, {runs} experiments each; the arm has 10 % of the requests, the margin is 0.5 %:\n"
    );
    println!("                                                      of all arms            of the arm");
    println!(
        "                                                caught   median    95 %     max  median    95 %     max"
    );
    for ((text, ..), caught) in jobs.iter().zip(&results) {
        let all: Vec<u64> = caught.iter().map(|caught| caught.all).collect();
        let mut arm: Vec<u64> = caught.iter().map(|caught| caught.arm).collect();
        arm.sort_unstable();
        let of = |sorted: &[u64]| cells([50, 95, 100].map(|percent| quantile(sorted, percent)).into_iter());
        let cells = [of(&all), of(&arm)].concat();
        println!("{text:<48}{:>6} {cells}", caught.len());
    }
    println!();
    figures.caught = jobs.iter().map(|(text, ..)| *text).zip(results).collect();
    Ok(())
}
