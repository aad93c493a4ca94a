//! From `cargo xtask build` over a registry and the agent's rules to a request through Envoy with that very module: `outrigger publish`, tried on a real
//! registry and by programs that share no code with it.

mod agent;
mod realm;
mod server;

use super::{Count, Plan, Suite, Verdict, judge, on_harness, suites};
use crate::{
    bootstrap::Bootstrap, build, command, envoy::Envoy, http::Connection, progress, project, setup,
    upstream::Upstream,
};
use anyhow::{Context as _, Result, bail, ensure};
use harness::Bytes;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use realm::Realm;
use serde_json::{Value, json};
use server::{Door, Server, docker_config};
use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

/// The forms, in the order of `--form both`.
const FORMS: [&str; 2] = ["image", "artifact"];
/// Every request with the header has an arm.
const ONE_EXPERIMENT: &[u8] = br#"{"experiments": [{"name": "checkout", "key": [{"header": "x-user-id"}],
    "arms": [{"name": "control", "weight": 9000}, {"name": "b", "weight": 1000}]}]}"#;
/// The checks beside those of each module in each form.
const DOORS: usize = 5;
/// How long Envoy may take to fetch a module.
const FETCH: Duration = Duration::from_secs(30);

/// Publishes all modules, and runs what comes back.
///
/// # Errors
/// Something is not in the registry as the agent wants it, does not run in Envoy, or an error does not say what it should.
pub fn run() -> Result<Count> {
    let mut suites = suites()?;
    suites.retain(|suite| suite.published().is_some());
    let tool = Tool { program: build::outrigger()?, docker: docker_config("nobody", "none", &json!({}))? };
    let envoy = setup::envoy(None)?;
    let mut count = Count::default();
    let programs = ["docker-registry", "skopeo"]
        .map(|name| setup::system(name, name))
        .into_iter()
        .collect::<Result<Vec<_>>>();
    let [registry, skopeo] = match programs.as_deref() {
        Ok([registry, skopeo]) => [registry, skopeo],
        Ok(_) => bail!("two programs were looked for"),
        Err(why) => {
            count.skipped = suites.len() * FORMS.len() + DOORS;
            anstream::println!(
                "{}SKIPPED{:#}  published modules: {why:#}\n  nothing was pushed to a registry: run `apt-get install docker-registry skopeo`, \
                 or as root `cargo xtask setup --all`",
                progress::RED,
                progress::RED
            );
            return Ok(count);
        }
    };
    let registry_program = registry.as_path();
    let registry = Server::start(registry_program, &Door::Open)?;
    let work = progress::begin_counted("modules through a registry", suites.len() as u64);
    for suite in &suites {
        let published = through_registry(&tool, &registry, skopeo, suite)?;
        on_envoy(suite, &published, &envoy)?;
        count.passed += published.len();
        work.step();
    }
    drop(work);
    let _work = progress::begin("registries with doors");
    manifests(&tool, &registry)?;
    remote_fetch(&registry, &envoy)?;
    password(&tool, registry_program, skopeo)?;
    tokens(&tool, registry_program, skopeo)?;
    down(&tool)?;
    count.passed += DOORS;
    drop(registry);
    fs::remove_dir_all(scratch("")?)?;
    Ok(count)
}

/// A folder of this run.
fn scratch(name: &str) -> Result<PathBuf> {
    project::scratch(&format!("publish/{}/{name}", std::process::id()))
}

/// The tool, with Docker's configuration in a folder.
struct Tool {
    program: PathBuf,
    docker: PathBuf,
}

impl Tool {
    /// The same with another configuration of Docker.
    fn with(&self, docker: PathBuf) -> Self {
        Self { program: self.program.clone(), docker }
    }

    fn call(&self, arguments: &[&str]) -> Result<Output> {
        let mut tool = Command::new(&self.program);
        command::output(tool.args(arguments).env("DOCKER_CONFIG", &self.docker).current_dir(project::root()))
    }

    /// Publishes, and reads what came of it: the digests of the forms.
    fn publish(&self, arguments: &[&str]) -> Result<Vec<Value>> {
        let said = self.call(&[&["publish"], arguments, &["--json"]].concat())?;
        ensure!(said.status.success(), "publish: {}", String::from_utf8_lossy(&said.stderr));
        let all: Value = serde_json::from_slice(&said.stdout)?;
        Ok(all["published"].as_array().cloned().unwrap_or_default())
    }

