//! Policy that is tried before it bites, on a real Envoy: a candidate beside the live set under four workers, one that is refused, the records of
//! AUDIT and dry run through the access log of all-in-one, and a trace that a signed header asks for.

use super::{Count, try_all};
use crate::{
    bootstrap::Bootstrap, build, envoy::Envoy, parallel, setup, upstream::Upstream, visitor::Visitor,
};
use anyhow::{Context as _, Result, ensure};
use harness::series;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// How many requests the candidate sees, and how many ask at once.
const REQUESTS: usize = 2000;
const AT_ONCE: usize = 8;
const WORKERS: &str = "4";
/// How long a line is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
const SECRET: &str = "a secret of the mesh's operators";
const HEADER: &str = "x-outrigger-explain";

/// Something that is tried on an Envoy of this program.
type Attempt = fn(&Path) -> Result<()>;

/// Tries all of it.
///
/// # Errors
/// Something that every case needs is missing.
pub fn run() -> Result<Count> {
    let program = setup::envoy(None)?;
    build::modules()?;
    let tried: [(&str, Attempt); 4] = [
        ("a candidate under four workers", counts),
        ("a candidate that is refused", refused),
        ("records through the access log", records),
        ("a trace for a signed header", explains),
    ];
    Ok(try_all(&tried, |attempt| attempt(&program)))
}

/// Envoy with a filter before a shop.
struct Site {
    envoy: Envoy,
    listener: SocketAddr,
    shop: Upstream,
}

impl Site {
    fn start(program: &Path, filter: &str, config: &Value) -> Result<Self> {
        let shop = Upstream::start("v1", 0)?;
        let mut bootstrap = Bootstrap::load(filter)?;
        bootstrap.with_free_ports();
        bootstrap.set_module(&build::module(filter));
        bootstrap.set_environment(&BTreeMap::from([("SECRET".to_owned(), SECRET.to_owned())]));
        bootstrap.set_plugin_configuration(Some(config.to_string().as_bytes()));
        bootstrap.set_cluster("v1", Some(shop.address()));
        let envoy = Envoy::start(program, &bootstrap.0, &["--concurrency", WORKERS])?;
        let listener = envoy.listener("main")?;
        Ok(Self { envoy, listener, shop })
    }

    fn ask(&self, path: &str, headers: &[(&str, &str)]) -> Result<(u16, Option<String>)> {
        let answer = Visitor::default().ask(self.listener, "shop.example", path, headers)?;
        let told = answer.header(HEADER).map(|value| String::from_utf8_lossy(value).into_owned());
        Ok((answer.status().unwrap_or_default(), told))
    }

    /// The lines of JSON in the log that have this member, once there are so many.
    fn lines(&self, member: &str, count: usize) -> Result<Vec<Value>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.envoy.log_text();
            let objects =
                text.lines().filter_map(|line| serde_json::from_str(line.get(line.find('{')?..)?).ok());
            let lines: Vec<Value> = objects.filter(|line: &Value| !line[member].is_null()).collect();
            if lines.len() >= count {
                return Ok(lines);
            }
            ensure!(
                Instant::now() < deadline,
                "{} of {count} lines with {member} in the log:\n{text}",
                lines.len()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The values of a metric's series, by the values of labels.
    fn series<const N: usize>(&self, name: &str, labels: [&str; N]) -> Result<BTreeMap<[String; N], i64>> {
        let stats = self.envoy.plugin_stats()?;
        let of = stats.iter().filter_map(|(stat, value)| {
            let series = series::parse(stat);
            let values = labels.map(|label| series.labels.get(label).cloned().unwrap_or_default());
            (series.name == name && *value > 0).then_some((values, *value))
        });
        Ok(of.collect())
    }
}

fn policy(name: &str, action: &str, dry: bool, paths: &[&str]) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "shop", "annotations": {"istio.io/dry-run": dry.to_string()}},
        "spec": {"action": action, "rules": [{"to": [{"operation": {"paths": paths}}]}]}
    })
}

