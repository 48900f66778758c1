//! R23: which changes make it another machine, and which do not.

use std::{collections::BTreeSet, fs, path::Path};

use machine::{Factor, Identity};
use tempfile::TempDir;

use crate::laid_out::{put, root};

const MOUNTS: &str = "\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 0:2 / / rw - rootfs rootfs rw
28 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw
29 28 8:3 / /home rw,relatime shared:2 - ext4 /dev/sda3 rw
";

const FILES: &[(&str, &str)] = &[
    ("proc/self/mountinfo", MOUNTS),
    ("sys/devices/pci0/block/sda/device/wwid", "naa.5000c500a1b2c3d4\n"),
    ("sys/devices/pci0/block/sda/sda2/partition", "2\n"),
    ("sys/devices/pci0/block/sda/sda2/uevent", "DEVNAME=sda2\nPARTUUID=11111111-02\n"),
    ("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
    ("sys/class/dmi/id/sys_vendor", "Example Systems\n"),
    ("sys/class/dmi/id/product_name", "Tower 5\n"),
    ("sys/class/dmi/id/board_name", "X99\n"),
    ("sys/devices/pci0/net/eth0/address", "02:11:22:33:44:55\n"),
    ("sys/devices/pci0/net/eth0/addr_assign_type", "0\n"),
    ("sys/devices/pci0/net/eth0/device/vendor", "0x8086\n"),
    ("sys/devices/virtual/net/lo/address", "00:00:00:00:00:00\n"),
    ("sys/devices/virtual/net/br0/address", "02:aa:aa:aa:aa:aa\n"),
    (
        "proc/cpuinfo",
        "processor\t: 0\nvendor_id\t: Example\nmodel name\t: Example 9000\ncpu MHz\t\t: 2300.000\n\nprocessor\t: 1\n",
    ),
];

const LINKS: &[(&str, &str)] = &[
    ("sys/dev/block/8:2", "../../devices/pci0/block/sda/sda2"),
    ("sys/class/net/eth0", "../../devices/pci0/net/eth0"),
    ("sys/class/net/lo", "../../devices/virtual/net/lo"),
    ("sys/class/net/br0", "../../devices/virtual/net/br0"),
];

const DISK: (&str, &str) = ("sys/devices/pci0/block/sda/device/wwid", "naa.5000c500ffffffff\n");
const VOLUME: (&str, &str) = ("sys/devices/pci0/block/sda/sda2/uevent", "DEVNAME=sda2\nPARTUUID=22222222-02\n");
const MACHINE_ID: (&str, &str) = ("etc/machine-id", "ffffffffffffffffffffffffffffffff\n");
const BOARD: (&str, &str) = ("sys/class/dmi/id/board_name", "X299\n");
const NETWORK: (&str, &str) = ("sys/devices/pci0/net/eth0/address", "02:66:77:88:99:aa\n");
const PROCESSOR: (&str, &str) = ("proc/cpuinfo", "processor\t: 0\nvendor_id\t: Example\nmodel name\t: Example 9500\n");

/// The content that marks a file to be removed.
const GONE: &str = "\0";

fn tower() -> TempDir {
    root(FILES, LINKS)
}

fn change(root: &Path, changes: &[(&str, &str)]) {
    for (path, text) in changes {
        match *text {
            GONE => fs::remove_file(root.join(path)).unwrap(),
            text => put(root, path, text),
        }
    }
}

fn gone((path, _): (&'static str, &str)) -> (&'static str, &'static str) {
    (path, GONE)
}

fn factors(identity: &Identity) -> BTreeSet<Factor> {
    identity.factors().map(|(factor, _)| factor).collect()
}

#[test]
fn r23_tolerated_changes_of_a_machine_with_all_factors() {
    let cpu_clock =
        ("proc/cpuinfo", "processor\t: 0\nvendor_id\t: Example\nmodel name\t: Example 9000\ncpu MHz\t\t: 800\n");
    let second_card =
        [("sys/class/net/eth1/address", "02:00:00:00:00:01\n"), ("sys/class/net/eth1/device/vendor", "0x8086\n")];
    let bridge = ("sys/devices/virtual/net/br0/address", "02:bb:bb:bb:bb:bb\n");
    let random = [
        ("sys/class/net/vf0/address", "02:00:00:00:00:02\n"),
        ("sys/class/net/vf0/addr_assign_type", "1\n"),
        ("sys/class/net/vf0/device/vendor", "0x8086\n"),
    ];
    for (what, changes, weight, same) in [
        ("nothing", vec![], 0, true),
        ("the processor's clock", vec![cpu_clock], 0, true),
        ("a bridge", vec![bridge], 0, true),
        ("an interface with an address that a driver drew", random.to_vec(), 0, true),
        ("the network card", vec![NETWORK], 10, true),
        ("a second network card", second_card.to_vec(), 10, true),
        ("the processor", vec![PROCESSOR], 10, true),
        ("the board", vec![BOARD], 20, true),
        ("the partition", vec![VOLUME], 10, true),
        ("the machine id", vec![MACHINE_ID], 30, true),
        ("board and network card", vec![BOARD, NETWORK], 30, true),
        ("partition, network card and processor", vec![VOLUME, NETWORK, PROCESSOR], 30, true),
        ("the system disk", vec![DISK], 40, false),
        ("machine id and partition: a new installation", vec![MACHINE_ID, VOLUME], 40, false),
        ("machine id and network card", vec![MACHINE_ID, NETWORK], 40, false),
        ("machine id and processor", vec![MACHINE_ID, PROCESSOR], 40, false),
        ("board, network card and processor", vec![BOARD, NETWORK, PROCESSOR], 40, false),
        ("the system disk, out of sight", vec![gone(DISK)], 40, false),
        ("the machine id, out of sight", vec![gone(MACHINE_ID)], 30, true),
        ("everything", vec![DISK, VOLUME, MACHINE_ID, BOARD, NETWORK, PROCESSOR], 120, false),
    ] {
        let root = tower();
        let recorded = Identity::read(root.path());
        change(root.path(), &changes);
        let found = recorded.change_to(&Identity::read(root.path()));
        assert_eq!((found.changed_weight, found.recorded_weight), (weight, 120), "{what}");
        assert_eq!(found.is_within_tolerance(), same, "{what}");
    }
}

#[test]
fn factors_that_were_not_recorded_are_ignored_and_of_few_factors_more_than_half_must_match() {
    let disk = [DISK.0, "sys/devices/pci0/block/sda/sda2/uevent"];
    let board = ["sys/class/dmi/id/sys_vendor", "sys/class/dmi/id/product_name", BOARD.0];
    let without = |paths: &[&[&'static str]]| paths.concat();
    for (what, missing, changes, same) in [
        ("no disk; the machine id", without(&[&disk]), vec![MACHINE_ID], true),
        ("no disk; one appears", without(&[&disk]), vec![DISK, VOLUME], true),
        ("no disk, no board; the machine id", without(&[&disk, &board]), vec![MACHINE_ID], false),
        ("no disk number; the partition stands in", without(&[&[DISK.0]]), vec![VOLUME], false),
        ("no disk number; one appears", without(&[&[DISK.0]]), vec![DISK], true),
        ("network card and processor alone; the card", without(&[&disk, &board, &[MACHINE_ID.0]]), vec![NETWORK], true),
        (
            "network card and processor alone; both",
            without(&[&disk, &board, &[MACHINE_ID.0]]),
            vec![NETWORK, PROCESSOR],
            false,
        ),
    ] {
        let root = tower();
        missing.iter().for_each(|path| fs::remove_file(root.path().join(path)).unwrap());
        let recorded = Identity::read(root.path());
        change(root.path(), &changes);
        let found = recorded.change_to(&Identity::read(root.path()));
        assert_eq!(found.is_within_tolerance(), same, "{what}: {found:?}");
    }
}

#[test]
fn a_machine_of_which_nothing_can_be_read_never_changes() {
    let nothing = Identity::read(Path::new("/no/such/root"));
    assert_eq!(factors(&nothing), BTreeSet::new());
    assert!(nothing.change_to(&Identity::read(tower().path())).is_within_tolerance());
    assert!(!Identity::read(tower().path()).change_to(&nothing).is_within_tolerance());
}

#[test]
fn the_disk_is_found_below_partitions_volumes_and_encryption() {
    let mounted = |number: &str, source: &str| format!("28 1 {number} / / rw,relatime shared:1 - ext4 {source} rw\n");
    let (plain, mapped, several) =
        (mounted("259:2", "/dev/nvme0n1p2"), mounted("253:1", "/dev/mapper/vg-root"), mounted("0:25", "/dev/sdb1"));
    let nvme = "sys/devices/pci0/nvme/nvme0/nvme0n1";
    let number = format!("{nvme}/wwid");
    let partition = format!("{nvme}/nvme0n1p2/partition");
    let expected = |files: &[(&str, &str)], links: &[(&str, &str)]| {
        let identity = Identity::read(root(files, links).path());
        let digest = |wanted| identity.factors().find(|(factor, _)| *factor == wanted).map(|(_, digest)| digest);
        (digest(Factor::SystemDisk), digest(Factor::SystemVolume))
    };
    let (on_nvme, by_uuid) = expected(
        &[("proc/self/mountinfo", &plain), (&number, "eui.1"), (&partition, "2")],
        &[
            ("sys/dev/block/259:2", "../../devices/pci0/nvme/nvme0/nvme0n1/nvme0n1p2"),
            ("dev/disk/by-uuid/1234-abcd", "../../nvme0n1p2"),
        ],
    );
    assert!(on_nvme.is_some() && by_uuid.is_some());
    let (encrypted, logical) = expected(
        &[
            ("proc/self/mountinfo", &mapped),
            (&number, "eui.1"),
            (&partition, "2"),
            ("sys/devices/virtual/block/dm-1/dm/uuid", "LVM-abc"),
            ("sys/devices/virtual/block/dm-0/dm/uuid", "CRYPT-LUKS2-def"),
        ],
        &[
            ("sys/dev/block/253:1", "../../devices/virtual/block/dm-1"),
            ("sys/devices/virtual/block/dm-1/slaves/dm-0", "../../dm-0"),
            ("sys/devices/virtual/block/dm-0/slaves/nvme0n1p2", "../../../../pci0/nvme/nvme0/nvme0n1/nvme0n1p2"),
        ],
    );
    assert_eq!(encrypted, on_nvme, "the same disk, whatever lies between");
    assert!(logical.is_some() && logical != by_uuid);
    let (of_several, _) = expected(
        &[
            ("proc/self/mountinfo", &several),
            ("sys/devices/pci0/block/sdb/serial", "S-1"),
            ("sys/devices/pci0/block/sdb/sdb1/partition", "1"),
        ],
        &[("sys/class/block/sdb1", "../../devices/pci0/block/sdb/sdb1")],
    );
    assert!(of_several.is_some(), "a file system over several devices names one of them");
    let in_a_container = "28 1 0:45 / / rw,relatime - overlay overlay rw,lowerdir=/a\n";
    assert_eq!(expected(&[("proc/self/mountinfo", in_a_container)], &[]), (None, None));
}

#[test]
fn an_identity_is_stored_as_digests_and_read_back_even_with_fields_of_a_newer_version() {
    let recorded = Identity::read(tower().path());
    let names = BTreeSet::from([
        Factor::SystemDisk,
        Factor::SystemVolume,
        Factor::MachineId,
        Factor::Board,
        Factor::Network,
        Factor::Processor,
    ]);
    assert_eq!(factors(&recorded), names);
    let text = serde_json::to_string(&recorded).unwrap();
    for secret in ["0123456789abcdef", "5000c500a1b2c3d4", "02:11:22", "Example", "Tower"] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
    assert_eq!(serde_json::from_str::<Identity>(&text).unwrap(), recorded);
    let newer = text.replacen('{', "{\"security-module\":\"0011223344556677\",", 1);
    assert_eq!(serde_json::from_str::<Identity>(&newer).unwrap(), recorded);
    assert!(serde_json::from_str::<Identity>("{\"board\":\"short\"}").is_err());
}

#[test]
fn equal_texts_of_different_factors_have_different_digests() {
    let same = "4711";
    let root = root(&[("etc/machine-id", same), ("sys/class/dmi/id/sys_vendor", same)], &[]);
    let digests: BTreeSet<_> = Identity::read(root.path()).factors().map(|(_, digest)| digest).collect();
    assert_eq!(digests.len(), 2);
}
