//! A Docker daemon: the one that answers, or one that is started here and ended by its process id.

use crate::{command, project, setup};
use anyhow::{Context as _, Result, bail, ensure};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long a daemon may take to answer.
const START: Duration = Duration::from_secs(30);

/// A daemon.
pub struct Daemon {
    host: String,
    /// The process, if it was started here, and its folder of sockets and process ids.
    own: Option<(Child, PathBuf)>,
}

impl Daemon {
    /// The daemon that answers, for what must outlive this command.
    pub fn running() -> Result<Self> {
        let host = env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
        let daemon = Self { host, own: None };
        ensure!(
            daemon.answers(),
            "Docker does not answer at {}: start it, or name another in $DOCKER_HOST",
            daemon.host
        );
        Ok(daemon)
    }

    /// Uses the daemon that answers, or starts one: with its own folders, without a bridge and without rules in the firewall.
    pub fn start() -> Result<Self> {
        let dockerd = setup::system("dockerd", "docker.io")?;
        if let Ok(daemon) = Self::running() {
            return Ok(daemon);
        }
        // The path of a socket has at most 107 bytes, so it is not in the target folder.
        let run = env::temp_dir().join(format!("outrigger-docker-{}", std::process::id()));
        fs::create_dir_all(&run)?;
        let log = fs::File::create(run.join("log"))?;
        let host = format!("unix://{}", run.join("docker.sock").display());
        let child = Command::new(dockerd)
            .arg("--data-root")
            .arg(project::scratch("docker")?)
            .arg("--exec-root")
            .arg(run.join("exec"))
            .arg("--pidfile")
            .arg(run.join("pid"))
            .args(["--host", &host, "--bridge=none", "--iptables=false", "--ip6tables=false"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start dockerd")?;
        let mut daemon = Self { host, own: Some((child, run.clone())) };
        let deadline = Instant::now() + START;
        while !daemon.answers() {
            let ended = daemon.own.as_mut().and_then(|(child, _)| child.try_wait().ok().flatten());
            if ended.is_some() || Instant::now() > deadline {
                bail!(
                    "dockerd does not answer:\n{}",
                    fs::read_to_string(run.join("log")).unwrap_or_default()
                );
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(daemon)
    }

    /// Where it listens.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The client of this daemon.
    pub fn command(&self) -> Command {
        let mut command = Command::new("docker");
        command.env("DOCKER_HOST", &self.host);
        command
    }

    fn answers(&self) -> bool {
        command::output(self.command().args(["version", "--format", "{{.Server.Version}}"]))
            .is_ok_and(|output| output.status.success())
    }

    /// Whether the image is there.
    pub fn has(&self, image: &str) -> bool {
        command::run(self.command().args(["image", "inspect", image])).is_ok()
    }

    /// Pulls the image; false where no registry gives it.
    pub fn pull(&self, image: &str) -> bool {
        command::run(self.command().args(["pull", "--quiet", image])).is_ok()
    }

    /// Builds an image FROM scratch of programs, each with its place, and the libraries that they are linked to. The first is what runs.
    pub fn build_image(&self, tag: &str, programs: &[(PathBuf, &str)]) -> Result<()> {
        let folder = tag.split(':').next().unwrap_or(tag);
        let context = project::scratch("images")?.join(folder);
        if context.exists() {
            fs::remove_dir_all(&context)?;
        }
        let copy = |from: &Path, to: &Path| -> Result<()> {
            let to = context.join(to.strip_prefix("/").unwrap_or(to));
            fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
            fs::copy(from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
            Ok(())
        };
        for (program, place) in programs {
            copy(program, Path::new(place))?;
            for library in libraries(program)? {
                copy(&library, &library)?;
            }
        }
        fs::create_dir_all(context.join("tmp"))?;
        let (_, main) = programs.first().context("an image runs something")?;
        let dockerfile = format!("FROM scratch\nCOPY . /\nUSER 101:101\nENTRYPOINT [\"{main}\"]\n");
        fs::write(context.join("Dockerfile"), dockerfile)?;
        fs::write(context.join(".dockerignore"), "Dockerfile\n.dockerignore\n")?;
        command::run(
            self.command().env("DOCKER_BUILDKIT", "0").args(["build", "--quiet", "--tag", tag]).arg(&context),
        )?;
        Ok(())
    }
}

/// The libraries that a program is linked to, and its loader.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let listed = command::output(Command::new("ldd").arg(program))?;
    // What is linked to nothing has no libraries, and ldd says so by failing.
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let path = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.into_iter().find(|word| word.starts_with('/')).map(PathBuf::from)
    };
    Ok(listed.lines().filter_map(path).collect())
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some((child, run)) = &mut self.own {
            // SIGTERM, so that it ends its containers and its containerd too.
            let _ = command::output(Command::new("kill").arg(child.id().to_string()));
            let _ = child.wait();
            // It leaves the network namespace of the host mounted.
            let _ = command::output(Command::new("umount").arg(run.join("exec/netns/default")));
            let _ = fs::remove_dir_all(run);
        }
    }
}
