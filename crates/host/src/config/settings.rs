//! One table of all settings: those of a node's own configuration, and those that the cluster replicates.

use std::{fmt::Write as _, sync::LazyLock};

use activation::settings::{Scope, Setting as KeptSetting};

pub use crate::config::declaration::{Form, Setting};
use crate::config::sections::{
    Admin, Audit, Clients, Console, Dns, Drain, Gateway, Log, Metrics, Peers, Raft, Tls, declared_first,
};

/// The settings of the configuration file, in the order of the file.
pub static SETTINGS: LazyLock<Vec<Setting>> = LazyLock::new(|| {
    [
        declared_first(),
        Clients::declared(),
        Gateway::declared(),
        Peers::declared(),
        Admin::declared(),
        Metrics::declared(),
        Console::declared(),
        Audit::declared(),
        Log::declared(),
        Tls::declared(),
        Raft::declared(),
        Dns::declared(),
        Drain::declared(),
    ]
    .concat()
});

/// The name of a setting's flag, without the leading `--`: `clients-listen` for `clients.listen`.
pub fn flag(key: &str) -> String {
    key.replace(['.', '_'], "-")
}

/// The name of a setting's environment variable: `QUORATE_CLIENTS_LISTEN` for `clients.listen`.
pub fn variable(key: &str) -> String {
    format!("QUORATE_{}", key.replace('.', "_").to_uppercase())
}

/// Where a setting is given, which also determines when it takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the node's configuration; it takes effect when the node starts.
    File,
    /// In the cluster's log, with one value for all nodes; it takes effect at once (live).
    Cluster,
    /// In the cluster's log, with one value per node; it takes effect at once (live).
    Node,
}

impl Origin {
    /// Whether a change takes effect while the node runs.
    pub fn is_live(self) -> bool {
        self != Self::File
    }
}

/// A setting of a node's configuration or of the cluster, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The name, as it is written in the file or given to `quorate settings set`.
    pub name: &'static str,
    /// Where the setting is given.
    pub origin: Origin,
    /// Which values are allowed.
    pub values: String,
    /// The value where none is given; `None` where there is no default.
    pub default: Option<String>,
    /// What the setting does, with its unit.
    pub help: &'static str,
}

/// All settings, those of the cluster first.
pub fn listing() -> Vec<Listed> {
    let kept = KeptSetting::ALL.into_iter().map(|setting| Listed {
        name: setting.name(),
        origin: match setting.scope() {
            Scope::Cluster => Origin::Cluster,
            Scope::Node => Origin::Node,
        },
        values: setting.form().to_string(),
        default: Some(setting.default_value().to_string()),
        help: setting.help(),
    });
    let of_file = SETTINGS.iter().map(|setting| Listed {
        name: setting.key,
        origin: Origin::File,
        values: match setting.form {
            Form::Text => "text".into(),
            Form::Path => "a path".into(),
            Form::Number { min, max: Some(max) } => format!("a number of {min} to {max}"),
            Form::Number { min: 0, max: None } => "a number".into(),
            Form::Number { min, max: None } => format!("a number of at least {min}"),
            Form::List => "a list".into(),
            Form::Flag => "true or false".into(),
        },
        default: setting.default.clone(),
        help: setting.help,
    });
    kept.chain(of_file).collect()
}

/// The tables of `docs/settings.md`, with the settings of the wanted origins.
pub fn markdown(is_wanted: impl Fn(Origin) -> bool) -> String {
    let mut text = String::from("| setting | values | default | meaning |\n|---|---|---|---|\n");
    for Listed { name, values, default, help, .. } in listing().into_iter().filter(|listed| is_wanted(listed.origin)) {
        let default = default.filter(|text| !text.is_empty()).map_or_else(String::new, |text| format!("`{text}`"));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| `{name}` | {values} | {default} | {help} |");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_settings_have_one_name_in_file_flags_variables_and_cluster() {
        // The exception is `raft.profile`, which a node's own file may set while the cluster cannot commit its own
        // value.
        let is_shared = |listed: &Listed| listed.name == "raft.profile" && matches!(listed.origin, Origin::Cluster);
        let mut listing = listing();
        assert_eq!(listing.iter().filter(|listed| is_shared(listed)).count(), 1);
        listing.retain(|listed| !is_shared(listed));
        for form in [str::to_owned, flag, variable] {
            let names: BTreeSet<_> = listing.iter().map(|listed| form(listed.name)).collect();
            assert_eq!(names.len(), listing.len(), "{names:?}");
        }
        for listed in &listing {
            assert!(!listed.help.contains('|'), "{}", listed.name);
            assert!(!listed.origin.is_live() || listed.default.is_some(), "{}", listed.name);
        }
    }

    #[test]
    fn the_guide_shows_the_tables_as_they_are() {
        let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/settings.md");
        let text = std::fs::read_to_string(guide).unwrap();
        let tables = [Origin::Cluster, Origin::Node, Origin::File].map(|of| markdown(|origin| origin == of));
        let lacking: Vec<_> = tables.into_iter().filter(|table| !text.contains(table)).collect();
        assert!(lacking.is_empty(), "docs/settings.md lacks these tables:\n{}", lacking.join("\n"));
    }
}
