//! A real registry (CNCF Distribution, Debian's docker-registry), open, with a password over TLS, or with tokens of a realm.

use super::realm::Realm;
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

/// How long it may take to listen.
const START: Duration = Duration::from_secs(30);
/// The user `user` with the password `pass`, as `htpasswd -Bbn user pass` writes it.
const HTPASSWD: &str = "user:$2y$05$K32/JtoerbJ5Z9g5Szpg/eppSZUav81uFl3D3wAbFbgWSRTeeR3Ju\n";

/// Who may push.
pub enum Door<'a> {
    /// Anybody.
    Open,
    /// `user` with `pass`, by Basic, over TLS with a certificate.
    Password {
        /// The certificate and its key, in PEM.
        certificate: &'a Path,
        key: &'a Path,
    },
    /// Who has a token of a realm.
    Tokens(&'a Realm),
}

/// A registry, running. It ends when this is dropped.
pub struct Server {
    child: Child,
    address: SocketAddr,
    folder: PathBuf,
}

impl Server {
    /// Starts it on a free port of loopback, empty.
    ///
    /// # Errors
    /// It does not listen: what it logged is in the error.
    pub fn start(program: &Path, door: &Door<'_>) -> Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = super::scratch(&format!("registry-{number}"))?;
        let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let mut config = json!({
            "version": 0.1,
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": folder.join("data")}},
            "http": {"addr": address.to_string(), "secret": "of this run"}
        });
        match door {
            Door::Open => {}
            Door::Password { certificate, key } => {
                let passwords = folder.join("htpasswd");
                fs::write(&passwords, HTPASSWD)?;
                config["auth"] = json!({"htpasswd": {"realm": "a registry", "path": passwords}});
                config["http"]["tls"] = json!({"certificate": certificate, "key": key});
            }
            Door::Tokens(realm) => config["auth"] = realm.config(&folder)?,
        }
        // YAML has JSON in it, but for the version, which must not be a text.
        let file = folder.join("config.yml");
        fs::write(&file, config.to_string())?;
        let log = folder.join("log");
        let child = Command::new(program)
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut server = Self { child, address, folder };
        let deadline = Instant::now() + START;
        while TcpStream::connect(address).is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("docker-registry ended ({status}):\n{}", fs::read_to_string(&log)?);
            }
            ensure!(Instant::now() < deadline, "docker-registry does not listen after {} s", START.as_secs());
            thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Only the process that was started here, by its id.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Docker's configuration with these credentials for a registry, in a folder of its own.
///
/// # Errors
/// It cannot be written.
pub fn docker_config(name: &str, registry: &str, entry: &Value) -> Result<PathBuf> {
    let folder = super::scratch(&format!("docker-{name}"))?;
    fs::write(folder.join("config.json"), json!({"auths": {registry: entry}}).to_string())?;
    Ok(folder)
}
