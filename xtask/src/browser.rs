//! Headless Chromium, driven over the DevTools protocol.

use crate::{project, setup};
use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tungstenite::{Message, WebSocket, client};

/// How long the browser may take to start, and to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// What Chromium is called by those who package it.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// The browser on PATH, or Debian's.
///
/// # Errors
/// There is none, and it cannot be installed.
pub fn find() -> Result<PathBuf> {
    match NAMES.iter().find_map(|name| crate::command::on_path(name)) {
        Some(found) => Ok(found),
        None => setup::system("chromium", "chromium"),
    }
}

/// A browser with one page. It ends when this is dropped.
pub struct Browser {
    child: Child,
    folder: PathBuf,
    socket: WebSocket<TcpStream>,
    session: Option<String>,
    next: u64,
    /// What the page told of without being asked.
    events: Vec<Value>,
}

impl Browser {
    /// Starts the browser with an empty page.
    ///
    /// # Errors
    /// It does not start, or its protocol is another.
    pub fn start(program: &Path) -> Result<Self> {
        let folder = project::scratch("browser")?.join(std::process::id().to_string());
        fs::create_dir_all(&folder)?;
        let mut child = Command::new(program)
            .args([
                "--headless=new",
                "--remote-debugging-port=0",
                "--no-first-run",
                "--no-default-browser-check",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-extensions",
                "--disable-gpu",
                "--hide-scrollbars",
                "--lang=en-US",
                // It shows one page, of this machine; its sandbox does not start for root.
                "--no-sandbox",
            ])
            .arg(format!("--user-data-dir={}", folder.display()))
            .arg("about:blank")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let stderr = child.stderr.take().context("the browser has no stderr")?;
        let (sender, receiver) = std::sync::mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if let Some(url) = line.strip_prefix("DevTools listening on ") {
                    let _ = sender.send(url.to_owned());
                }
            }
        });
        let Ok(url) = receiver.recv_timeout(PATIENCE) else {
            let _ = child.kill();
            let _ = child.wait();
            bail!("{} has not started within {} s", program.display(), PATIENCE.as_secs());
        };
        let address =
            url.strip_prefix("ws://").and_then(|rest| rest.split('/').next()).context("no address")?;
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let (socket, _) =
            client(url.as_str(), stream).map_err(|error| anyhow::anyhow!("the DevTools socket: {error}"))?;
        socket.get_ref().set_read_timeout(Some(Duration::from_millis(200)))?;
        let mut browser = Self { child, folder, socket, session: None, next: 0, events: Vec::new() };
        let target = browser.call("Target.createTarget", &json!({"url": "about:blank"}))?;
        let attached = browser
            .call("Target.attachToTarget", &json!({"targetId": target["targetId"], "flatten": true}))?;
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), &json!({}))?;
        }
        Ok(browser)
    }

    /// Calls a method of the protocol.
    ///
    /// # Errors
    /// The browser refuses it or does not answer.
    pub fn call(&mut self, method: &str, params: &Value) -> Result<Value> {
        self.next += 1;
        let id = self.next;
        let mut message = json!({"id": id, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.socket.send(Message::text(message.to_string()))?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let Some(answer) = self.read()? else { continue };
            if answer["id"] == id {
                if let Some(problem) = answer.get("error") {
                    bail!("{method}: {problem}");
                }
                return Ok(answer["result"].clone());
            }
            self.events.push(answer);
        }
        bail!("{method} was not answered within {} s", PATIENCE.as_secs())
    }

    /// The next message; none where there is none for a moment.
    fn read(&mut self) -> Result<Option<Value>> {
        match self.socket.read() {
            Ok(message) if message.is_text() => Ok(Some(serde_json::from_str(message.to_text()?)?)),
            Ok(_) => Ok(None),
            Err(tungstenite::Error::Io(error))
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
            {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Loads a page and waits until it is there.
    ///
    /// # Errors
    /// It is not.
    pub fn open(&mut self, url: &str) -> Result<()> {
        self.call("Page.navigate", &json!({"url": url}))?;
        self.wait("document.readyState === 'complete'")
    }

    /// What an expression is worth in the page.
    ///
    /// # Errors
    /// It throws.
    pub fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", &params)?;
        if answer.get("exceptionDetails").is_some() {
            bail!("{expression}: {}", answer["exceptionDetails"]);
        }
        Ok(answer["result"]["value"].clone())
    }

    /// Waits until an expression is true.
    ///
    /// # Errors
    /// It does not become so.
    pub fn wait(&mut self, expression: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.evaluate(expression)? != true {
            if Instant::now() > deadline {
                bail!("after {} s it is not so that {expression}", PATIENCE.as_secs());
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Shows the page in a window of this size, in a theme.
    ///
    /// # Errors
    /// The browser refuses it.
    pub fn show(&mut self, width: u32, height: u32, theme: &str) -> Result<()> {
        let is_phone = width < 600;
        self.call(
            "Emulation.setDeviceMetricsOverride",
            &json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone}),
        )?;
        let features = json!([{"name": "prefers-color-scheme", "value": theme}]);
        self.call("Emulation.setEmulatedMedia", &json!({"features": features}))?;
        Ok(())
    }

    /// Presses a key.
    ///
    /// # Errors
    /// The browser refuses it.
    pub fn press(&mut self, key: &str, code: u32) -> Result<()> {
        for kind in ["keyDown", "keyUp"] {
            self.call(
                "Input.dispatchKeyEvent",
                &json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code}),
            )?;
        }
        Ok(())
    }

    /// A picture of what the window shows, as PNG.
    ///
    /// # Errors
    /// There is none.
    pub fn picture(&mut self) -> Result<Vec<u8>> {
        let answer =
            self.call("Page.captureScreenshot", &json!({"format": "png", "optimizeForSpeed": false}))?;
        Ok(STANDARD.decode(answer["data"].as_str().context("no picture")?)?)
    }

    /// What the page told of since the last call: the method and its parameters.
    ///
    /// # Errors
    /// The browser is gone.
    pub fn events(&mut self) -> Result<Vec<Value>> {
        while let Some(event) = self.read()? {
            self.events.push(event);
        }
        Ok(std::mem::take(&mut self.events))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.session = None;
        let _ = self.call("Browser.close", &json!({}));
        let deadline = Instant::now() + Duration::from_secs(3);
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