/// Every request on which the two differ is counted, by rule, and few are shown.
fn counts(program: &Path) -> Result<()> {
    let site = Site::start(
        program,
        "policy",
        &json!({
            "policies": [policy("old", "DENY", false, &["/old/*"])],
            "candidate": {"policies": [policy("new", "DENY", false, &["/new/*"])], "examples": 2}
        }),
    )?;
    let numbers: Vec<usize> = (0..REQUESTS).collect();
    let statuses: Result<Vec<u16>> = parallel::map(&numbers, AT_ONCE, |number| {
        let folder = ["/old", "/new", "/other", "/shop"][number % 4];
        Ok(site.ask(&format!("{folder}/joe@example.com/{number}"), &[])?.0)
    })
    .into_iter()
    .collect();
    let denied = statuses?.into_iter().filter(|status| *status == 403).count();
    ensure!(denied == REQUESTS / 4, "{denied} requests were denied");
    let counted = site.series("policy_candidate_total", ["live", "candidate", "result"])?;
    let each = i64::try_from(REQUESTS / 4)?;
    let [old, new] = ["old", "new"].map(|name| format!("ns[shop]-policy[{name}]-rule[0]"));
    let none = "none".to_owned();
    let expected = BTreeMap::from([
        ([old, none.clone(), "would_allow".to_owned()], each),
        ([none, new, "would_deny".to_owned()], each),
    ]);
    ensure!(counted == expected, "{counted:?} was counted");
    let lines = site.lines("policy_candidate", 2)?;
    let workers: usize = WORKERS.parse()?;
    ensure!(lines.len() <= 2 * 2 * workers, "{} examples of two pairs", lines.len());
    let shown = lines.iter().all(|line| line["path"].as_str().is_some_and(|path| path.contains("[EMAIL]")));
    ensure!(shown, "an example is not redacted: {lines:?}");
    let dropped = site.series("policy_candidate_examples_dropped_total", [])?;
    let dropped = dropped.values().sum::<i64>() + i64::try_from(lines.len())?;
    ensure!(dropped == 2 * each, "{dropped} examples were shown or dropped, of {}", 2 * each);
    Ok(())
}

/// The live set decides, and what is wrong with the candidate is said.
fn refused(program: &Path) -> Result<()> {
    let custom = json!({"metadata": {"name": "c"}, "spec": {"action": "CUSTOM"}});
    let live = policy("old", "DENY", false, &["/old/*"]);
    let config = json!({"policies": [live], "candidate": {"policies": [live, custom]}});
    let site = Site::start(program, "policy", &config)?;
    ensure!(site.ask("/old/1", &[])?.0 == 403 && site.ask("/other", &[])?.0 == 200, "the live set is gone");
    ensure!(
        site.envoy.log_text().contains("candidate refused: candidate.policies[1].spec.action: "),
        "the log does not say what is wrong"
    );
    let gauge = site.series("policy_candidate_refused", [])?;
    ensure!(gauge.values().eq(&[1]), "policy_candidate_refused is {gauge:?}");
    Ok(())
}

/// In all-in-one a record stands in the access log's line, without a word of configuration, and only there.
fn records(program: &Path) -> Result<()> {
    let config = json!({
        "access_log": {"outputs": {"log": true}, "sampling": {"rate": 0}},
        "policy": {"policies": [policy("watch", "AUDIT", false, &["/export/*"]), policy("tried", "DENY", true, &["/tried"])]}
    });
    let site = Site::start(program, "all-in-one", &config)?;
    for path in ["/export/joe@example.com", "/tried", "/other"] {
        ensure!(site.ask(path, &[])?.0 == 200, "{path} was denied");
    }
    let lines = site.lines("policy_record", 2)?;
    ensure!(lines.len() == 2 && lines.iter().all(|line| line["response_code"] == 200), "{lines:?}");
    let found = |path: &str| lines.iter().find(|line| line["path"] == path).context(path.to_owned());
    let id = |name: &str| json!([format!("ns[shop]-policy[{name}]-rule[0]")]);
    ensure!(found("/export/[EMAIL]")?["policy_record"]["audit"] == id("watch"), "{lines:?}");
    ensure!(found("/tried")?["policy_record"]["dry_run"] == id("tried"), "{lines:?}");
    Ok(())
}

