//! The configuration of a node: file, then variables, then flags; the later one stands.
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
    sections::{Admin, Audit, Clients, Config, Console, Dns, Drain, Log, Metrics, Peers, Raft, Tls},
    values::ListenAddress,
};
use self::{
    overrides::OVERRIDES,
    settings::{flag, variable},
};
use crate::test_hooks;

impl Config {
    /// Reads `file` and lays `overrides` over it.
    pub fn load(file: &Path, overrides: &Overrides) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(file).map_err(|source| ConfigError::Read { path: file.to_owned(), source })?;
        Self::parse(&text, &file.display().to_string(), overrides)
    }

    /// The same from a text; `origin` is named in errors.
    pub fn parse(text: &str, origin: &str, overrides: &Overrides) -> Result<Self, ConfigError> {
        // Parsed alone first: the parser of the format names line and column.
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

    /// The settings of the replica.
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

    /// Where clients reach this node, if it was told; the text was checked when it was read.
    pub(crate) fn advertised(&self) -> Option<FixedHost> {
        self.clients.advertise.as_deref()?.parse().ok()
    }

    /// Heartbeat, shortest and longest election timeout, with the profile that the file gives, or the default.
    fn election_times(&self) -> [Duration; 3] {
        self.raft_settings().times(self.raft.profile.unwrap_or_default())
    }

    /// The root below which the machine's own description is read.
    pub(crate) fn machine_root(&self) -> PathBuf {
        test_hooks::machine_root().unwrap_or_else(|| PathBuf::from("/"))
    }

    /// By what this machine is told from others.
    pub(crate) fn identity_choice(&self) -> Choice {
        self.identity.choice(&self.machine_root())
    }

    /// The administration socket.
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
            format!("{name}: no such key{place}; known there: {}", known.join(", "))
        }
        Kind::MissingField(name) => {
            let flag = flag(name);
            let variable = variable(name);
            format!("{name}: missing; add it to the file, or give --{flag} or {variable}")
        }
        // Values with a form of their own name their fix.
        Kind::Message(what) if what.contains("; ") => format!("{key}: {what}"),
        kind => format!("{key}: {kind}; correct the value"),
    };
    ConfigError::Key { origin, what }
}
