//! Settings that were renamed: the old name is accepted with a warning.

use std::fmt;

use crate::config::error::ConfigError;

/// A setting that was renamed.
pub(super) struct Renamed {
    pub(super) old: &'static str,
    pub(super) new: &'static str,
}

/// The renamed settings. Under the old names they could be confused with settings of the cluster that have the same
/// names.
pub(super) const RENAMED: &[Renamed] = &[
    Renamed { old: "clients.connections_per_source_max", new: "clients.connections_per_source_default" },
    Renamed { old: "dns.publish", new: "dns.publish_node" },
];

/// An old name of a setting that was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldName {
    /// The old name as it was given: a key, flag or variable.
    pub old: String,
    /// The new name in the same form.
    pub new: String,
}

impl fmt::Display for OldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is now called {}: use the new name", self.old, self.new)
    }
}

/// Replaces old names of settings in a file by the new ones, and returns the old names that were used.
pub(super) fn rename(file: &mut toml::Table, origin: &str) -> Result<Vec<OldName>, ConfigError> {
    let mut used = Vec::new();
    for Renamed { old, new } in RENAMED {
        let (Some((section, old_name)), Some((_, new_name))) = (old.split_once('.'), new.split_once('.')) else {
            continue;
        };
        let Some(section) = file.get_mut(section).and_then(toml::Value::as_table_mut) else { continue };
        let Some(value) = section.remove(old_name) else { continue };
        if section.insert(new_name.to_owned(), value).is_some() {
            let what = format!("{old}: is now called {new}, which is given as well; remove the old one");
            return Err(ConfigError::Key { origin: origin.to_owned(), what });
        }
        used.push(OldName { old: format!("{origin}: {old}"), new: (*new).to_owned() });
    }
    Ok(used)
}