    /// Has a call fail with exit code 1 and one line that says this.
    fn refuses(&self, arguments: &[&str], says: &str) -> Result<()> {
        let said = self.call(arguments)?;
        let error = String::from_utf8_lossy(&said.stderr);
        ensure!(
            said.status.code() == Some(1) && error.contains(says) && error.lines().count() == 1,
            "outrigger {arguments:?} must say `{says}`: {:?}\n{error}",
            said.status.code()
        );
        Ok(())
    }
}

/// Publishes a module in both forms, and gives the files of what comes back, which must be its very bytes.
fn through_registry(tool: &Tool, registry: &Server, skopeo: &Path, suite: &Suite) -> Result<[PathBuf; 2]> {
    let host = registry.address().to_string();
    let (name, tag) = (&suite.name, "0.1.0");
    let repository = format!("outrigger/{name}");
    let reference = format!("{host}/{repository}:{tag}");
    let folder = scratch(name)?;
    let built = fs::read(suite.published().context("no filter's module")?)?;
    let about = ["--licenses", "Apache-2.0", "--source", "https://code.example/outrigger", "--form", "both"];
    let publish = |more: &[&str]| tool.publish(&[&[name.as_str(), &reference], &about[..], more].concat());
    let first = publish(&["--plain-http"])?;
    ensure!(first.iter().all(|entry| entry["state"] == "pushed"), "{first:?}");
    let again = publish(&["--plain-http"])?;
    ensure!(again.iter().all(|entry| entry["state"] == "unchanged"), "{again:?}");
    // What would be pushed is known without a registry, to skopeo too.
    let layout = folder.join("layout");
    let offline = publish(&["--layout", &layout.display().to_string()])?;
    let mut modules = Vec::new();
    for (place, form) in FORMS.iter().enumerate() {
        let digest = first[place]["digest"].as_str().unwrap_or_default();
        ensure!(offline[place]["digest"] == digest, "the layout's digest is another");
        let hex = digest.trim_start_matches("sha256:");
        let tag = if place == 0 { tag.to_owned() } else { format!("{tag}-{form}") };
        let by_tag = agent::fetch(registry.address(), &repository, &tag, Some(hex))?;
        let by_digest = agent::fetch(registry.address(), &repository, digest, None)?;
        ensure!(by_tag == built && by_digest == built, "{name} as {form} is not what was built");
        let wrong = agent::fetch(registry.address(), &repository, &tag, Some(&agent::hex(&built)));
        ensure!(wrong.is_err(), "the module's digest is taken for the manifest's");
        let (from, to) = (format!("docker://{host}/{repository}:{tag}"), folder.join(form));
        let copy =
            |arguments: &[&str]| command::run(Command::new(skopeo).args(["copy", "--quiet"]).args(arguments));
        copy(&["--src-tls-verify=false", &from, &format!("oci:{}:{tag}", to.display())])?;
        let pulled = to.join("blobs/sha256").join(hex);
        ensure!(pulled.is_file(), "skopeo pulled another manifest than {digest}");
        let pushed = format!("docker://{host}/{repository}:skopeo-{form}");
        copy(&["--dest-tls-verify=false", &format!("oci:{}:{tag}", layout.display()), &pushed])?;
        let theirs = agent::fetch(registry.address(), &repository, &format!("skopeo-{form}"), Some(hex))?;
        ensure!(theirs == built, "skopeo pushed something else");
        let file = folder.join(format!("{form}.wasm"));
        fs::write(&file, by_tag)?;
        modules.push(file);
    }
    // Docker takes an image by its configuration.
    let image = format!("docker://{host}/{repository}:{tag}");
    let inspected = command::run(Command::new(skopeo).args(["inspect", "--tls-verify=false", &image]))?;
    let inspected: Value = serde_json::from_str(&inspected)?;
    ensure!(inspected["Os"] == "linux" && inspected["Digest"] == first[0]["digest"], "{inspected}");
    tool.refuses(&["publish", name, &reference, "--plain-http", "--title", "another"], "--force")?;
    modules.try_into().ok().context("two forms were published")
}