/// What `outrigger sign-explain` prints for a path.
fn signed(tool: &Path, path: &str, seconds: &str, secret: &str) -> Result<String> {
    let arguments = ["sign-explain", "--authority", "shop.example", "--seconds", seconds, path];
    let output = Command::new(tool).args(arguments).env("OUTRIGGER_EXPLAIN_SECRET", secret).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// A header that is made for the request has it explained, and no other does.
fn explains(program: &Path) -> Result<()> {
    let tool = build::outrigger()?;
    let config = |respond: bool| {
        json!({
            "explain": {"secret_env": "SECRET", "respond": respond},
            "policies": [policy("old", "DENY", false, &["/old/*"])]
        })
    };
    let site = Site::start(program, "policy", &config(false))?;
    let path = "/old/joe@example.com?q=1";
    let good = signed(&tool, path, "60", SECRET)?;
    let short = signed(&tool, path, "1", SECRET)?;
    let other = signed(&tool, "/shop", "60", SECRET)?;
    let forged = signed(&tool, path, "60", "a secret of somebody else")?;
    let long = format!("{good}{}", "0".repeat(500));
    let ask = |path: &str, headers: &[&str]| {
        let headers: Vec<_> = headers.iter().map(|value| (HEADER, *value)).collect();
        site.ask(path, &headers)
    };
    thread::sleep(Duration::from_millis(1100));
    for headers in [&[good.as_str()][..], &[&short], &[&other], &[&forged], &[&long], &[&good, &good], &["x"]]
    {
        let (status, told) = ask(path, headers)?;
        ensure!(status == 403 && told.is_none(), "{headers:?}: {status}, {told:?}");
    }
    // The same header for another path, which goes on to the shop.
    ensure!(ask("/shop/1", &[&good])?.0 == 200 && ask("/shop", &[&other])?.0 == 200, "/shop is denied");
    let expected: BTreeMap<[String; 1], i64> = [
        ("explained", 2),
        ("expired", 1),
        ("forged", 3),
        ("oversized", 1),
        ("repeated", 1),
        ("malformed", 1),
    ]
    .map(|(result, count)| ([result.to_owned()], count))
    .into();
    let counted = site.series("policy_explain_total", ["result"])?;
    ensure!(counted == expected, "{counted:?} was counted");
    let lines = site.lines("policy_explain", 2)?;
    ensure!(lines.len() == 2, "{} traces", lines.len());
    let trace = &lines[0]["policy_explain"];
    ensure!(
        trace["verdict"] == "deny"
            && trace["clauses"][0]["result"] == true
            && trace["clauses"][0]["reason"] == "/old/[EMAIL]"
            && lines[1]["policy_explain"]["clauses"][0]["result"] == false,
        "{lines:?}"
    );
    for received in site.shop.take_received() {
        let name = |name: &[u8]| name.eq_ignore_ascii_case(HEADER.as_bytes());
        ensure!(received.headers.iter().all(|(other, _)| !name(&other.0)), "the shop got the header");
    }
    let site = Site::start(program, "policy", &config(true))?;
    for (path, status) in [(path, 403), ("/shop", 200)] {
        let (answered, told) = site.ask(path, &[(HEADER, &signed(&tool, path, "60", SECRET)?)])?;
        let told: Value = serde_json::from_str(told.context("no trace in the response")?.as_str())?;
        ensure!(answered == status && told["rules_left_out"] == 0, "{path}: {answered}, {told}");
        ensure!(site.ask(path, &[(HEADER, "x")])? == (status, None), "{path}: a trace for nobody");
    }
    Ok(())
}
