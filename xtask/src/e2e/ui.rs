//! The page in a real browser: live traffic through a real Envoy, and every number on the page is Envoy's own.

use super::Count;
use crate::{
    browser::{self, Browser},
    demo::{
        Stage,
        visitors::{self, Numbers},
    },
    progress, project,
    upstream::Upstream,
};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use ui::Page;

/// The most bytes that the browser may fetch for the page and a state.
const WEIGHT: u64 = 300_000;
/// The most bytes of a picture in the docs.
const PICTURE: usize = 150_000;
/// How many connections hurry, how many requests each sends, and how many of them a second: 2,000 in all, for ten seconds.
const HURRY: (usize, usize, usize) = (4, 5000, 500);
/// How long traffic is watched: enough for Envoy to merge its histograms, and for pictures as long as the charts are.
const LIVE: [Duration; 2] = [Duration::from_secs(12), Duration::from_secs(125)];
/// The windows that the page must fit.
const WIDTHS: [u32; 2] = [390, 1280];
/// What no page may show: what visitors wrote.
const PERSONAL: [&str; 6] =
    ["joe@example", "joe%40example", "4111-1111", "hunter2", "30+1234567", "30 1234567"];

/// What is done with the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum What {
    /// It is checked.
    Check,
    /// It is checked, and pictures of it are put into docs/.
    Pictures,
}

/// Runs the page.
///
/// # Errors
/// It says what Envoy does not, or cannot be used. Where there is no Chromium it is skipped, and said.
pub fn run(what: What) -> Result<Count> {
    let program = match browser::find() {
        Ok(program) => program,
        Err(error) => {
            anstream::println!(
                "{}SKIPPED{:#}  the page was seen by no browser: {error:#}",
                progress::RED,
                progress::RED
            );
            return Ok(Count { skipped: 1, ..Count::default() });
        }
    };
    let stage = Stage::start(true)?;
    let page = stage.page(0)?;
    let work = progress::begin("the page in a browser");
    let mut browser = Browser::start(&program)?;
    browser.show(1280, 900, "light")?;
    browser.open(&format!("http://{}/", page.address()))?;
    let traffic = Traffic::start(&stage, what);
    browser.wait("document.querySelectorAll('#records li').length > 3")?;
    thread::sleep(LIVE[usize::from(what == What::Pictures)]);
    let pictures = pictures(&mut browser)?;
    traffic.stop();
    let compared = numbers(&mut browser, &stage)?;
    fits(&mut browser)?;
    keys(&mut browser)?;
    reads(&mut browser)?;
    themes(&mut browser)?;
    let hurried = hurry(&mut browser, &stage, &page)?;
    let weight = quiet(&mut browser, &page)?;
    drop(work);
    println!(
        "{compared} numbers on the page, each as Envoy counts it; {weight} bytes were fetched for it and a state"
    );
    println!("{hurried}");
    for (name, picture) in pictures {
        ensure!(picture.len() <= PICTURE, "{name} has {} bytes", picture.len());
        if what == What::Pictures {
            fs::write(project::root().join("docs").join(name), picture)?;
        }
    }
    Ok(Count { passed: 1, ..Count::default() })
}

/// Visitors who come until they are told to stop.
struct Traffic {
    is_over: Arc<AtomicBool>,
    visitors: Vec<thread::JoinHandle<()>>,
}

impl Traffic {
    fn start(stage: &Stage, what: What) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let visitor = |number: usize| {
            let (is_over, listener, shops) = (Arc::clone(&is_over), stage.listener, stage.shops.clone());
            thread::spawn(move || {
                let begun = Instant::now();
                for round in 0_usize.. {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    visitors::tell(&shops, round);
                    let user = format!("user-{}", (round * 31 + number * 7) % 400);
                    let cookie = format!("visitor={user}");
                    let target = visitors::TARGETS[(round + number) % visitors::TARGETS.len()];
                    let asked = crate::visitor::Visitor::default().ask(
                        listener,
                        "shop.example",
                        target,
                        &[("cookie", &cookie)],
                    );
                    drop(asked);
                    let wave = if what == What::Pictures {
                        (begun.elapsed().as_secs_f64() / 8.0).sin()
                    } else {
                        0.0
                    };
                    thread::sleep(Duration::from_secs_f64(0.1 + 0.06 * wave));
                }
            })
        };
        Self { visitors: (0..4).map(visitor).collect(), is_over }
    }

    fn stop(self) {
        self.is_over.store(true, Ordering::Relaxed);
        for visitor in self.visitors {
            let _ = visitor.join();
        }
    }
}