/// Runs the first scenario of a filter that has a request on Envoy, with modules that came from the registry.
fn on_envoy(suite: &Suite, modules: &[PathBuf; 2], program: &Path) -> Result<()> {
    let runs = on_harness(suite)?;
    let first = runs.iter().find(|(scenario, _)| {
        scenario.only_harness.is_none() && scenario.config_error.is_none() && !scenario.exchanges.is_empty()
    });
    let (scenario, report) = first.context("no scenario has a request")?;
    for (form, module) in FORMS.iter().zip(modules) {
        let (name, folder, bootstrap) = (suite.name.clone(), suite.folder.clone(), suite.bootstrap.clone());
        let pulled = Suite { name, plan: Plan::One(module.clone()), folder, bootstrap, without: None };
        match judge(scenario, report, &pulled, program, None)? {
            Verdict::Passed => {}
            Verdict::Skipped(why) | Verdict::Failed(why) | Verdict::Refused(why) => {
                bail!("{} as {form}: {}: {why}", suite.name, scenario.name)
            }
        }
    }
    Ok(())
}

/// Manifests that are pinned to what is in the registry, which `check` reads with the built modules.
fn manifests(tool: &Tool, registry: &Server) -> Result<()> {
    let folder = scratch("manifests")?;
    for filter in project::filters()? {
        let repository = format!("outrigger/{filter}");
        let reference = format!("{}/{repository}:0.1.0", registry.address());
        let config = format!("filters/{filter}/config.example.json");
        let call = ["manifest", "plugin", &filter, &reference, "--config", &config, "--plain-http"];
        let said = tool.call(&[&call[..], &["--selector", "app=shop"]].concat())?;
        ensure!(said.status.success(), "manifest: {}", String::from_utf8_lossy(&said.stderr));
        let text = String::from_utf8(said.stdout)?;
        let digest = text.split("@sha256:").nth(1).and_then(|rest| rest.get(..64)).context("no digest")?;
        let module = agent::fetch(registry.address(), &repository, &format!("sha256:{digest}"), None)?;
        ensure!(module == fs::read(build::module(&filter))?, "{filter}: the manifest pins another module");
        let file = folder.join(format!("{filter}.yaml"));
        fs::write(&file, text)?;
        let checked = tool.call(&["check", "--strict", &file.display().to_string()])?;
        ensure!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    }
    Ok(())
}

/// Envoy fetches the module out of the registry itself, where the artifact's layer is the module as it is, and compares the digest of its bytes.
fn remote_fetch(registry: &Server, program: &Path) -> Result<()> {
    let module = fs::read(build::module("ab-routing"))?;
    let blob = agent::hex(&module);
    for (sha256, runs) in [(blob.clone(), true), (agent::hex(b"another module"), false)] {
        let shop = Upstream::start("v1", 0)?;
        let mut bootstrap = Bootstrap::load("ab-routing")?;
        bootstrap.with_free_ports();
        bootstrap.set_cluster("v1", Some(shop.address()));
        bootstrap.set_cluster("v2", Some(shop.address()));
        bootstrap.set_cluster("modules", Some(registry.address()));
        bootstrap.set_plugin_configuration(Some(ONE_EXPERIMENT));
        let uri = format!("http://{}/v2/outrigger/ab-routing/blobs/sha256:{blob}", registry.address());
        let plugin = bootstrap.plugin("outrigger.ab_routing").context("the bootstrap has no plugin")?;
        plugin["failure_policy"] = json!("FAIL_CLOSED");
        plugin["vm_config"]["code"] = json!({"remote": {
            "http_uri": {"uri": uri, "cluster": "modules", "timeout": "5s"}, "sha256": sha256,
            "retry_policy": {"num_retries": 0}
        }});
        let envoy = Envoy::start(program, &bootstrap.0, &["--concurrency", "1"])?;
        let deadline = Instant::now() + FETCH;
        let mut status = None;
        // Where the module cannot be had, Envoy listens all the same and answers 503.
        while Instant::now() < deadline {
            if let Ok(main) = envoy.listener("main")
                && let Ok(mut connection) = Connection::open(main, Duration::from_secs(5))
            {
                let headers = [("host", "shop.example"), ("x-user-id", "user-1"), ("connection", "close")];
                let headers = headers.map(|(name, value)| (Bytes::from(name), Bytes::from(value)));
                status = connection.exchange("GET", "/checkout", &headers.to_vec(), b"")?.status();
                break;
            }
            thread::sleep(Duration::from_millis(50));
        }
        let received = shop.take_received().into_iter().next();
        let has_arm =
            received.is_some_and(|request| request.headers.iter().any(|(name, _)| name.0 == b"x-arm"));
        let is_as_it_must =
            if runs { status == Some(200) && has_arm } else { status != Some(200) && !has_arm };
        ensure!(is_as_it_must, "with {sha256}: {status:?}, arm {has_arm}\n{}", envoy.log_text());
    }
    Ok(())
}

