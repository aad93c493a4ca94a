//! docker-compose.yml: scenarios through it, with the same Envoy, module and upstreams in containers, and the file as it stands.

mod docker;
pub mod images;
mod whole;

use crate::{
    bootstrap::Bootstrap,
    command,
    e2e::{Count, Site},
    envoy::Line,
    http::{self, Connection},
    progress, project, setup,
    upstream::{Answer, Received},
};
use anyhow::{Context as _, Result, bail, ensure};
use docker::Daemon;
use harness::Bytes;
use serde_json::json;
use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// How long Envoy may take to be ready again after a restart.
const RESTART: Duration = Duration::from_secs(30);

/// The containers of docker-compose.yml. They end when this is dropped, and with them the daemon if it was started here.
pub struct Compose {
    program: PathBuf,
    /// Holds what the containers mount: the bootstrap and the modules.
    folder: PathBuf,
    listener: SocketAddr,
    admin: SocketAddr,
    /// The upstreams' names, addresses and control addresses.
    upstreams: [(&'static str, SocketAddr, SocketAddr); 2],
    /// Envoy's container, once it is there.
    container: String,
    daemon: Daemon,
}

impl Compose {
    /// Builds the images and starts the containers.
    ///
    /// # Errors
    /// Docker or docker-compose cannot be had, or a container does not start.
    pub fn up(envoy: &Path) -> Result<Self> {
        let program = setup::system("docker-compose", "docker-compose")?;
        let daemon = Daemon::start()?;
        let work = progress::begin("building images");
        images::envoy(&daemon, envoy)?;
        images::shop(&daemon)?;
        work.now("starting containers");
        let folder = project::scratch("compose")?;
        fs::create_dir_all(folder.join("dist"))?;
        let [listener, admin, v1, v1_control, v2, v2_control] = free_addresses()?;
        let upstreams = [("v1", v1, v1_control), ("v2", v2, v2_control)];
        let mut compose =
            Self { program, folder, listener, admin, upstreams, container: String::new(), daemon };
        compose.write(Bootstrap::load("ab-routing")?, &crate::build::module("ab-routing"))?;
        // Without visitors, whom no scenario expects.
        command::run(&mut compose.command(&["up", "--detach", "--remove-orphans", "envoy", "v1", "v2"]))?;
        command::run(&mut compose.command(&["ps", "--quiet", "envoy"]))?
            .trim()
            .clone_into(&mut compose.container);
        compose.wait()?;
        Ok(compose)
    }

    /// Starts Envoy again, with another bootstrap and another module.
    ///
    /// # Errors
    /// It does not become ready.
    pub fn restart(&mut self, bootstrap: Bootstrap, module: &Path) -> Result<()> {
        self.write(bootstrap, module)?;
        command::run(self.daemon.command().args(["restart", "--time", "2", &self.container]))?;
        self.wait()
    }

    /// Asks Envoy, in a container of its own, whether it would start.
    ///
    /// # Errors
    /// The container does not run.
    pub fn validate(&mut self, bootstrap: &Bootstrap, module: &Path) -> Result<Result<(), String>> {
        self.write(bootstrap.clone(), module)?;
        // docker-compose cannot run a service once on the host's network, so this is its image with its mounts.
        let mount =
            |name: &str, to: &str| format!("{}:/etc/outrigger/{to}:ro", self.folder.join(name).display());
        let mut run = self.daemon.command();
        run.args(["run", "--rm", "--network", "host", "--workdir", "/etc/outrigger"]);
        run.args(["--volume", &mount("envoy.json", "envoy.yaml"), "--volume", &mount("dist", "dist")]);
        run.args([images::ENVOY.1, "--mode", "validate", "--config-path", "/etc/outrigger/envoy.yaml"]);
        let output = command::output(&mut run)?;
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        Ok(if output.status.success() { Ok(()) } else { Err(text) })
    }

    /// Runs docker-compose.yml as it stands.
    ///
    /// # Errors
    /// It does not start.
    pub fn whole(&self) -> Result<Count> {
        whole::run(&self.daemon, &self.program)
    }

    fn write(&self, mut bootstrap: Bootstrap, module: &Path) -> Result<()> {
        bootstrap.with_free_ports();
        bootstrap.set_ports(self.listener, self.admin);
        let name = module.file_name().context("a module has a name")?;
        fs::copy(module, self.folder.join("dist").join(name))?;
        bootstrap.set_module(&Path::new("dist").join(name));
        for (name, address, _) in self.upstreams {
            bootstrap.set_cluster(name, Some(address));
        }
        // Written into the same file: what is mounted is the file, not its name.
        fs::write(self.folder.join("envoy.json"), serde_json::to_vec_pretty(&bootstrap.0)?)?;
        Ok(())
    }

    fn wait(&self) -> Result<()> {
        let addresses =
            [(self.admin, "/ready"), (self.upstreams[0].2, "/received"), (self.upstreams[1].2, "/received")];
        let deadline = Instant::now() + RESTART;
        for (address, target) in addresses {
            while http::get(address, target).is_err() {
                if Instant::now() > deadline {
                    let logs = command::output(&mut self.command(&["logs", "--tail", "40"]))?;
                    bail!("a container is not ready:\n{}", String::from_utf8_lossy(&logs.stdout));
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(project::root()).args(["--project-name", "outrigger-e2e"]).args(arguments);
        command
            .env("DOCKER_HOST", self.daemon.host())
            .env(images::ENVOY.0, images::ENVOY.1)
            .env(images::SHOP.0, images::SHOP.1)
            .env("ENVOY_ADMIN_PORT", self.admin.port().to_string())
            .env("ENVOY_FLUSH_MSEC", "20");
        command.env("ENVOY_CONFIG", self.folder.join("envoy.json")).env("DIST", self.folder.join("dist"));
        for ((_, address, control), [port, control_port]) in
            self.upstreams.iter().zip([["V1_PORT", "V1_CONTROL_PORT"], ["V2_PORT", "V2_CONTROL_PORT"]])
        {
            command.env(port, address.port().to_string()).env(control_port, control.port().to_string());
        }
        command
    }
}

impl Site for Compose {
    fn listener(&self) -> SocketAddr {
        self.listener
    }

    fn admin(&self) -> SocketAddr {
        self.admin
    }

    fn set_answer(&self, answer: &Answer) -> Result<()> {
        let body = serde_json::to_vec(&json!(answer))?;
        let headers = [("host", "control"), ("connection", "close")]
            .map(|(name, value)| (Bytes::from(name), Bytes::from(value)))
            .to_vec();
        for (name, _, control) in self.upstreams {
            let response = Connection::open(control, Duration::from_secs(5))?
                .exchange("PUT", "/answer", &headers, &body)?;
            ensure!(response.status() == Some(200), "{name} does not take the answer");
        }
        Ok(())
    }

    fn received(&self) -> Result<Vec<(String, Received)>> {
        let mut all = Vec::new();
        for (name, _, control) in self.upstreams {
            let received: Vec<Received> = serde_json::from_slice(&http::get(control, "/received")?)?;
            all.extend(received.into_iter().map(|received| (name.to_owned(), received)));
        }
        Ok(all)
    }

    fn log(&self) -> Result<Vec<Line>> {
        let output = command::output(self.daemon.command().args(["logs", &self.container]))?;
        Ok(String::from_utf8_lossy(&output.stderr).lines().map(Line::parse).collect())
    }
}

impl Drop for Compose {
    fn drop(&mut self) {
        let _ = command::output(&mut self.command(&["down", "--timeout", "2", "--remove-orphans"]));
    }
}

/// Addresses of loopback that were free a moment ago.
fn free_addresses<const N: usize>() -> Result<[SocketAddr; N]> {
    let listeners: Vec<TcpListener> =
        (0..N).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<Result<_, _>>()?;
    let addresses: Vec<SocketAddr> =
        listeners.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
    addresses.try_into().ok().context("as many addresses as listeners")
}