/// The page as it is, by the names of the docs' files.
fn pictures(browser: &mut Browser) -> Result<BTreeMap<&'static str, Vec<u8>>> {
    let mut all = BTreeMap::new();
    for (name, width, height, theme, shown) in [
        ("ui-light.png", 1280, 960, "light", "overview"),
        ("ui-dark.png", 1280, 960, "dark", "experiments"),
        ("ui-phone.png", 390, 844, "light", "personal"),
    ] {
        browser.show(width, height, theme)?;
        browser.evaluate(&format!("document.documentElement.style.scrollBehavior = 'auto'; document.getElementById('{shown}').scrollIntoView(); 0"))?;
        // The charts are drawn anew with the next state.
        thread::sleep(Duration::from_millis(1500));
        all.insert(name, browser.picture()?);
    }
    browser.evaluate("scrollTo(0, 0); 0")?;
    browser.show(1280, 900, "light")?;
    Ok(all)
}

/// The numbers that the page shows, by what they are of.
fn shown(browser: &mut Browser) -> Result<Numbers> {
    let all = browser.evaluate(
        "Object.fromEntries([...document.querySelectorAll('[data-number]')].map((node) => [node.dataset.number, node.textContent]))",
    )?;
    let mut numbers = Numbers::new();
    for (name, text) in all.as_object().context("the page has no numbers")? {
        let text = text.as_str().unwrap_or_default().replace(',', "");
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        if name != "total/latency" && !digits.is_empty() {
            numbers.insert(name.clone(), digits.parse()?);
        }
    }
    Ok(numbers)
}

/// Once nothing comes any more, the page says what Envoy has counted.
fn numbers(browser: &mut Browser, stage: &Stage) -> Result<usize> {
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        match visitors::compare(&shown(browser)?, &visitors::counted(&stage.envoy)?) {
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => thread::sleep(Duration::from_millis(300)),
            Ok(count) => {
                let failed = shown(browser)?.get("total/errors").copied().unwrap_or(0);
                ensure!(failed > 0, "nothing failed, so errors were not compared");
                return Ok(count);
            }
        }
    }
}

/// Nothing is wider than the window, in either theme.
fn fits(browser: &mut Browser) -> Result<()> {
    for width in WIDTHS {
        for theme in ["light", "dark"] {
            browser.show(width, 900, theme)?;
            thread::sleep(Duration::from_millis(1200));
            let wide = browser.evaluate("document.documentElement.scrollWidth")?;
            ensure!(wide.as_u64() <= Some(width.into()), "at {width} px the page is {wide} px wide");
            let out = browser.evaluate(
                "[...document.querySelectorAll('main *')].filter((node) => node.getBoundingClientRect().right > innerWidth + 1 && node.getBoundingClientRect().width > 1)
                 .map((node) => node.tagName + '.' + node.className).slice(0, 5).join()",
            )?;
            ensure!(out == "", "at {width} px {out} is outside the window");
        }
    }
    browser.show(1280, 900, "light")
}

