//! A daemon that a test starts and ends.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use crate::TIMEOUT;

/// A running process whose standard error goes to a file. It is killed when it is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; its standard error is appended to the file `log`.
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log);
        let file = file.unwrap_or_else(|error| panic!("cannot write {}: {error}", log.display()));
        let child = command.stdout(Stdio::null()).stderr(file).kill_on_drop(true).spawn();
        Self { child: child.unwrap_or_else(|error| panic!("{command:?}: {error}")), log: log.to_owned() }
    }

    /// The process id.
    ///
    /// # Panics
    /// When the process has ended.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap_or_else(|| panic!("the process has ended; it said:\n{}", self.said()))
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The exit status of the process; `None` while it runs.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Everything that the process, and earlier ones with the same file, wrote to standard error.
    pub fn said(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Kills the process with SIGKILL, and waits for its end.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("a process of one's own can be killed");
    }

    /// Sends SIGTERM, which asks the process to stop.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends SIGHUP, upon which the process reads its configuration again.
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Sends SIGUSR1, which switches debug lines on or off.
    pub fn toggle_debug(&self) {
        self.signal(Signal::USR1);
    }

    /// Stops the process with SIGSTOP: its connections stay open, and it sends nothing.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Continues a process that was stopped with [`Self::freeze`].
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process has a number above 0");
        kill_process(pid, signal).expect("a process of one's own takes signals");
    }

    /// Waits until the process ends.
    ///
    /// # Panics
    /// When the process does not end in time.
    pub async fn end(&mut self) -> ExitStatus {
        let end = timeout(TIMEOUT, self.child.wait()).await;
        let end = end.unwrap_or_else(|_| panic!("the process does not end; it said:\n{}", self.said()));
        end.expect("a child can be waited for")
    }

    /// Memory that the process uses, in bytes (`VmRSS`).
    pub fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kilobytes.unwrap_or_else(|| panic!("{path} has no VmRSS")) * 1024
    }
}
