//! The state of a node's own machine: free space, fsync latency, expiry of its certificate.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use api::admin::v1::MachineReport;
use replication::Replica;
use tokio::time::Instant;
use transport::{PresentedIdentity, RevocationLists};

use super::builds;
use crate::{
    lifecycle::descriptors::{descriptor_limit, descriptors_open},
    tasks::{self, HostTask},
};

/// Number of small writes that are synced one after the other to measure fsync latency.
const WRITES: usize = 5;
const WRITE_BYTES: usize = 4096;

/// Examines the node's own machine.
#[derive(Clone)]
pub(crate) struct MachineProbe {
    /// The node's data folder.
    pub(crate) data: PathBuf,
    /// The certificate that the node presents to other nodes.
    pub(crate) certificate: Arc<PresentedIdentity>,
    /// The configured number of client connections, and the number that the limit of open files allows.
    pub(crate) clients_wanted: usize,
    pub(crate) clients_max: usize,
}

impl MachineProbe {
    /// Writes and syncs small amounts of data in the data folder. A failing disk is part of the report, not an
    /// error.
    pub(crate) async fn run(&self, replica: &Replica) -> MachineReport {
        let data = self.data.clone();
        let synced = tasks::blocking(HostTask::DiskProbe, move || sync_us(&data)).await.and_then(|synced| synced);
        let (running, installed) = futures::join!(builds::running(), builds::installed());
        let installed_unknown = installed.as_ref().err().or(running.as_ref().err()).cloned().unwrap_or_default();
        let certificate = self.certificate.now();
        let disk = rustix::fs::statvfs(&self.data).ok();
        let bytes = |blocks: u64, size: u64| blocks.saturating_mul(size);
        MachineReport {
            node: replica.identity().owner,
            passed_over: String::new(),
            data_size_bytes: disk.as_ref().map_or(0, |disk| bytes(disk.f_blocks, disk.f_frsize)),
            data_free_bytes: disk.as_ref().map_or(0, |disk| bytes(disk.f_bavail, disk.f_frsize)),
            sync_us: synced.as_ref().copied().unwrap_or(0),
            write_error: synced.err().map_or_else(String::new, |error| error.to_string()),
            certificate_ends_ms: certificate.ends_ms(),
            store_bytes: replica.store_bytes().unwrap_or(0),
            descriptors_limit: descriptor_limit(),
            descriptors_open: descriptors_open(),
            clients_wanted: self.clients_wanted as u64,
            clients_max: self.clients_max as u64,
            running: running.ok(),
            installed: installed.ok(),
            installed_unknown,
            revocation_list_ends_ms: certificate.revocation_lists().and_then(RevocationLists::ends_ms),
        }
    }
}

/// Median fsync latency of small writes in `folder`, in microseconds; at least 1.
fn sync_us(folder: &Path) -> io::Result<u64> {
    // An unnamed file: the system removes it when it is closed.
    let mut file: File = tempfile::tempfile_in(folder)?;
    let mut times = Vec::with_capacity(WRITES);
    for _ in 0..WRITES {
        let began = Instant::now();
        file.write_all(&[0x5A; WRITE_BYTES])?;
        file.sync_data()?;
        times.push(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    times.sort_unstable();
    Ok(times.get(WRITES / 2).copied().unwrap_or(0).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_of_a_disk_that_refuses_writes_returns_the_cause() {
        let folder = tempfile::tempdir().unwrap();
        assert!(sync_us(folder.path()).unwrap() > 0);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left there");
        let gone = folder.path().join("gone");
        assert_eq!(sync_us(&gone).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
