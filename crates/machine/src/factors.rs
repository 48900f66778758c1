//! Reads from Linux what a machine consists of. Only files that every user may read, because an identity must not
//! depend on the account.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    digest::{self, FactorDigest},
    fact::fact,
};

const PURPOSE: &str = "quorate/factor/1";
/// The most layers of logical volumes, encryption and RAID below a file system.
const LAYERS_MAX: usize = 8;
/// Serial numbers and addresses that mean "none".
const BLANKS: [&str; 5] = ["", "none", "unknown", "uninitialized", "00:00:00:00:00:00"];

/// A factor of a machine's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Factor {
    /// The serial number of the disk that holds `/`.
    SystemDisk,
    /// The volume that holds `/`: the id of the partition, the logical volume or the file system.
    SystemVolume,
    /// `/etc/machine-id`, which is generated at installation.
    MachineId,
    /// Vendor and model of the machine and of its board.
    Board,
    /// The permanent addresses of the physical network interfaces.
    Network,
    /// Vendor and model of the processor.
    Processor,
    /// Not of the machine: a mark that the data folder alone identifies the host. A copy of the folder is a copy of
    /// the host.
    File,
    /// Not of the machine: a mark that only some factors were chosen.
    Chosen,
}

impl Factor {
    /// The factors of the machine, which can be chosen.
    pub const OF_MACHINE: [Self; 6] =
        [Self::SystemDisk, Self::SystemVolume, Self::MachineId, Self::Board, Self::Network, Self::Processor];

    pub(crate) fn is_of_machine(self) -> bool {
        Self::OF_MACHINE.contains(&self)
    }

    /// The name in a serialised identity; a digest begins with it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SystemDisk => "system-disk",
            Self::SystemVolume => "system-volume",
            Self::MachineId => "machine-id",
            Self::Board => "board",
            Self::Network => "network",
            Self::Processor => "processor",
            Self::File => "file",
            Self::Chosen => "chosen",
        }
    }
}

/// The digest of a factor; `None` where the machine does not provide it.
pub(crate) fn read(factor: Factor, root: &Path) -> Option<FactorDigest> {
    let texts: Vec<String> = match factor {
        Factor::SystemDisk => system_disk(root).into_iter().collect(),
        Factor::SystemVolume => system_volume(root).into_iter().collect(),
        Factor::MachineId => vec![fact(root, "etc/machine-id")],
        Factor::Board => board(root),
        Factor::Network => network(root),
        Factor::Processor => processor(root),
        // Marks never change.
        Factor::File | Factor::Chosen => vec!["mark".to_owned()],
    };
    if texts.iter().all(|text| is_blank(text)) {
        return None;
    }
    let named = [factor.name()].into_iter().chain(texts.iter().map(String::as_str));
    Some(FactorDigest(digest::short(PURPOSE, named)))
}

fn is_blank(text: &str) -> bool {
    BLANKS.contains(&text.to_lowercase().as_str())
}

/// The device in sysfs that holds the file system of `/`.
fn system_device(root: &Path) -> Option<PathBuf> {
    let mounts = fact(root, "proc/self/mountinfo");
    // "36 35 98:0 /mnt1 /mnt2 rw,noatime shared:1 - ext3 /dev/root rw": the file system that was mounted last at a
    // path is the visible one.
    let mount = mounts.lines().rfind(|line| line.split(' ').nth(4) == Some("/"))?;
    let number = mount.split(' ').nth(2)?;
    let by_number = root.join("sys/dev/block").join(number);
    if by_number.exists() {
        return Some(by_number);
    }
    // File systems over several devices (btrfs) have their own device number, and name one of the devices.
    let source = mount.split_once(" - ")?.1.split(' ').nth(1)?;
    let name = source.strip_prefix("/dev/")?;
    let by_name = root.join("sys/class/block").join(name.replace('/', "!"));
    by_name.exists().then_some(by_name)
}

