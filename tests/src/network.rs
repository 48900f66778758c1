//! Nodes with their own addresses, in network namespaces on one bridge. All of them are inside namespaces of the
//! test: what is disconnected, mounted or left running there ends with the test.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    process::{Output, Stdio},
};

use tokio::{io::AsyncWriteExt, process::Command};

/// Environment variable that is set where a test runs in its own namespaces.
const INSIDE: &str = "QUORATE_TEST_INSIDE";

/// A bridge with the nodes' namespaces. The test itself is on the bridge, as the clients.
#[derive(Debug)]
pub struct Network(());

/// Number of the clients' address; each node has the address with its number.
const HUB: u8 = 254;

impl Network {
    /// Runs this test (by its full name) once more in its own namespaces, and returns the network there. In the outer
    /// run it returns `None` after the inner run has passed.
    ///
    /// # Panics
    /// When the inner run failed.
    pub async fn of(test: &str) -> Option<Self> {
        if std::env::var_os(INSIDE).is_some() {
            let network = Self(());
            // Names of namespaces are files below this folder: none of this machine's are visible.
            network.run("mount", &["-t", "tmpfs", "tmpfs", "/run"]).await;
            network
                .links(&format!(
                    "link set lo up\nlink add hub type bridge\naddr add {}/24 dev hub\nlink set hub up\n",
                    address(HUB)
                ))
                .await;
            return Some(network);
        }
        let mut namespaces = Command::new("unshare");
        if !rustix::process::geteuid().is_root() {
            namespaces.arg("--map-root-user");
        }
        namespaces
            .args(["--net", "--pid", "--fork", "--mount-proc", "--kill-child"])
            .arg(std::env::current_exe().expect("a test has a program"))
            .args(["--exact", test, "--nocapture"])
            .env(INSIDE, "1")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let ran = namespaces.output().await.expect("there is unshare (Debian: util-linux)");
        let said = text(&ran);
        assert!(ran.status.success() && said.contains("1 passed"), "{test} in its namespaces:\n{said}");
        None
    }

    /// The same network, for another scenario on it.
    #[must_use]
    pub fn again(&self) -> Self {
        Self(())
    }

    /// The address of the node with this number.
    pub fn address(&self, node: u8) -> Ipv4Addr {
        address(node)
    }

    /// Makes a namespace for one more node.
    pub async fn add(&self, node: u8) {
        let inside = format!("node{node}");
        self.links(&format!(
            "netns add {inside}\nlink add port{node} type veth peer name eth0 netns {inside}\nlink set port{node} master hub \
             up\n"
        ))
        .await;
        self.run("ip", &["-n", &inside, "addr", "add", &format!("{}/24", address(node)), "dev", "eth0"]).await;
        for link in ["eth0", "lo"] {
            self.run("ip", &["-n", &inside, "link", "set", link, "up"]).await;
        }
    }

    /// Adds this address to those that belong to the namespace of a node.
    pub(crate) async fn also_has(&self, node: u64, address: IpAddr) {
        let inside = format!("node{node}");
        // Outside the namespace, the address stays the other node's.
        let quiet = "echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore";
        self.run("ip", &["netns", "exec", &inside, "sh", "-c", quiet]).await;
        self.run("ip", &["-n", &inside, "addr", "add", &format!("{address}/32"), "dev", "lo"]).await;
    }

    /// Partitions these nodes from those nodes, in both directions. Clients still reach all nodes.
    pub async fn part(&self, these: &[u64], those: &[u64]) {
        for &node in these {
            self.deafen(node, those).await;
        }
        for &node in those {
            self.deafen(node, these).await;
        }
    }

    /// Drops what these nodes send to `node`; what `node` sends still arrives.
    pub async fn deafen(&self, node: u64, these: &[u64]) {
        let from: BTreeSet<_> = these.iter().map(|node| address(small(*node)).to_string()).collect();
        let from = from.into_iter().collect::<Vec<_>>().join(", ");
        let rules = format!(
            "table inet cut {{\n chain arriving {{\n type filter hook input priority 0;\n ip saddr {{ {from} }} drop\n }}\n}}\n"
        );
        self.input("ip", &["netns", "exec", &format!("node{node}"), "nft", "-f", "-"], &rules).await;
    }

    /// Removes the filters of these nodes, so that everything arrives there again.
    pub async fn heal(&self, nodes: &[u64]) {
        for node in nodes {
            self.input("ip", &["netns", "exec", &format!("node{node}"), "nft", "-f", "-"], "flush ruleset\n").await;
        }
    }

    /// Moves what is in `folder` to a separate disk of this size.
    pub async fn small_disk(&self, folder: &Path, mebibytes: u32) {
        let (folder, copy) = (folder.display().to_string(), format!("{}.copy", folder.display()));
        self.run("cp", &["--archive", &folder, &copy]).await;
        self.run("mount", &["-t", "tmpfs", "-o", &format!("size={mebibytes}m,mode=700"), "tmpfs", &folder]).await;
        self.run("cp", &["--archive", &format!("{copy}/."), &folder]).await;
    }

    /// Drops all packets to this port on loopback.
    pub async fn close_port(&self, port: u16) {
        let rules = format!(
            "table inet closed {{\n chain arriving {{\n type filter hook input priority 0;\n tcp dport {port} drop\n }}\n}}\n"
        );
        self.input("nft", &["-f", "-"], &rules).await;
    }

    /// Opens all ports on loopback again.
    pub async fn open_ports(&self) {
        self.input("nft", &["-f", "-"], "flush ruleset\n").await;
    }

    /// Gives names to addresses, for all programs of the test.
    pub async fn name(&self, names: &[(&str, Ipv4Addr)], file: &Path) {
        let lines: String = names.iter().map(|(name, address)| format!("{address} {name}\n")).collect();
        std::fs::write(file, lines).expect("a test's own file can be written");
        self.run("mount", &["--bind", &file.display().to_string(), "/etc/hosts"]).await;
    }

    /// Gives the test its own copy of `/etc`; changes to it end with the test. `copy` is a folder that does not exist
    /// yet.
    pub async fn own_etc(&self, copy: &Path) {
        let copy = copy.display().to_string();
        self.run("cp", &["--archive", "/etc", &copy]).await;
        self.run("mount", &["-t", "tmpfs", "-o", "mode=755", "tmpfs", "/etc"]).await;
        self.run("cp", &["--archive", &format!("{copy}/."), "/etc"]).await;
    }

    /// The words before a command that run it in the namespace of this node.
    pub(crate) fn place(&self, node: u64) -> [String; 4] {
        ["ip".into(), "netns".into(), "exec".into(), format!("node{node}")]
    }

    async fn links(&self, batch: &str) {
        self.input("ip", &["-batch", "-"], batch).await;
    }

    async fn run(&self, program: &str, words: &[&str]) {
        self.input(program, words, "").await;
    }

    async fn input(&self, program: &str, words: &[&str], input: &str) {
        let mut command = Command::new(program);
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
        let mut pipe = child.stdin.take().expect("its input is piped");
        pipe.write_all(input.as_bytes()).await.expect("it reads its input");
        drop(pipe);
        let done = child.wait_with_output().await.expect("a child can be waited for");
        assert!(done.status.success(), "{program} {words:?}: {}", text(&done));
    }
}

fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 88, 0, number)
}

fn small(node: u64) -> u8 {
    u8::try_from(node).expect("a node of a test has a small number")
}

fn text(output: &Output) -> String {
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    let _into_a_string = write!(text, "{}", String::from_utf8_lossy(&output.stderr));
    text
}
