//! What a machine says of itself, read from files that Linux offers; best effort, because nothing here decides a count.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use activation::id::{MachineDigest, MachineName};
use activation::limits::MACHINE_NAME_BYTES_MAX;
use sha2::{Digest, Sha256};

use crate::limits::FACT_BYTES_MAX;

/// Sets the digest apart from any other made of the same machine id, which itself must not leave the machine.
const DIGEST_PURPOSE: &[u8] = b"quorate/machine/1\0";
const NAMELESS: &str = "unnamed";
/// In the vendor or product name of the firmware of virtual machines.
const HYPERVISORS: [&str; 8] =
    ["qemu", "kvm", "vmware", "virtualbox", "xen", "virtual machine", "bhyve", "google compute engine"];

/// Name, identity and kind of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// For events and reports (R8).
    pub name: MachineName,
    /// Tells cloned machines apart that share a CMID.
    pub digest: MachineDigest,
    /// Counts like any other machine (R1); for reports.
    pub is_virtual: bool,
}

impl Machine {
    /// The machine that this runs on.
    #[must_use]
    pub fn this() -> Self {
        Self::read(Path::new("/"))
    }

    /// The machine whose file system is mounted at `root`.
    #[must_use]
    pub fn read(root: &Path) -> Self {
        let name = machine_name(&fact(root, "proc/sys/kernel/hostname"));
        let id = fact(root, "etc/machine-id");
        let identity = if id.is_empty() { name.as_str() } else { id.as_str() };
        Self { digest: digest(identity), is_virtual: is_virtual(root), name }
    }
}

/// The start of a file, without white space around it; empty where it cannot be read.
fn fact(root: &Path, path: &str) -> String {
    let mut bytes = Vec::new();
    let read = File::open(root.join(path)).and_then(|file| file.take(FACT_BYTES_MAX).read_to_end(&mut bytes));
    if read.is_err() {
        bytes.clear();
    }
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

/// `-` stands for what a machine name may not have; what is too long is cut.
fn machine_name(hostname: &str) -> MachineName {
    let allowed = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let mut name: String = hostname.chars().map(allowed).collect();
    name.truncate(name.floor_char_boundary(MACHINE_NAME_BYTES_MAX));
    name.parse().or_else(|_| NAMELESS.parse()).expect("a constant of allowed characters is a name")
}

fn digest(identity: &str) -> MachineDigest {
    let hash: [u8; 32] = Sha256::new().chain_update(DIGEST_PURPOSE).chain_update(identity).finalize().into();
    let [a, b, c, d, e, f, g, h, ..] = hash;
    MachineDigest([a, b, c, d, e, f, g, h])
}

/// The processor says so on x86; elsewhere the firmware's names do.
fn is_virtual(root: &Path) -> bool {
    let processor = fact(root, "proc/cpuinfo");
    let flags = processor.lines().filter(|line| line.starts_with("flags"));
    if flags.flat_map(str::split_whitespace).any(|flag| flag == "hypervisor") {
        return true;
    }
    ["sys_vendor", "product_name"].iter().any(|name| {
        let firmware = fact(root, &format!("sys/class/dmi/id/{name}")).to_lowercase();
        HYPERVISORS.iter().any(|hypervisor| firmware.contains(hypervisor))
    })
}
