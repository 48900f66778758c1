//! What identifies a machine: a configured choice, because in a container or a virtual machine that moves, the
//! factors of a physical machine change by themselves.

use std::{collections::BTreeSet, path::Path};

use crate::{
    fact::fact,
    factors::{self, Factor},
};

/// Layered file systems, of which a container's `/` consists.
const LAYERED: [&str; 3] = ["overlay", "aufs", "fuse-overlayfs"];

/// What identifies a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// All factors of the machine, by weight.
    Machine,
    /// These factors only: at least one of [`Factor::OF_MACHINE`].
    Factors(BTreeSet<Factor>),
    /// The data folder: a copy of the folder is a copy of the host.
    File,
}

impl Choice {
    /// By the machine. By the data folder in a container, and where the machine has no readable factors.
    #[must_use]
    pub fn automatic(root: &Path) -> Self {
        let says_nothing = || Factor::OF_MACHINE.into_iter().all(|factor| factors::read(factor, root).is_none());
        if is_container(root) || says_nothing() { Self::File } else { Self::Machine }
    }

    pub(crate) fn contains(&self, factor: Factor) -> bool {
        match self {
            Self::Machine => factor.is_of_machine(),
            Self::Factors(factors) => factor == Factor::Chosen || factors.contains(&factor),
            Self::File => factor == Factor::File,
        }
    }
}

/// Whether `root` is a container's root folder. Best effort: container managers leave different marks.
#[must_use]
pub fn is_container(root: &Path) -> bool {
    let marks = [".dockerenv", "run/.containerenv", "run/systemd/container"];
    let has_mark = marks.iter().any(|mark| root.join(mark).exists());
    has_mark || is_layered(&fact(root, "proc/self/mountinfo"))
}

/// "36 35 0:27 / / rw,relatime - overlay overlay rw,...": the file system that was mounted last at `/` is the
/// visible one.
fn is_layered(mounts: &str) -> bool {
    let mount = mounts.lines().rfind(|line| line.split(' ').nth(4) == Some("/"));
    let system = mount.and_then(|mount| mount.split_once(" - ")?.1.split(' ').next());
    system.is_some_and(|system| LAYERED.contains(&system))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_known_by_its_marks_or_by_its_layered_root() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        assert!(!is_container(root.path()), "no mark of a container");
        assert_eq!(Choice::automatic(root.path()), Choice::File, "so it is identified by its data folder");
        write("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
        assert_eq!(Choice::automatic(root.path()), Choice::Machine);
        write("proc/self/mountinfo", "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n");
        assert!(!is_container(root.path()));
        write(
            "proc/self/mountinfo",
            "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n36 35 0:27 / / rw,relatime - overlay overlay rw,lowerdir=/a\n",
        );
        assert!(is_container(root.path()), "the last mount is the visible one");
        write("proc/self/mountinfo", "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n");
        write("run/.containerenv", "");
        assert!(is_container(root.path()));
        assert_eq!(Choice::automatic(root.path()), Choice::File);
    }
}