/// Every control is reached with the tab key, in order, and shows that it is.
fn keys(browser: &mut Browser) -> Result<()> {
    let wanted = browser.evaluate(
        "window.controls = [...document.querySelectorAll('a[href], button, summary, [tabindex=\"0\"]')].filter((node) => node.getClientRects().length); controls.length",
    )?;
    let wanted = wanted.as_u64().context("no controls")?;
    ensure!(wanted >= 12, "the page has {wanted} controls");
    browser.evaluate("document.activeElement.blur(); scrollTo(0, 0); 0")?;
    let mut reached = BTreeSet::new();
    let mut order = Vec::new();
    for _ in 0..wanted + 5 {
        browser.press("Tab", 9)?;
        let focus = browser.evaluate(
            "({place: controls.indexOf(document.activeElement), outline: getComputedStyle(document.activeElement).outlineStyle, what: document.activeElement.outerHTML.slice(0, 80)})",
        )?;
        if let Some(place) = focus["place"].as_u64() {
            ensure!(focus["outline"] == "solid", "{} does not show that it has the focus", focus["what"]);
            if reached.insert(place) {
                order.push(place);
            }
        }
    }
    ensure!(reached.len() as u64 == wanted, "{} of {wanted} controls were reached: {order:?}", reached.len());
    ensure!(order.is_sorted(), "controls are reached in the order {order:?}");
    // The first leads past the header, and buttons answer to the keyboard.
    let first = browser.evaluate("controls[0].hash")?;
    ensure!(first == "#main", "the first control is {first}");
    browser.evaluate("document.getElementById('pause').focus(); 0")?;
    for expected in ["true", "false"] {
        browser.press(" ", 32)?;
        let pressed = browser.evaluate("document.getElementById('pause').getAttribute('aria-pressed')")?;
        ensure!(pressed == expected, "Pause is {pressed} and not {expected}");
    }
    Ok(())
}

/// What a screen reader is told: landmarks, headings in order, tables with headings, names of pictures and controls; and nothing that is personal.
fn reads(browser: &mut Browser) -> Result<()> {
    let problems = browser.evaluate(
        r#"(() => {
            const problems = [];
            for (const one of ["header", "nav[aria-label]", "main", "footer", "html[lang]", "title", "[role=status]"]) {
                if (document.querySelectorAll(one).length !== 1) problems.push(`not one ${one}`);
            }
            let level = 0;
            for (const heading of document.querySelectorAll("h1, h2, h3, h4")) {
                const own = Number(heading.tagName[1]);
                if (own > level + 1) problems.push(`a heading of level ${own} after one of ${level}: ${heading.textContent}`);
                if (!heading.textContent.trim()) problems.push("an empty heading");
                level = own;
            }
            for (const section of document.querySelectorAll("section")) {
                if (!document.getElementById(section.getAttribute("aria-labelledby"))) problems.push(`${section.id} has no name`);
            }
            for (const table of document.querySelectorAll("table")) {
                if (!table.getAttribute("aria-label")) problems.push("a table without a name");
                if (![...table.tHead.rows[0].cells].every((cell) => cell.scope === "col")) problems.push("a column without a heading");
                for (const row of table.tBodies[0].rows) if (row.cells[0].scope !== "row") problems.push("a row without a heading");
            }
            for (const picture of document.querySelectorAll("svg")) {
                const isHidden = picture.getAttribute("aria-hidden") === "true";
                if (!isHidden && !(picture.getAttribute("role") === "img" && picture.getAttribute("aria-label"))) problems.push("a picture without words");
            }
            for (const image of document.querySelectorAll("img")) if (!image.hasAttribute("alt")) problems.push("an image without alt");
            for (const control of document.querySelectorAll("a, button, summary")) if (!control.textContent.trim()) problems.push("a control without a name");
            const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
            if (new Set(ids).size !== ids.length) problems.push("an id twice");
            return problems.join("; ");
        })()"#,
    )?;
    ensure!(problems == "", "{problems}");
    let text = browser.evaluate("document.documentElement.outerHTML")?;
    let text = text.as_str().context("no page")?;
    for personal in PERSONAL {
        ensure!(!text.contains(personal), "{personal} is on the page");
    }
    ensure!(text.contains("[EMAIL]") && text.contains("1111</mark>"), "the page marks nothing as redacted");
    Ok(())
}

