//! Switches that the tests' build of the binary (feature `fault-injection`) reads from environment variables. In every
//! other build each function returns a constant.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use activation::state::Format;
use replication::RaftSettings;
use storage::{DiskError, SledDisk};

/// The value of a test's variable; `None` in a build without the feature.
fn variable(name: &str) -> Option<OsString> {
    if cfg!(feature = "fault-injection") { std::env::var_os(name) } else { None }
}

fn number(name: &str) -> Option<u64> {
    variable(name)?.to_str()?.parse().ok()
}

/// How long a node's certificate is valid, in place of the default.
pub(crate) fn certificate_lifetime() -> Option<Duration> {
    number("QUORATE_TEST_CERTIFICATE_LIFETIME_S").map(Duration::from_secs)
}

/// How long a person's certificate is valid, in place of the default.
pub(crate) fn person_certificate_lifetime() -> Option<Duration> {
    number("QUORATE_TEST_PERSON_CERTIFICATE_LIFETIME_S").map(Duration::from_secs)
}

/// How long a node that joined with a token may add itself, in milliseconds, instead of the default.
pub(crate) fn joining_ms() -> Option<u64> {
    number("QUORATE_TEST_JOINING_MS")
}

/// How long a member may be silent before its DNS record is withdrawn, in place of the setting.
pub(crate) fn dns_timeout() -> Option<Duration> {
    number("QUORATE_TEST_DNS_TIMEOUT_MS").map(Duration::from_millis)
}

/// How often the records of all members are checked, in place of the default.
pub(crate) fn dns_check_interval() -> Option<Duration> {
    number("QUORATE_TEST_DNS_WATCH_MS").map(Duration::from_millis)
}

/// How often the console takes a sample of the counts, in place of the default.
pub(crate) fn console_sample_interval() -> Option<Duration> {
    number("QUORATE_TEST_CONSOLE_SAMPLE_MS").map(Duration::from_millis)
}

/// The folder in place of `/` below which the description of the machine is read.
pub(crate) fn machine_root() -> Option<PathBuf> {
    variable("QUORATE_TEST_MACHINE_ROOT").map(PathBuf::from)
}

/// Whether the wall clock is synchronised, in place of what the operating system says.
pub(crate) fn is_clock_synchronised() -> Option<bool> {
    variable("QUORATE_TEST_CLOCK_SYNCHRONISED").map(|value| value == "yes")
}

/// The settings of the replica. Where a test requests it, entries that are purged from the log are kept.
pub(crate) fn raft_settings(settings: RaftSettings) -> RaftSettings {
    #[cfg(feature = "fault-injection")]
    let settings = RaftSettings { keep_purged: variable("QUORATE_TEST_KEEP_LOG").is_some(), ..settings };
    settings
}

/// The disk of the replica. Where the settings say so, it keeps entries that are purged from the log.
pub(crate) fn disk(disk: SledDisk, settings: &RaftSettings) -> Result<SledDisk, DiskError> {
    #[cfg(feature = "fault-injection")]
    if settings.keep_purged {
        return disk.keeping_purged();
    }
    let _only_tests_ask = settings;
    Ok(disk)
}

/// Panics if a test requests a panic in the task with this name. The panic is the first thing that the task does.
pub(crate) fn panic_in(task: &str) {
    assert!(variable("QUORATE_TEST_PANIC").is_none_or(|wanted| wanted != task), "a test injects a panic into {task}");
}

/// Blocks the writer of the activation log while a file that a test names exists: simulates a disk that hangs.
pub(crate) fn hang_activation_log() {
    while variable("QUORATE_TEST_HANG_ACTIVATION_LOG").is_some_and(|file| Path::new(&file).exists()) {
        thread::park_timeout(Duration::from_millis(10));
    }
}

/// Whether the invariants of the replicated state are checked after every entry.
pub(crate) fn check_invariants() -> bool {
    variable("QUORATE_TEST_CHECK_INVARIANTS").is_some()
}

/// The newest format that this node reads; where a test requests it, that of an earlier version.
pub(crate) fn newest_format() -> Format {
    let asked = number("QUORATE_TEST_PREVIOUS_FORMAT").and_then(|number| Format::new(u32::try_from(number).ok()?).ok());
    asked.unwrap_or(Format::NEWEST)
}
