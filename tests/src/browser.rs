//! A real browser, driven over WebDriver: Chromium without a window.

use std::{fs, net::Ipv4Addr, path::Path};

use data_encoding::BASE64;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::Command,
    time::timeout,
};

use crate::{Process, TIMEOUT, eventually, free_port};

/// Arguments for a browser without a window that makes no connections of its own and that may run as root.
const ARGUMENTS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1280,1000",
];

/// A browser with one empty tab. When it is dropped, it ends with all processes that it started.
#[derive(Debug)]
pub struct Browser {
    port: u16,
    session: String,
    _driver: Process,
}

impl Browser {
    /// Starts a browser that keeps its files in a new folder below `folder`.
    ///
    /// # Panics
    /// Where Chromium or its driver is missing.
    pub async fn start(folder: &Path) -> Self {
        let own = folder.join("browser");
        fs::create_dir_all(&own).unwrap_or_else(|error| panic!("{}: {error}", own.display()));
        let port = free_port(Ipv4Addr::LOCALHOST).port();
        // The browser is a child of the driver and would outlive it. In their own namespace both end together.
        let mut command = Command::new("unshare");
        if !rustix::process::geteuid().is_root() {
            command.arg("--map-root-user");
        }
        command.args(["--pid", "--fork", "--mount-proc", "--kill-child", "chromedriver", &format!("--port={port}")]);
        // The browser gets no settings of the account that runs the tests.
        command.env("HOME", &own).env("TMPDIR", &own).env("TZ", "UTC");
        let driver = Process::start(&mut command, &own.join("log"));
        let mut browser = Self { port, session: String::new(), _driver: driver };
        eventually("chromedriver is ready (Debian: chromium-driver)", async || {
            browser
                .try_call("GET", "/status", &Value::Null)
                .await
                .filter(|status| status.get("ready") == Some(&true.into()))
        })
        .await;
        let profile = format!("--user-data-dir={}", own.join("profile").display());
        let mut arguments = ARGUMENTS.to_vec();
        arguments.push(&profile);
        let wanted = json!({ "alwaysMatch": { "browserName": "chrome", "goog:chromeOptions": { "args": arguments } } });
        let session = browser.call("/session", &json!({ "capabilities": wanted })).await;
        let id = session.get("sessionId").and_then(Value::as_str);
        browser.session = id.unwrap_or_else(|| panic!("Chromium does not start: {session}")).to_owned();
        browser
    }

    /// Opens an address.
    pub async fn open(&self, url: &str) {
        self.command("url", &json!({ "url": url })).await;
    }

    /// Runs a script, given as the body of a function, in the page, and returns its result.
    pub async fn script(&self, body: &str) -> Value {
        self.command("execute/sync", &json!({ "script": body, "args": [] })).await
    }

    /// Waits until a script in the page returns a value other than null, false, or an empty text.
    pub async fn until(&self, what: &str, body: &str) -> Value {
        eventually(what, async || {
            let said = self.script(body).await;
            (said != Value::Null && said != false && said != "").then_some(said)
        })
        .await
    }

    /// Presses a key: a character, or a key in WebDriver's table of characters.
    pub async fn press(&self, key: char) {
        let press = ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() }));
        let actions = json!({ "actions": [{ "type": "key", "id": "keys", "actions": press }] });
        self.command("actions", &actions).await;
    }

    /// Sends a command of the browser's DevTools protocol.
    pub async fn develop(&self, command: &str, parameters: Value) -> Value {
        self.command("goog/cdp/execute", &json!({ "cmd": command, "params": parameters })).await
    }

    /// A picture of the page from its top in PNG, with this width and height in pixels.
    pub async fn picture(&self, width: u64, height: u64) -> Vec<u8> {
        let screen = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.develop("Emulation.setDeviceMetricsOverride", screen).await;
        let picture = self.develop("Page.captureScreenshot", json!({ "format": "png" })).await;
        let picture = picture.get("data").and_then(Value::as_str).unwrap_or_default();
        BASE64.decode(picture.as_bytes()).expect("a picture is in base64")
    }

    async fn command(&self, command: &str, body: &Value) -> Value {
        self.call(&format!("/session/{}/{command}", self.session), body).await
    }

    async fn call(&self, path: &str, body: &Value) -> Value {
        let answer = timeout(TIMEOUT, self.try_call("POST", path, body)).await;
        let answer = answer.unwrap_or_else(|_| panic!("the browser does not answer {path} {body}"));
        let answer = answer.unwrap_or_else(|| panic!("the browser is gone at {path} {body}"));
        assert!(answer.get("error").is_none(), "{path} {body}: {answer}");
        answer
    }

    /// The driver's answer without its envelope; `None` where the driver does not answer.
    async fn try_call(&self, method: &str, path: &str, body: &Value) -> Option<Value> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.ok()?;
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            self.port,
            body.len()
        );
        stream.write_all(head.as_bytes()).await.ok()?;
        stream.write_all(body.as_bytes()).await.ok()?;
        // The driver keeps the connection open, whatever the request says.
        let mut answer = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            answer.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
            match line.to_ascii_lowercase().split_once(':') {
                Some(("content-length", value)) => length = value.trim().parse().ok()?,
                None if line.trim_end().is_empty() => break,
                _ => {}
            }
        }
        let mut content = vec![0; length];
        answer.read_exact(&mut content).await.ok()?;
        let mut content: Value = serde_json::from_slice(&content).ok()?;
        content.get_mut("value").map(Value::take)
    }
}
