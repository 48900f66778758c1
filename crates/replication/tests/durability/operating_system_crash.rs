//! The operating system crashes: data that it had not sent to the disk is lost.
//!
//! The writer runs on a file system in a file. It is stopped, and the file is copied: the copy has what was sent to
//! the block device, which is what remains after a crash at that moment. The copy is mounted elsewhere and checked.

use std::{fs, process::Command};

use crate::{
    disk_image::{self, Mounted},
    writer::{Barrier, Lost, Snapshots, Writer, check, tool},
};

/// Simulates a crash under a writer after this many acknowledged activations.
///
/// Errors: the activations that were lost.
fn crash(acknowledged: usize, barrier: Barrier) -> Result<(), Lost> {
    let folder = tempfile::tempdir().unwrap();
    let (disk, copy) = (folder.path().join("disk"), folder.path().join("copy"));
    disk_image::make(&disk);
    let acknowledged = {
        let mounted = Mounted::new(&disk, folder.path().join("mounted"));
        let mut writer = Writer::start(&mounted.path().join("data"), barrier, Snapshots::Never);
        writer.wait_for(acknowledged);
        stop(writer.id());
        fs::copy(&disk, &copy).unwrap();
        writer.kill()
    };
    let mounted = Mounted::new(&copy, folder.path().join("after"));
    check(&mounted.path().join("data"), &acknowledged, folder.path())
}

/// Stops all threads of a process, and returns when all of them are stopped.
fn stop(process: u32) {
    tool("kill", Command::new("kill").arg("-STOP").arg(process.to_string()));
    let is_stopped = |status: String| status.lines().any(|line| line.starts_with("State:\tT"));
    let threads = format!("/proc/{process}/task");
    let all_stopped = || {
        fs::read_dir(&threads).unwrap().all(|thread| {
            let status = fs::read_to_string(thread.unwrap().path().join("status"));
            status.is_ok_and(is_stopped)
        })
    };
    // A thread in a system call stops at the end of the call; a barrier ends by itself.
    while !all_stopped() {
        std::thread::yield_now();
    }
}

#[test]
fn machine_a_crash_of_the_operating_system_loses_nothing_that_was_acknowledged() {
    for image in 0..8 {
        assert_eq!(crash(100 + 211 * image, Barrier::InPlace), Ok(()), "image {image}");
    }
}

#[test]
fn machine_without_the_barrier_a_crash_of_the_operating_system_is_seen_to_lose_activations() {
    let losses: Vec<_> = (0..3).map(|image| crash(100 + 211 * image, Barrier::TakenAway)).collect();
    assert!(losses.iter().any(Result::is_err), "nothing was lost without a barrier: this test proves nothing");
}
