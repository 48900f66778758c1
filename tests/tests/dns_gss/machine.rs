//! An isolated machine for one test: its own processes, network and Kerberos configuration.

use std::{
    ffi::OsStr,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use discovery::{Credentials, Desired, DnsName, Domain, Finder, GssKey, Neighbours, Primary, RecordPublisher};
use tempfile::TempDir;
use tokio::{process::Command, time::timeout};

use quorate_tests::TIMEOUT;

/// Name of the zone; the realm has the same name.
pub(crate) const ZONE: &str = "example.test";
pub(crate) const REALM: &str = "EXAMPLE.TEST";
/// Address on which all servers of the machine listen.
pub(crate) const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub(crate) const DNS: SocketAddr = SocketAddr::new(HERE, 53);

/// Environment variable that is set inside the machine; it names the machine's folder.
const FOLDER: &str = "QUORATE_TEST_MACHINE";

/// The isolated machine, seen from inside.
pub(crate) struct IsolatedMachine {
    folder: PathBuf,
}

impl IsolatedMachine {
    /// Outside: runs the test of this name on an isolated machine, fails where it fails, and returns `None`. Inside:
    /// returns the machine.
    pub(crate) async fn of(test: &str) -> Option<Self> {
        if let Some(folder) = std::env::var_os(FOLDER) {
            let machine = Self { folder: folder.into() };
            machine.run("ip", ["link", "set", "lo", "up"]).await;
            return Some(machine);
        }
        let folder = tempfile::Builder::new().prefix("quorate-").tempdir().unwrap();
        fs::write(folder.path().join("krb5.conf"), configuration(&folder)).unwrap();
        let mut machine = Command::new("unshare");
        if !rustix::process::geteuid().is_root() {
            machine.arg("--map-root-user");
        }
        machine
            .args(["--net", "--pid", "--fork", "--mount-proc", "--kill-child"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(FOLDER, folder.path())
            .env("RUST_BACKTRACE", "0")
            .env("KRB5_CONFIG", folder.path().join("krb5.conf"))
            .env("KRB5_KDC_PROFILE", folder.path().join("kdc.conf"))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let ran = machine.output().await.expect("there is unshare (Debian: util-linux)");
        let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        assert!(ran.status.success() && said.contains("1 passed"), "{test} on its machine:\n{said}");
        None
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// The output of a command that must succeed.
    pub(crate) async fn run(&self, program: &str, words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> String {
        let (status, said) = self.try_run(program, words).await;
        assert!(status.success(), "{program}: {said}");
        said
    }

    pub(crate) async fn try_run(
        &self,
        program: &str,
        words: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> (ExitStatus, String) {
        let mut command = Command::new(program);
        command.args(words).current_dir(&self.folder).stdin(Stdio::null()).kill_on_drop(true);
        let ran = timeout(TIMEOUT, command.output()).await.unwrap_or_else(|_| panic!("{program} does not end"));
        let ran = ran.unwrap_or_else(|error| panic!("{program}: {error}"));
        (ran.status, format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr)))
    }

    /// The lines of `dig +short`, sorted.
    pub(crate) async fn dig(&self, kind: &str, name: &str) -> Vec<String> {
        let words = ["@127.0.0.1", "+short", "+tcp", "+tries=1", "+time=5", name, kind];
        let (_, said) = self.try_run("dig", words).await;
        let mut lines: Vec<_> = said.lines().filter(|line| !line.starts_with(';')).map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// The SRV records of hosts in the zone.
    pub(crate) async fn hosts(&self) -> Vec<String> {
        self.dig("SRV", &format!("_vlmcs._tcp.{ZONE}")).await
    }
}

/// Kerberos configuration of MIT's library: it uses only this KDC, and does not canonicalize names.
fn configuration(folder: &TempDir) -> String {
    let folder = folder.path().display();
    format!(
        "[libdefaults]\n default_realm = {REALM}\n dns_lookup_realm = false\n dns_lookup_kdc = false\n\
         dns_canonicalize_hostname = false\n rdns = false\n default_ccache_name = FILE:{folder}/nobody-writes-here\n\
         [realms]\n {REALM} = {{\n  kdc = 127.0.0.1:88\n }}\n\
         [domain_realm]\n {ZONE} = {REALM}\n .{ZONE} = {REALM}\n"
    )
}

/// A publisher of records that signs with the account of a keytab.
pub(crate) fn publisher(primary: Primary, keytab: &Path, principal: Option<&str>) -> RecordPublisher {
    let key = GssKey::from_keytab(keytab.to_owned(), principal.map(str::to_owned)).unwrap();
    let finder = Finder::with_servers(&[DNS], Vec::new()).unwrap();
    let members = (1..=3).map(target).collect();
    let neighbours = Neighbours { members, ..Neighbours::default() };
    RecordPublisher::new(primary, Credentials::Gss(key), neighbours, finder)
}

pub(crate) fn primary(host: &str) -> Primary {
    Primary::Name(name(host), DNS.port())
}

pub(crate) fn name(text: &str) -> DnsName {
    text.parse().unwrap()
}

fn target(node: u8) -> DnsName {
    name(&format!("node{node}.{ZONE}"))
}

/// The records that node `node` wants to publish, with this weight.
pub(crate) fn desired(node: u8, weight: u16) -> Desired {
    Desired {
        service: Desired::SERVICE.to_owned(),
        domain: Domain { name: name(ZONE), priority: 0, weight },
        target: target(node),
        port: 1688,
        ttl_seconds: Desired::TTL_SECONDS,
        addresses: vec![format!("192.0.2.{node}").parse().unwrap()],
    }
}

/// The time of this machine, in seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "the real primary compares the signing time with its own clock")]
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
