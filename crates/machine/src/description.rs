//! A machine's name, identity and kind. Best effort, because none of these decides a count.

use std::path::Path;

use activation::{
    id::{MachineDigest, MachineName},
    limits::MACHINE_NAME_BYTES_MAX,
};

use crate::{digest, fact::fact};

/// The purpose of the digest, which makes it differ from any other digest of the same machine id. The machine id
/// itself must not leave the machine.
const DIGEST_PURPOSE: &str = "quorate/machine/1";
const NAMELESS: &str = "unnamed";
/// Names of hypervisors in the vendor or product name of a virtual machine's firmware.
const HYPERVISORS: [&str; 8] =
    ["qemu", "kvm", "vmware", "virtualbox", "xen", "virtual machine", "bhyve", "google compute engine"];

/// A machine's name, identity and kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The machine's name, for events and reports (R8).
    pub name: MachineName,
    /// The digest that distinguishes cloned machines with the same CMID.
    pub digest: MachineDigest,
    /// Whether the machine is virtual, for reports. A virtual machine counts like any other (R1).
    pub is_virtual: bool,
}

impl Machine {
    /// The machine on which the program runs.
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

/// Replaces characters that a machine name may not have by `-`, and cuts a name that is too long.
fn machine_name(hostname: &str) -> MachineName {
    let allowed = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let mut name: String = hostname.chars().map(allowed).collect();
    name.truncate(name.floor_char_boundary(MACHINE_NAME_BYTES_MAX));
    name.parse().or_else(|_| NAMELESS.parse()).expect("a constant of allowed characters is a name")
}

/// On x86 the processor's flags show it; on other architectures the firmware's names.
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
