//! Builds requests on this machine. Randomness and the clock enter here.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use activation::id::{Cmid, ProductId, PublisherId};
use activation::lifecycle::Moment;
use activation::limits::TIME_MS_MAX;
use activation::message::{LicenseStatus, Request};
use machine::Machine;
use thiserror::Error;

/// The system returned no random bytes. Without a random nonce a request cannot be distinguished from its replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the operating system gives no random bytes")]
pub struct NoEntropy(#[from] getrandom::Error);

/// A new request of `machine` with the present time and a random nonce. Use it once.
///
/// The license fields have the values of a machine without a stored state: unlicensed, no time left. Set
/// `license_status` and `minutes_to_expiry` where they are known; both are for reports and have no effect on the
/// count.
pub fn request(
    publisher: PublisherId,
    product: ProductId,
    cmid: Cmid,
    machine: &Machine,
) -> Result<Request, NoEntropy> {
    Ok(Request {
        nonce: random()?,
        publisher,
        product,
        cmid,
        machine: machine.digest,
        machine_name: machine.name.clone(),
        virtual_machine: machine.is_virtual,
        license_status: LicenseStatus::Unlicensed,
        minutes_to_expiry: 0,
        client_time_ms: time_ms(),
    })
}

/// A CMID for a new installation (R10): a random UUID (RFC 9562, version 4).
pub fn random_cmid() -> Result<Cmid, NoEntropy> {
    Ok(Cmid(uuid::Builder::from_random_bytes(random()?).into_uuid().into_bytes()))
}

/// This machine's clock, in milliseconds since the Unix epoch. A clock before 1970 gives 0; the host then refuses
/// with the clock skew.
#[must_use]
pub fn time_ms() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the client is where a request gets its time")]
    let now = SystemTime::now();
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(TIME_MS_MAX).min(TIME_MS_MAX)
}

/// The readings of this machine's clocks. Where the system does not provide the id of its start, only the wall clock
/// is set.
pub(crate) fn moment(root: &Path) -> Moment {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
    let boot = read("proc/sys/kernel/random/boot_id");
    let uptime = read("proc/uptime");
    // Seconds and hundredths, sleep included.
    let seconds = uptime.split_whitespace().next().and_then(|seconds| seconds.parse::<f64>().ok());
    let uptime = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let boot = boot.trim().parse::<uuid::Uuid>().ok().filter(|_| uptime.is_some());
    Moment {
        wall_ms: time_ms(),
        boot: boot.map(uuid::Uuid::into_bytes),
        uptime_ms: u64::try_from(uptime.unwrap_or_default().as_millis()).unwrap_or(TIME_MS_MAX),
    }
}

/// A random number, by which chance shortens intervals.
pub(crate) fn chance() -> Result<u64, NoEntropy> {
    let [a, b, c, d, e, f, g, h, ..] = random()?;
    Ok(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
}

pub(crate) fn random() -> Result<[u8; 16], NoEntropy> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}
