//! The input of the checks of a client machine.

use std::path::PathBuf;

use activation::{lifecycle::LicenseState, status::Status};

/// What was observed on a client machine.
#[derive(Clone, Debug)]
pub struct ClientObservation {
    /// The one host that the machine asks, because it was given or set; DNS is then not used.
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
    /// The cause, with its status code.
    pub cause: String,
    /// DNS answered that there is no record, as opposed to giving no usable answer.
    pub is_absent: bool,
    /// The next step where DNS gave no usable answer.
    pub advice: &'static str,
}

/// A host, and the result of probing it.
#[derive(Clone, Debug)]
pub struct HostProbe {
    /// Its name or address.
    pub target: String,
    /// Its port.
    pub port: u16,
    /// The result of probing it.
    pub result: ProbeResult,
}

/// The result of probing a host.
#[derive(Clone, Debug)]
pub enum ProbeResult {
    /// It accepts activation requests.
    Answers,
    /// Its name has no address, with the reason.
    NoAddress(String),
    /// No connection could be made, or it was closed at once, with the reason.
    NoConnection(String),
    /// A connection was made, and the server does not speak a host's protocol.
    NotAHost {
        /// What the server did instead.
        cause: String,
        /// The next step.
        advice: &'static str,
    },
}

/// The stored state of a client machine.
#[derive(Clone, Debug)]
pub enum MachineObservation {
    /// No folder was given, so the state was not read.
    NotRequested,
    /// The folder holds no state.
    Absent(PathBuf),
    /// The folder's state cannot be read, with the reason.
    Unreadable(PathBuf, String),
    /// The folder, and the license state of its machine.
    Known(PathBuf, LicenseObservation),
}

/// The license state of a client machine.
#[derive(Clone, Copy, Debug)]
pub struct LicenseObservation {
    /// The state.
    pub state: LicenseState,
    /// Minutes until that state ends; `None` where it does not end by itself.
    pub minutes_left: Option<u64>,
    /// Status of its last attempt to activate; `None` before the first.
    pub last_status: Option<Status>,
    /// When a host last gave it a licence, by that host's clock, in milliseconds since 1970.
    pub licensed_ms: Option<u64>,
}