/// The device below: the whole disk of a partition, the first device of a logical volume.
fn below(device: &Path) -> Option<PathBuf> {
    if device.join("partition").exists() {
        // Follows the link: the folder of a partition is inside the folder of its disk.
        return fs::canonicalize(device).ok()?.parent().map(Path::to_owned);
    }
    let mut parts: Vec<_> = fs::read_dir(device.join("slaves")).ok()?.flatten().map(|entry| entry.path()).collect();
    parts.sort();
    parts.into_iter().next()
}

fn system_disk(root: &Path) -> Option<String> {
    let system = system_device(root)?;
    let disk = std::iter::successors(Some(system), |device| below(device)).take(LAYERS_MAX).last()?;
    let numbers = ["wwid", "device/wwid", "serial", "device/serial", "device/cid"];
    numbers.iter().map(|name| fact(&disk, name)).find(|number| !is_blank(number))
}

fn system_volume(root: &Path) -> Option<String> {
    let device = system_device(root)?;
    let own = ["dm/uuid", "md/uuid"].iter().map(|name| fact(&device, name)).find(|number| !is_blank(number));
    own.or_else(|| partition_number(&device)).or_else(|| link_to(root, &device))
}

/// Newer kernels state it in the device's events.
fn partition_number(device: &Path) -> Option<String> {
    let event = fact(device, "uevent");
    event.lines().find_map(|line| line.strip_prefix("PARTUUID=")).map(str::to_owned)
}

/// `/dev/disk/by-uuid/NUMBER` is a link to `../../NAME`.
fn link_to(root: &Path, device: &Path) -> Option<String> {
    let device = fs::canonicalize(device).ok()?;
    let name = device.file_name()?;
    ["by-partuuid", "by-uuid"].iter().find_map(|folder| {
        let links = fs::read_dir(root.join("dev/disk").join(folder)).ok()?.flatten();
        let mut links: Vec<_> = links
            .filter(|link| fs::read_link(link.path()).is_ok_and(|target| target.file_name() == Some(name)))
            .map(|link| link.file_name().to_string_lossy().into_owned())
            .collect();
        links.sort();
        links.into_iter().next()
    })
}

/// Serial numbers are readable by root only, so they are left out; so are values that a firmware update changes.
fn board(root: &Path) -> Vec<String> {
    let firmware = ["sys_vendor", "product_name", "board_vendor", "board_name"]
        .map(|name| fact(root, Path::new("sys/class/dmi/id").join(name)));
    let tree = ["model", "serial-number"].map(|name| fact(root, Path::new("sys/firmware/devicetree/base").join(name)));
    firmware.into_iter().chain(tree).collect()
}

/// The permanent addresses of physical interfaces. Addresses of bridges, and random ones that a driver generates,
/// change.
fn network(root: &Path) -> Vec<String> {
    let interfaces = fs::read_dir(root.join("sys/class/net")).into_iter().flatten().flatten();
    let mut addresses: Vec<_> = interfaces
        .map(|interface| interface.path())
        .filter(|interface| interface.join("device").exists())
        .filter(|interface| matches!(fact(interface, "addr_assign_type").as_str(), "" | "0"))
        .map(|interface| fact(&interface, "address"))
        .filter(|address| !is_blank(address))
        .collect();
    addresses.sort();
    addresses.dedup();
    addresses
}

/// The make of the first processor, on the architectures that Linux supports.
fn processor(root: &Path) -> Vec<String> {
    const KEYS: [&str; 7] = ["vendor_id", "cpu family", "model", "model name", "CPU implementer", "CPU part", "cpu"];
    let text = fact(root, "proc/cpuinfo");
    let first = text.split("\n\n").next().unwrap_or_default();
    let values = first.lines().filter_map(|line| line.split_once(':'));
    values.filter(|(key, _)| KEYS.contains(&key.trim())).map(|(_, value)| value.trim().to_owned()).collect()
}