/// The system's theme is followed, and the button overrides it.
fn themes(browser: &mut Browser) -> Result<()> {
    let ground = "getComputedStyle(document.body).backgroundColor";
    browser.show(1280, 900, "light")?;
    let light = browser.evaluate(ground)?;
    browser.show(1280, 900, "dark")?;
    let dark = browser.evaluate(ground)?;
    ensure!(light != dark, "both themes are {light}");
    // From auto to light, to dark, and to auto again.
    for expected in [&light, &dark, &dark] {
        browser.evaluate("document.getElementById('theme').click(); 0")?;
        let now = browser.evaluate(ground)?;
        ensure!(now == *expected, "the theme's ground is {now} and not {expected}");
    }
    browser.show(1280, 900, "light")
}

/// While 2,000 requests come each second the page is drawn anew each second; and soon after, it says them all.
fn hurry(browser: &mut Browser, stage: &Stage, page: &Page) -> Result<String> {
    let (connections, each, a_second) = HURRY;
    stage.shops.iter().for_each(Upstream::reset);
    let footer = "document.getElementById('footer').textContent";
    let mut drawn = BTreeSet::new();
    let begun = Instant::now();
    let listener = stage.listener;
    let hurrying: Vec<_> = (0..connections)
        .map(|number| {
            thread::spawn(move || visitors::hurry(listener, &format!("user-{number}"), each, a_second))
        })
        .collect();
    let mut slowest = Duration::ZERO;
    while hurrying.iter().any(|one| !one.is_finished()) {
        let asked = Instant::now();
        crate::http::get(page.address(), "/state.json")?;
        slowest = slowest.max(asked.elapsed());
        drawn.insert(browser.evaluate(footer)?.to_string());
        thread::sleep(Duration::from_millis(50));
    }
    for one in hurrying {
        one.join().map_err(|_| anyhow::anyhow!("a visitor panicked"))??;
    }
    #[expect(clippy::cast_precision_loss, reason = "a few thousand requests")]
    let rate = (connections * each) as f64 / begun.elapsed().as_secs_f64();
    let stopped = Instant::now();
    numbers(browser, stage)?;
    let late = stopped.elapsed();
    // A second that falls between two polls may be missed.
    let seconds = (stopped - begun).as_secs();
    ensure!(drawn.len() as u64 + 3 >= seconds, "the page was drawn {} times in {seconds} s", drawn.len());
    let now: Value = serde_json::from_slice(&crate::http::get(page.address(), "/state.json")?)?;
    let (read, sent) = (&now["logs"][0]["counts"], &now["totals"]["requests"]);
    ensure!(read["access"] == *sent && read["skipped_bytes"] == 0, "{sent} requests, and of the log {read}");
    Ok(format!(
        "{} requests at {rate:.0} a second: the page is drawn {} times meanwhile, a state is answered within {} ms, the page says them all {:.1} s after the last, and every record was read",
        connections * each,
        drawn.len(),
        slowest.as_millis(),
        late.as_secs_f64()
    ))
}

/// Nothing was said in the console, nothing asked of another server, and the page is light.
fn quiet(browser: &mut Browser, page: &Page) -> Result<u64> {
    let own = format!("http://{}/", page.address());
    let (mut weight, mut urls) = (0, BTreeMap::new());
    for event in browser.events()? {
        let params = &event["params"];
        match event["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => anyhow::bail!("the page threw {}", params["exceptionDetails"]),
            "Runtime.consoleAPICalled" | "Log.entryAdded" => anyhow::bail!("the console says {params}"),
            "Network.requestWillBeSent" => {
                let url = params["request"]["url"].as_str().unwrap_or_default();
                ensure!(url.starts_with(&own), "the page asks for {url}");
                urls.insert(params["requestId"].as_str().unwrap_or_default().to_owned(), url.to_owned());
            }
            "Network.loadingFinished" => {
                let url = urls.get(params["requestId"].as_str().unwrap_or_default());
                let size = params["encodedDataLength"].as_f64().unwrap_or(0.0);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "bytes of a page"
                )]
                if url.is_some_and(|url| !url.ends_with("/state.json")) {
                    weight += size as u64;
                }
            }
            _ => {}
        }
    }
    let state = crate::http::get(page.address(), "/state.json")?.len() as u64;
    let all = weight + state;
    ensure!(weight > 10_000 && all <= WEIGHT, "{all} bytes were fetched");
    Ok(all)
}
