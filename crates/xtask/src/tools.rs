//! The tools that the tests need besides Rust: found, or installed on Debian as root, or reported with the commands
//! that install them.
//!
//! Invariant: never changes anything outside the build folder on a machine where no tool is missing.

use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cargo::Workspace;
use crate::output::say;

/// A tool that tests call.
struct Tool {
    name: &'static str,
    probe: Probe,
    origin: Origin,
}

/// How to check that a tool is installed.
enum Probe {
    /// A program with the tool's name is in `PATH`.
    OnPath,
    /// A file exists at this path; one `*` may stand for a folder, such as an architecture or a version.
    File(&'static str),
    /// A Python interpreter can import these modules.
    Python(&'static str),
    /// cargo has this subcommand.
    Cargo(&'static str),
}

enum Origin {
    Debian(&'static str),
    Rustup(&'static str),
    /// cargo builds the program from this crate.
    Crate(&'static str),
}

use Origin::{Crate, Debian, Rustup};
use Probe::{Cargo, File, OnPath, Python};

const TOOLS: &[Tool] = &[
    Tool { name: "cargo fmt", probe: Cargo("fmt"), origin: Rustup("rustfmt") },
    Tool { name: "cargo clippy", probe: Cargo("clippy"), origin: Rustup("clippy") },
    // Commits that the hook accepts or refuses.
    Tool { name: "git", probe: OnPath, origin: Debian("git") },
    // An independent implementation that dissects DCE/RPC.
    Tool { name: "tshark", probe: OnPath, origin: Debian("tshark") },
    // Records the order of system calls, to show that acknowledgements follow fdatasync; simulates failing disks.
    Tool { name: "strace", probe: OnPath, origin: Debian("strace") },
    // A separate file system, which is copied at the moment of a crash.
    Tool { name: "mkfs.ext4", probe: OnPath, origin: Debian("e2fsprogs") },
    Tool { name: "losetup", probe: OnPath, origin: Debian("mount") },
    Tool { name: "mount", probe: OnPath, origin: Debian("mount") },
    // The documents' commands run in namespaces with their own processes and ports.
    Tool { name: "unshare", probe: OnPath, origin: Debian("util-linux") },
    Tool { name: "ip", probe: OnPath, origin: Debian("iproute2") },
    // Network partitions of a cluster, and signals.
    Tool { name: "nft", probe: OnPath, origin: Debian("nftables") },
    Tool { name: "pkill", probe: OnPath, origin: Debian("procps") },
    // A real primary DNS server for dynamic updates, and independent DNS tools that check the nodes' answers.
    Tool { name: "named", probe: OnPath, origin: Debian("bind9") },
    Tool { name: "named-checkzone", probe: OnPath, origin: Debian("bind9-utils") },
    Tool { name: "dig", probe: OnPath, origin: Debian("bind9-dnsutils") },
    Tool { name: "nsupdate", probe: OnPath, origin: Debian("bind9-dnsutils") },
    // The header of the C client library must also compile as C++; cargo itself needs a C compiler.
    Tool { name: "c++", probe: OnPath, origin: Debian("g++") },
    // Checks of the systemd units and the files beside them.
    Tool { name: "systemd-analyze", probe: OnPath, origin: Debian("systemd") },
    // Wrong clocks.
    Tool { name: "faketime", probe: OnPath, origin: Debian("faketime") },
    // The guides send requests to nodes with it.
    Tool { name: "curl", probe: OnPath, origin: Debian("curl") },
    // Scrapes the nodes, and tests alert rules.
    Tool { name: "prometheus", probe: OnPath, origin: Debian("prometheus") },
    Tool { name: "promtool", probe: OnPath, origin: Debian("prometheus") },
    // The console in a browser.
    Tool { name: "chromium", probe: OnPath, origin: Debian("chromium") },
    Tool { name: "chromedriver", probe: OnPath, origin: Debian("chromium-driver") },
    // The system's Kerberos library, and the library that reads its headers, for the feature gss-tsig.
    Tool { name: "gssapi_ext.h", probe: File("/usr/include/gssapi/gssapi_ext.h"), origin: Debian("libkrb5-dev") },
    Tool { name: "libclang.so", probe: File("/usr/lib/*/lib/libclang.so"), origin: Debian("libclang-dev") },
    // A KDC, and a domain controller with its own DNS server.
    Tool { name: "krb5kdc", probe: OnPath, origin: Debian("krb5-kdc") },
    Tool { name: "kadmin.local", probe: OnPath, origin: Debian("krb5-admin-server") },
    Tool { name: "samba", probe: OnPath, origin: Debian("samba") },
    Tool { name: "samba-tool", probe: OnPath, origin: Debian("samba-common-bin") },
    Tool {
        name: "Samba's provisioning",
        probe: File("/usr/share/samba/setup/provision.ldif"),
        origin: Debian("samba-ad-provision"),
    },
    Tool {
        name: "Samba's directory",
        probe: File("/usr/lib/*/samba/ldb/samba_dsdb.so"),
        origin: Debian("samba-dsdb-modules"),
    },
    Tool {
        name: "Samba's file system modules",
        probe: File("/usr/lib/*/samba/vfs/acl_xattr.so"),
        origin: Debian("samba-vfs-modules"),
    },
    // Other implementations of the protocol are written in Python.
    Tool { name: "python3 with venv", probe: Python("import venv, ensurepip"), origin: Debian("python3-venv") },
];

/// Tools that only soaks call.
const SOAK_TOOLS: &[Tool] = &[
    // The package that administrators install.
    Tool { name: "cargo deb", probe: Cargo("deb"), origin: Crate("cargo-deb") },
    Tool { name: "dpkg-deb", probe: OnPath, origin: Debian("dpkg") },
];

/// Every package of the tests' Python environment with its version, so that all machines have the same.
const REQUIREMENTS: &str = include_str!("../python-requirements.txt");

/// Python code that runs only where the environment is complete.
const PYTHON_PROBE: &str = "import impacket.dcerpc.v5.rpcrt";

/// Folders of system tools, which are not in every account's `PATH`.
const SYSTEM_FOLDERS: &[&str] = &["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Interpreters in order of preference. The first one in `PATH` may lack modules that Debian's has.
const PYTHONS: &[&str] = &["python3", "/usr/bin/python3"];

/// The environment variables that tests receive.
pub(crate) struct TestEnvironment {
    /// The interpreter of the tests' Python environment, for `QUORATE_TEST_PYTHON`.
    pub(crate) python: PathBuf,
    /// `PATH`, with the system folders at its end.
    pub(crate) path: OsString,
}

/// What the machine allows for installing.
#[derive(Clone, Copy)]
struct Machine {
    debian: bool,
    root: bool,
    rustup: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Plan {
    Nothing,
    /// The commands that install the missing tools, in order.
    Install(Vec<Vec<&'static str>>),
    /// The message for the user, where nothing can be installed.
    Refuse(String),
}

/// Installs missing tools; with `soaks` also those that only soaks call.
pub(crate) fn provide(workspace: &Workspace, soaks: bool) -> Result<TestEnvironment> {
    let path = search_path()?;
    let missing = missing(workspace, soaks, &path);
    match plan(&missing, Machine::this(&path)) {
        Plan::Nothing => say("tools: all there"),
        Plan::Refuse(message) => bail!(message),
        Plan::Install(commands) => {
            for command in &commands {
                install(command)?;
            }
            let still: Vec<_> = self::missing(workspace, soaks, &path).iter().map(|tool| tool.name).collect();
            if !still.is_empty() {
                bail!("still missing after the installation: {}", still.join(", "));
            }
        }
    }
    let python = python_environment(&workspace.target.join("test-tools/venv"), &path)?;
    Ok(TestEnvironment { python, path })
}

fn missing(workspace: &Workspace, soaks: bool, path: &OsString) -> Vec<&'static Tool> {
    let is_there = |tool: &Tool| match tool.probe {
        OnPath => on_path(tool.name, path),
        File(pattern) => is_file(pattern),
        Python(import) => python(import, path).is_some(),
        Cargo(command) => succeeds(&mut workspace.cargo(&[command, "--version"])),
    };
    let more = if soaks { SOAK_TOOLS } else { &[] };
    TOOLS.iter().chain(more).filter(|tool| !is_there(tool)).collect()
}

fn plan(missing: &[&Tool], machine: Machine) -> Plan {
    let (mut packages, mut components, mut crates) = (Vec::new(), Vec::new(), Vec::new());
    for tool in missing {
        match tool.origin {
            Debian(package) if !packages.contains(&package) => packages.push(package),
            Rustup(component) => components.push(component),
            Crate(name) => crates.push(name),
            Debian(_) => {}
        }
    }
    let mut commands = Vec::new();
    if !components.is_empty() {
        commands.push([&["rustup", "component", "add"], components.as_slice()].concat());
    }
    if !packages.is_empty() {
        commands.push(vec!["apt-get", "update", "--quiet"]);
        let install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends"];
        commands.push([install.as_slice(), packages.as_slice()].concat());
    }
    if !crates.is_empty() {
        commands.push([&["cargo", "install", "--locked"], crates.as_slice()].concat());
    }
    if commands.is_empty() {
        Plan::Nothing
    } else if (packages.is_empty() || machine.debian && machine.root) && (components.is_empty() || machine.rustup) {
        Plan::Install(commands)
    } else {
        Plan::Refuse(refusal(missing, &commands, machine))
    }
}

fn refusal(missing: &[&Tool], commands: &[Vec<&str>], machine: Machine) -> String {
    let names: Vec<_> = missing.iter().map(|tool| tool.name).collect();
    let mut message = format!("the tests need what is missing here: {}", names.join(", "));
    if machine.debian {
        message.push_str("\nInstall it with");
    } else {
        message.push_str("\nThis is not Debian; there one would install it with");
    }
    for command in commands {
        let sudo = if command.first() == Some(&"apt-get") { "sudo " } else { "" };
        let _ = write!(message, "\n  {sudo}{}", command.join(" "));
    }
    message
}

impl Machine {
    fn this(path: &OsString) -> Self {
        let user = Command::new("id").arg("-u").output().map(|output| output.stdout).unwrap_or_default();
        Self {
            debian: Path::new("/etc/debian_version").exists() && on_path("apt-get", path),
            root: user.trim_ascii() == b"0",
            rustup: on_path("rustup", path),
        }
    }
}

fn install(command: &[&str]) -> Result<()> {
    let Some((program, arguments)) = command.split_first() else { return Ok(()) };
    let shown = command.join(" ");
    say(format_args!("tools: {shown} ..."));
    let mut process = Command::new(program);
    if *program == "apt-get" {
        // Where another installation is running, waits for it instead of failing.
        process
            .args(["-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=3"])
            .env("DEBIAN_FRONTEND", "noninteractive");
    }
    run(process.args(arguments), &shown)
}

/// The tests' own Python environment; it is made again where it does not match the requirements.
fn python_environment(folder: &Path, path: &OsString) -> Result<PathBuf> {
    let interpreter = folder.join("bin/python");
    let written = folder.join("requirements.txt");
    if fs::read_to_string(&written).is_ok_and(|text| text == REQUIREMENTS) && imports(&interpreter, PYTHON_PROBE) {
        say("tools: the tests' Python environment is there");
        return Ok(interpreter);
    }
    say(format_args!("tools: making the tests' Python environment in {} ...", folder.display()));
    let base = python("import venv, ensurepip", path).context("no python3 with venv")?;
    run(Command::new(base).args(["-m", "venv", "--clear"]).arg(folder), "python3 -m venv")?;
    // The file of requirements gets its final name only after all of them are installed.
    let wanted = folder.join("requirements.wanted");
    fs::write(&wanted, REQUIREMENTS).with_context(|| format!("cannot write {}", wanted.display()))?;
    let mut pip = Command::new(&interpreter);
    pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--requirement"])
        .arg(&wanted);
    run(&mut pip, "pip install")?;
    if !imports(&interpreter, PYTHON_PROBE) {
        bail!("the Python environment in {} was made, but `{PYTHON_PROBE}` fails in it", folder.display());
    }
    fs::rename(&wanted, &written).with_context(|| format!("cannot write {}", written.display()))?;
    Ok(interpreter)
}

/// The first interpreter in which `import` works.
fn python(import: &str, path: &OsString) -> Option<PathBuf> {
    let candidates = PYTHONS.iter().filter(|name| on_path(name, path));
    candidates.map(PathBuf::from).find(|interpreter| imports(interpreter, import))
}

fn imports(interpreter: &Path, import: &str) -> bool {
    succeeds(Command::new(interpreter).args(["-c", import]))
}

fn search_path() -> Result<OsString> {
    let given = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&given).collect();
    let absent: Vec<_> = SYSTEM_FOLDERS.iter().map(PathBuf::from).filter(|folder| !folders.contains(folder)).collect();
    folders.extend(absent);
    env::join_paths(folders).context("PATH holds a folder that cannot stand in it")
}

fn on_path(program: &str, path: &OsString) -> bool {
    env::split_paths(path).any(|folder| folder.join(program).is_file())
}

fn is_file(pattern: &str) -> bool {
    let Some((above, below)) = pattern.split_once("/*/") else { return Path::new(pattern).is_file() };
    let folders = fs::read_dir(above).into_iter().flatten().flatten();
    folders.into_iter().any(|folder| folder.path().join(below).is_file())
}

fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn run(command: &mut Command, shown: &str) -> Result<()> {
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("`{shown}` could not be started"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status}); its output is above");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN_ROOT: Machine = Machine { debian: true, root: true, rustup: true };

    fn tools(names: &[&str]) -> Vec<&'static Tool> {
        TOOLS.iter().filter(|tool| names.contains(&tool.name)).collect()
    }

    #[test]
    fn nothing_is_installed_where_nothing_is_missing() {
        assert_eq!(plan(&[], DEBIAN_ROOT), Plan::Nothing);
        assert_eq!(plan(&[], Machine { debian: false, root: false, rustup: false }), Plan::Nothing);
    }

    #[test]
    fn on_debian_as_root_each_missing_package_is_installed_once() {
        let Plan::Install(commands) = plan(&tools(&["losetup", "mount", "tshark"]), DEBIAN_ROOT) else { panic!() };
        let [update, install] = commands.as_slice() else { panic!("{commands:?}") };
        assert_eq!(update[..2], ["apt-get", "update"]);
        assert_eq!(install[install.len() - 2..], ["tshark", "mount"]);
    }

    #[test]
    fn a_toolchain_component_needs_no_root() {
        let machine = Machine { root: false, ..DEBIAN_ROOT };
        let expected = vec!["rustup", "component", "add", "rustfmt", "clippy"];
        assert_eq!(plan(&tools(&["cargo fmt", "cargo clippy"]), machine), Plan::Install(vec![expected]));
    }

    #[test]
    fn elsewhere_the_missing_tools_and_the_commands_are_named() {
        let table = [
            (Machine { root: false, ..DEBIAN_ROOT }, &["strace"][..], "sudo apt-get install"),
            (Machine { debian: false, ..DEBIAN_ROOT }, &["strace"], "This is not Debian"),
            (Machine { rustup: false, ..DEBIAN_ROOT }, &["cargo fmt", "strace"], "\n  rustup component add rustfmt"),
        ];
        for (machine, missing, said) in table {
            let Plan::Refuse(message) = plan(&tools(missing), machine) else { panic!("{missing:?}") };
            assert!(message.contains(said) && missing.iter().all(|name| message.contains(name)), "{message}");
        }
    }

    #[test]
    fn every_python_package_has_one_version() {
        let names: Vec<_> = REQUIREMENTS.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(names.iter().any(|line| line.starts_with("impacket==")));
        assert!(names.iter().all(|line| line.split("==").filter(|part| !part.is_empty()).count() == 2), "{names:?}");
    }

    #[test]
    fn a_program_is_found_only_where_the_path_leads() {
        assert!(on_path("sh", &"/usr/bin:/bin".into()));
        assert!(!on_path("sh", &"/nowhere".into()));
        assert!(on_path("/bin/sh", &"/nowhere".into()));
        assert!(search_path().unwrap().to_string_lossy().contains("/usr/sbin"));
    }

    #[test]
    fn a_file_is_found_below_any_folder_in_its_place() {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().display().to_string();
        assert!(is_file(manifest) && !is_file("/nowhere"));
        assert!(is_file(&format!("{crates}/*/src/main.rs")) && !is_file(&format!("{crates}/*/src/nothing.rs")));
        assert!(!is_file("/nowhere/*/Cargo.toml"));
    }
}
