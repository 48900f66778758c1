//! What the checks of a client machine look at.

use std::path::PathBuf;

use activation::{lifecycle::LicenseState, status::Status};

/// What was observed on a client machine.
#[derive(Clone, Debug)]
pub struct ClientObservation {
    /// The one host that the machine asks, because it was given or set; DNS is not used then.
    pub fixed_host: Option<String>,
    /// How many hosts DNS names; `None` where DNS was not asked.
    pub named_hosts: Option<Result<usize, LookupProblem>>,
    /// Every host that was probed.
    pub hosts: Vec<HostProbe>,
    /// The machine's own state.
    pub machine: MachineObservation,
    /// The machine's clock, in milliseconds since 1970.
    pub now_ms: u64,
}

/// DNS names no host.
#[derive(Clone, Debug)]
pub struct LookupProblem {
    /// What went wrong, with its status code.
    pub cause: String,
    /// DNS answered that there is no record, as opposed to giving no usable answer.
    pub is_absent: bool,
    /// What to do where DNS gave no usable answer.
    pub advice: &'static str,
}

/// A host, and what probing it gave.
#[derive(Clone, Debug)]
pub struct HostProbe {
    /// Its name or address.
    pub target: String,
    /// Its port.
    pub port: u16,
    /// What probing it gave.
    pub result: ProbeResult,
}

/// What probing a host gave.
#[derive(Clone, Debug)]
pub enum ProbeResult {
    /// It accepts activation requests.
    Answers,
    /// Its name has no address: why.
    NoAddress(String),
    /// No connection could be made, or it was closed at once: why.
    NoConnection(String),
    /// A connection was made, and the other side does not speak as a host does.
    NotAHost {
        /// What it did instead.
        cause: String,
        /// What to do.
        advice: &'static str,
    },
}

/// The state that a client machine keeps.
#[derive(Clone, Debug)]
pub enum MachineObservation {
    /// No folder was given: it was not looked at.
    NotRequested,
    /// The folder holds no state.
    Absent(PathBuf),
    /// The folder's state cannot be read: why.
    Unreadable(PathBuf, String),
    /// The folder, and how its machine is licensed.
    Known(PathBuf, LicenseObservation),
}

/// How a client machine is licensed.
#[derive(Clone, Copy, Debug)]
pub struct LicenseObservation {
    /// Its license state.
    pub state: LicenseState,
    /// Minutes until that state ends; `None` where it does not end by itself.
    pub minutes_left: Option<u64>,
    /// Status of its last attempt to activate; `None` before the first.
    pub last_status: Option<Status>,
    /// When a host last gave it a licence, by that host's clock, in milliseconds since 1970.
    pub licensed_ms: Option<u64>,
}