/// A registry with TLS and a password.
fn password(nobody: &Tool, program: &Path, skopeo: &Path) -> Result<()> {
    let folder = scratch("tls")?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate()?;
    let root = authority.self_signed(&key)?;
    let server_key = KeyPair::generate()?;
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let server = CertificateParams::new(names)?.signed_by(&server_key, &Issuer::new(authority, key))?;
    let file = |name: &str, text: String| {
        let path = folder.join(name);
        fs::write(&path, text).map(|()| path)
    };
    // skopeo takes a folder of authorities, and wants nothing else in it.
    let authorities = folder.join("authorities");
    fs::create_dir_all(&authorities)?;
    let (ca, certificate) = (file("authorities/ca.crt", root.pem())?, file("server.pem", server.pem())?);
    let key = file("server.key", server_key.serialize_pem())?;
    let registry = Server::start(program, &Door::Password { certificate: &certificate, key: &key })?;
    let host = registry.address().to_string();
    let reference = format!("{host}/outrigger/metrics:0.1.0");
    let ca = ca.display().to_string();
    let call = ["publish", "metrics", &reference, "--ca-file", &ca];
    nobody.refuses(&["publish", "metrics", &reference], "--ca-file")?;
    nobody.refuses(&["publish", "metrics", &reference, "--plain-http"], "leave --plain-http out")?;
    nobody.refuses(&call, "docker login")?;
    let wrong = docker_config("wrong", &host, &json!({"auth": "dXNlcjp3cm9uZw=="}))?;
    nobody.with(wrong).refuses(&call, "refuses the credentials")?;
    let docker = docker_config("user", &host, &json!({"auth": "dXNlcjpwYXNz"}))?;
    let user = nobody.with(docker);
    let published = user.publish(&call[1..])?;
    let digest = published[0]["digest"].as_str().unwrap_or_default();
    let image = format!("docker://{host}/outrigger/metrics@{digest}");
    let inspect = ["inspect", "--raw", "--creds", "user:pass", "--cert-dir"];
    let manifest = command::output(Command::new(skopeo).args(inspect).arg(&authorities).arg(&image))?;
    ensure!(manifest.status.success(), "skopeo: {}", String::from_utf8_lossy(&manifest.stderr));
    ensure!(digest == format!("sha256:{}", agent::hex(&manifest.stdout)), "skopeo got another manifest");
    Ok(())
}

/// A registry that wants tokens of a realm.
fn tokens(nobody: &Tool, program: &Path, skopeo: &Path) -> Result<()> {
    let realm = Realm::start()?;
    let registry = Server::start(program, &Door::Tokens(&realm))?;
    let host = registry.address().to_string();
    let reference = format!("{host}/outrigger/policy:0.1.0");
    let call = ["publish", "policy", &reference, "--plain-http"];
    let tool = |name: &str, entry: Value| anyhow::Ok(nobody.with(docker_config(name, &host, &entry)?));
    nobody.refuses(&call, "docker login")?;
    tool("wrong-of-realm", json!({"auth": "dXNlcjp3cm9uZw=="}))?.refuses(&call, "/token")?;
    let published = tool("user-of-realm", json!({"auth": "dXNlcjpwYXNz"}))?.publish(&call[1..])?;
    let digest = published[0]["digest"].as_str().unwrap_or_default();
    let image = format!("docker://{host}/outrigger/policy@{digest}");
    let raw = ["inspect", "--raw", "--tls-verify=false", "--creds", "user:pass", &image];
    let manifest = command::output(Command::new(skopeo).args(raw))?;
    ensure!(
        digest == format!("sha256:{}", agent::hex(&manifest.stdout)),
        "{}",
        String::from_utf8_lossy(&manifest.stderr)
    );
    Ok(())
}

/// A registry that is not there.
fn down(tool: &Tool) -> Result<()> {
    let nobody = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
    tool.refuses(&["publish", "metrics", &format!("{nobody}/x:1")], "is the registry running")
}
