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
use figment::{
    Figment,
    providers::{Format, Toml},
};
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
        let config: Self = Figment::from(Toml::string(&file.to_string()))
            .merge(overrides)
            .extract()
            .map_err(|error| key_error(origin, &error))?;
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

fn key_error(origin: &str, error: &figment::Error) -> ConfigError {
    use figment::error::Kind;
    let origin = match &error.metadata {
        Some(metadata) if metadata.name == OVERRIDES => OVERRIDES.to_owned(),
        _ => origin.to_owned(),
    };
    let key = error.path.join(".");
    let what = match &error.kind {
        Kind::UnknownField(name, known) => {
            let section = error.path.split_last().map_or(String::new(), |(_, section)| section.join("."));
            let place = if section.is_empty() { String::new() } else { format!(" in [{section}]") };
            format!("{name}: unknown key{place}; known keys: {}", known.join(", "))
        }
        Kind::MissingField(name) => {
            let flag = flag(name);
            let variable = variable(name);
            format!("{name}: missing; add it to the file, or give --{flag} or {variable}")
        }
        // Errors of values with their own parser name the fix already.
        Kind::Message(what) if what.contains("; ") => format!("{key}: {what}"),
        kind => format!("{key}: {kind}; correct the value"),
    };
    ConfigError::Key { origin, what }
}
