//! A publisher whose service runs as a process, and nodes that send requests to it.

use std::{
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use activation::{
    SigningKey,
    certificate::NodeCertificate,
    host_activation::{ActivationRequests, HostActivation, HostActivationRequest, IdentityKind, SignedAnswers},
    id::MachineDigest,
    key::TypedKey,
    trust::Trust,
};
use client::{Publishing, PublishingError};
use quorate_tests::{Finished, Process, Quorate, eventually, free_port, words};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;
use tempfile::TempDir;

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");
pub(crate) const CATALOG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/catalogs/example.toml");
const PLATFORM: &str = "server-standard-and-enterprise";

pub(crate) struct House {
    quorate: Quorate,
    pub(crate) address: SocketAddr,
    process: Option<Process>,
    // The last field, so that the process ends before its files are removed.
    folder: TempDir,
}

/// The service process of a publisher that several tasks use.
pub(crate) struct Served(Option<Process>);

impl Served {
    pub(crate) async fn kill(&mut self) {
        self.0.take().unwrap().kill().await;
    }

    pub(crate) fn serve(&mut self, house: &House) {
        self.0 = Some(house.start(&[]));
    }

    pub(crate) fn said(&self) -> String {
        self.0.as_ref().unwrap().said()
    }
}

impl House {
    /// Makes a publisher that has signed the example catalog.
    pub(crate) async fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("quorate-").tempdir().unwrap();
        // Under nextest every test is a process, so the process id gives each test its own address.
        let [.., high, low] = std::process::id().to_be_bytes();
        let address = free_port(Ipv4Addr::new(127, high | 0x80, low, 1));
        let house = Self { quorate: Quorate::at(QUORATE), address, process: None, folder };
        house.json(&words!["init"]).await;
        let signed = house.path("catalog.signed");
        house.json(&words!["catalog", "sign", CATALOG, "--out", &signed]).await;
        house
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn publisher(&self) -> PathBuf {
        self.path("publisher")
    }

    /// Runs a publisher command.
    pub(crate) async fn run(&self, words: &[OsString]) -> Finished {
        let mut command = words!["publisher"].to_vec();
        command.extend(words.iter().cloned());
        command.extend(words!["--dir", self.publisher()]);
        self.quorate.run(command).await
    }

    /// Runs a publisher command that must succeed, and returns its JSON result.
    pub(crate) async fn json(&self, words: &[OsString]) -> Value {
        let mut command = words.to_vec();
        command.push("--json".into());
        let finished = self.run(&command).await;
        assert_eq!(finished.code, Some(0), "{words:?}: {}", finished.stderr);
        finished.json()
    }

    /// Issues a key for this many hosts, without reactivations.
    pub(crate) async fn key(&self, hosts: u32) -> TypedKey {
        let hosts = hosts.to_string();
        let issue = words!["key", "issue", "--group", "server-b", "--hosts", hosts, "--reactivations", "0"];
        self.json(&issue).await["key"].as_str().unwrap().parse().unwrap()
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust::from_toml(&std::fs::read_to_string(self.publisher().join("trust.toml")).unwrap()).unwrap()
    }

    /// Starts the service, and waits until it answers.
    pub(crate) async fn serve(&mut self, more: &[OsString]) {
        self.process = Some(self.start(more));
        eventually("the service listens", async || tokio::net::TcpStream::connect(self.address).await.ok()).await;
    }

    /// Starts a service whose writes can be made to fail with [`Self::refuse_writes`].
    pub(crate) async fn serve_on_a_disk_that_may_fail(&mut self) {
        let address = self.address.to_string();
        let serve = words!["publisher", "serve", "--dir", self.publisher(), "--listen", address];
        // The program inherits the ignored signal, so that a write beyond the limit is an error and does not end the
        // process.
        let mut command = tokio::process::Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(self.quorate.program()).args(serve);
        self.process = Some(Process::start(&mut command, &self.path("serve.log")));
        eventually("the service listens", async || tokio::net::TcpStream::connect(self.address).await.ok()).await;
    }

    /// Limits the size of the service's files to one byte, so that further writes fail.
    pub(crate) fn refuse_writes(&self) {
        let pid = i32::try_from(self.process().pid()).ok().and_then(Pid::from_raw).unwrap();
        let limit = Rlimit { current: Some(1), maximum: Some(1) };
        prlimit(Some(pid), Resource::Fsize, limit).unwrap();
    }

    /// Waits until the service ends by itself; returns its exit code.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        self.process.take().unwrap().end().await.code()
    }

    /// Separates the publisher, which several tasks use, from its process, which one task kills.
    pub(crate) fn shared(mut self) -> (Arc<Self>, Served) {
        let process = self.process.take();
        (Arc::new(self), Served(process))
    }

    fn start(&self, more: &[OsString]) -> Process {
        let address = self.address.to_string();
        let words = words!["publisher", "serve", "--dir", self.publisher(), "--listen", address];
        let mut command = self.quorate.command(words);
        command.args(more);
        Process::start(&mut command, &self.path("serve.log"))
    }

    pub(crate) async fn kill(&mut self) {
        self.process.take().unwrap().kill().await;
    }

    /// Stops the service with SIGTERM, and returns its exit code.
    pub(crate) async fn stop(&mut self) -> Option<i32> {
        let mut process = self.process.take().unwrap();
        process.terminate();
        process.end().await.code()
    }

    pub(crate) fn process(&self) -> &Process {
        self.process.as_ref().unwrap()
    }

    pub(crate) async fn connect(&self) -> Result<Publishing, PublishingError> {
        let trust = self.trust();
        Publishing::connect(&self.address.to_string(), trust.publisher, trust.activation_keys, None).await
    }
}

/// The request of the node with this number; always the same bytes.
pub(crate) fn request(key: &TypedKey, node: u16) -> Vec<u8> {
    let [high, low] = node.to_be_bytes();
    let mut seed = [7; 32];
    seed[..2].copy_from_slice(&[high, low]);
    let mut request_id = [9; 16];
    request_id[..2].copy_from_slice(&[high, low]);
    let asked = HostActivation {
        request_id,
        node: node.into(),
        key: *key,
        platform: PLATFORM.parse().unwrap(),
        machine: MachineDigest([high, low, 0, 0, 0, 0, 0, 0]),
        identity: IdentityKind::Machine,
    };
    let request = HostActivationRequest::sign(asked, &SigningKey::from_bytes(&seed), None);
    ActivationRequests { requests: vec![request], releases: Vec::new() }.encode()
}

/// The only certificate in an answer; it must be from this publisher.
pub(crate) fn certificate(answer: &[u8], trust: &Trust) -> NodeCertificate {
    let answers = SignedAnswers::decode(answer).unwrap();
    answers.verify(&trust.activation_keys).unwrap();
    let [answer] = <[_; 1]>::try_from(answers.answers().answers.clone()).unwrap();
    answer.certificate.verify(&trust.activation_keys).unwrap();
    answer.certificate
}

/// Whether the outcome of a request is unknown.
pub(crate) fn is_unknown(error: &PublishingError) -> bool {
    matches!(error, PublishingError::NotReached { .. } | PublishingError::Unavailable { .. })
}
