//! A disk that becomes full: a tmpfs of limited size. Needs root; without it the test fails with a message that
//! says so.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use storage::{OpenError, Writer};
use tempfile::{TempDir, tempdir};

use crate::{
    NODE_1, closed,
    files::{changed, content},
    filled, key, open, put, refusal, value,
};

/// A mounted tmpfs, which is unmounted when the value is dropped.
struct SmallDisk {
    mounted_at: PathBuf,
    _folder: TempDir,
}

impl SmallDisk {
    fn mount(size_mib: usize) -> Self {
        let folder = tempdir().unwrap();
        let mounted_at = folder.path().join("disk");
        fs::create_dir(&mounted_at).unwrap();
        let size = format!("size={size_mib}m");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&mounted_at).output();
        let mount = mount.expect("this test needs the program `mount`");
        let words = String::from_utf8_lossy(&mount.stderr);
        assert!(mount.status.success(), "this test needs the right to mount a tmpfs (root): {words}");
        Self { mounted_at, _folder: folder }
    }

    fn path(&self) -> &Path {
        &self.mounted_at
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A lazy unmount: a failed test may still hold files open.
        let _status = Command::new("umount").arg("-l").arg(&self.mounted_at).status();
    }
}

fn large_value(number: u32) -> Vec<u8> {
    number.to_be_bytes().repeat(8 << 10)
}

#[tokio::test]
async fn machine_a_full_disk_fails_every_later_write_and_keeps_every_acknowledged_one() {
    let disk = SmallDisk::mount(96);
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![0; 64 << 20]).unwrap();
    let folder = disk.path().join("store");
    let store = open(&folder).unwrap();
    let writer = Writer::start(Arc::clone(&store)).unwrap();
    let mut acknowledged = 0u32;
    let first = loop {
        match writer.commit(put(&key(acknowledged), large_value(acknowledged))).await {
            Ok(()) => acknowledged += 1,
            Err(failure) => break failure,
        }
        assert!(acknowledged < 4096, "a disk of 96 MiB took 128 MiB");
    };
    assert_eq!(first.to_io().kind(), std::io::ErrorKind::StorageFull, "{first}");
    fs::remove_file(&ballast).unwrap();
    for _ in 0..3 {
        let later = writer.commit(put("later", b"there is room again")).await.unwrap_err();
        assert_eq!(later.to_string(), first.to_string(), "a later write fails with the first cause");
    }
    assert_eq!(writer.failure().map(ToString::to_string), Some(first.to_string()));
    drop(writer);
    closed(store);
    let store = open(&folder).unwrap();
    assert!(acknowledged > 0);
    for number in 0..acknowledged {
        assert_eq!(store.get(key(number).as_bytes()).unwrap(), Some(large_value(number)), "write {number}");
    }
    assert_eq!(store.get(b"later").unwrap(), None);
}

/// Writes to `ballast` until only this many bytes are free.
fn leave(disk: &Path, free_bytes: u64) {
    let room = rustix::fs::statvfs(disk).unwrap();
    let ballast = room.f_bavail * room.f_frsize - free_bytes;
    fs::write(disk.join("ballast"), vec![0; usize::try_from(ballast).unwrap()]).unwrap();
}

#[tokio::test]
async fn machine_a_store_without_space_for_its_copy_is_refused_with_the_space_needed_and_left_unchanged() {
    let disk = SmallDisk::mount(64);
    let folder = disk.path().join("store");
    filled(&folder).await;
    let before = content(&folder);
    leave(disk.path(), 1 << 20);
    let OpenError::NoRoom { folder: named, needed_bytes, free_bytes } = refusal(&folder, NODE_1) else {
        panic!("it was refused for another reason")
    };
    assert_eq!(named, folder);
    assert!(free_bytes <= 1 << 20 && needed_bytes > 8 << 20, "{free_bytes} of {needed_bytes}");
    let said = refusal(&folder, NODE_1).to_string();
    let needed = format!("needs {} MiB in that folder, and 1 MiB are free", needed_bytes.div_ceil(1 << 20));
    assert!(said.contains(folder.to_str().unwrap()) && said.contains(&needed), "{said}");
    assert_eq!(changed(&before, &content(&folder)), Vec::<PathBuf>::new());

    fs::remove_file(disk.path().join("ballast")).unwrap();
    leave(disk.path(), needed_bytes + (64 << 10));
    let store = open(&folder).expect("the reported size is enough");
    assert_eq!(store.get(key(7u32).as_bytes()).unwrap(), Some(value(7)));
}
