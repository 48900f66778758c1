//! The configuration of a node: read from the file, then from variables, then from flags. A later source overrides
//! an earlier one.
//!
//! Unknown keys are refused. Every error names the file (or the flag), the key and the fix.

mod check;
mod declaration;
mod error;
pub mod init;
mod log_level;
mod overrides;
mod renamed;
mod sections;
pub mod settings;
#[cfg(test)]
mod tests;
mod values;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use discovery::FixedHost;
use machine::Choice;
use replication::RaftSettings;

pub use self::{
    error::ConfigError,
    log_level::LogLevel,
    overrides::Overrides,
    renamed::OldName,
    sections::{Admin, Audit, Clients, Config, Console, Dns, Drain, Gateway, Log, Metrics, Peers, Raft, Tls},
    values::ListenAddress,
};
use self::{
    overrides::OVERRIDES,
    settings::{flag, variable},
};
use crate::test_hooks;

impl Config {
    /// Reads the configuration from `file`, with `overrides` in place of the file's values.
    pub fn load(file: &Path, overrides: &Overrides) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(file).map_err(|source| ConfigError::Read { path: file.to_owned(), source })?;
        Self::parse(&text, &file.display().to_string(), overrides)
    }

    /// Reads the configuration from a text, as [`Self::load`] does from a file. `origin` is the file name in errors.
    pub fn parse(text: &str, origin: &str, overrides: &Overrides) -> Result<Self, ConfigError> {
        // The text is parsed on its own first, because the TOML parser's errors name line and column.
        let mut file = toml::from_str::<toml::Table>(text)
            .map_err(|error| ConfigError::Key { origin: origin.to_owned(), what: error.to_string() })?;
        let mut old_names = renamed::rename(&mut file, origin)?;
        old_names.extend_from_slice(overrides.old_names());
        overrides.merge_into(&mut file);
        let config: Self = serde_path_to_error::deserialize(toml::Value::Table(file))
            .map_err(|error| key_error(origin, overrides, &error))?;
        config.check(origin)?;
        Ok(Self { old_names, ..config })
    }

    /// The settings of the replica, from the sections `raft` and `peers`.
    #[allow(clippy::needless_update, reason = "the tests' build has one more field")]
    pub fn raft_settings(&self) -> RaftSettings {
        let Raft { profile, heartbeat_ms, election_timeout_min_ms, election_timeout_max_ms } = self.raft;
        test_hooks::raft_settings(RaftSettings {
            profile,
            heartbeat_interval: Duration::from_millis(heartbeat_ms),
            election_timeout_min: Duration::from_millis(election_timeout_min_ms),
            election_timeout_max: Duration::from_millis(election_timeout_max_ms),
            promote_after: Duration::from_secs(self.peers.promote_after_s),
            ..RaftSettings::default()
        })
    }

    /// The host and port of `clients.advertise`, where client machines reach this node; `None` if it is not set. The
    /// text was checked when the configuration was read.
    pub(crate) fn advertised(&self) -> Option<FixedHost> {
        self.clients.advertise.as_deref()?.parse().ok()
    }

    /// The heartbeat interval, and the shortest and longest election timeout, with the file's profile or else the
    /// default one.
    fn election_times(&self) -> [Duration; 3] {
        self.raft_settings().times(self.raft.profile.unwrap_or_default())
    }

    /// The folder below which the description of the machine is read, `/` except in tests.
    pub(crate) fn machine_root(&self) -> PathBuf {
        test_hooks::machine_root().unwrap_or_else(|| PathBuf::from("/"))
    }

    /// The properties by which this machine is distinguished from other machines.
    pub(crate) fn identity_choice(&self) -> Choice {
        self.identity.choice(&self.machine_root())
    }

    /// The path of the administration socket.
    pub fn admin_socket(&self) -> PathBuf {
        self.data.join("admin.sock")
    }
}

/// The error for a key that is unknown, missing or has a wrong value, with the fix.
fn key_error(origin: &str, overrides: &Overrides, error: &serde_path_to_error::Error<toml::de::Error>) -> ConfigError {
    let path = error.path().to_string();
    let key = path.split('[').next().unwrap_or(&path);
    let origin = if overrides.contains(key) { OVERRIDES } else { origin }.to_owned();
    let message = error.inner().message();
    // serde's errors quote the names of fields: the one at fault, then those that exist.
    let mut names = message.split('`').skip(1).step_by(2);
    let what = match (message.split_once(" field `").map(|(kind, _)| kind), names.next()) {
        (Some("unknown"), Some(name)) => {
            let section = key.rsplit_once('.').map_or("", |(section, _)| section);
            let place = if section.is_empty() { String::new() } else { format!(" in [{section}]") };
            format!("{name}: unknown key{place}; known keys: {}", names.collect::<Vec<_>>().join(", "))
        }
        (Some("missing"), Some(name)) => {
            let flag = flag(name);
            let variable = variable(name);
            format!("{name}: missing; add it to the file, or give --{flag} or {variable}")
        }
        // Errors of values with their own parser name the fix already.
        _ if message.contains("; ") => format!("{path}: {message}"),
        _ => format!("{path}: {message}; correct the value"),
    };
    ConfigError::Key { origin, what }
}
