//! Name, identity and kind of a machine; best effort, because nothing here decides a count.

use std::path::Path;

use activation::{
    id::{MachineDigest, MachineName},
    limits::MACHINE_NAME_BYTES_MAX,
};

use crate::{digest, fact::fact};

/// Sets the digest apart from any other made of the same machine id, which itself must not leave the machine.
const DIGEST_PURPOSE: &str = "quorate/machine/1";
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
        let digest = MachineDigest(digest::short(DIGEST_PURPOSE, [identity]));
        Self { digest, is_virtual: is_virtual(root), name }
    }
}

/// `-` stands for what a machine name may not have; what is too long is cut.
fn machine_name(hostname: &str) -> MachineName {
    let allowed = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let mut name: String = hostname.chars().map(allowed).collect();
    name.truncate(name.floor_char_boundary(MACHINE_NAME_BYTES_MAX));
    name.parse().or_else(|_| NAMELESS.parse()).expect("a constant of allowed characters is a name")
}

/// The processor says so on x86; elsewhere the firmware's names do.
fn is_virtual(root: &Path) -> bool {
    let processor = fact(root, "proc/cpuinfo");
    let flags = processor.lines().filter(|line| line.starts_with("flags"));
    if flags.flat_map(str::split_whitespace).any(|flag| flag == "hypervisor") {
        return true;
    }
    ["sys_vendor", "product_name"].iter().any(|name| {
        let firmware = fact(root, format!("sys/class/dmi/id/{name}")).to_lowercase();
        HYPERVISORS.iter().any(|hypervisor| firmware.contains(hypervisor))
    })
}
