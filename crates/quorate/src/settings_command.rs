//! `quorate settings ...`: what every node of the cluster follows.

use std::process::ExitCode;

use activation::settings::{Setting, Settings};
use anyhow::anyhow;
use api::admin::v1::{ChangeSettingsRequest, GetSettingsRequest, SettingValue};
use serde_json::{Map, Value};

use crate::{
    admin::{AdminArgs, refused},
    output::{Failure, Outcome, Output, table},
};

const EXAMPLES: &str = "\
Examples:
  quorate settings get
  quorate settings get renewal.interval_minutes
  quorate settings set renewal.interval_minutes 1440
  quorate settings set dns.domains example.com,branch.example.com:10:50

Changes take effect at once, on every node.";

/// Settings of the cluster.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Command {
    /// Show all, or one.
    Get {
        /// Its name.
        name: Option<String>,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Change one.
    Set {
        /// Its name.
        name: String,
        /// Its value.
        #[arg(allow_hyphen_values = true)]
        value: String,
        #[command(flatten)]
        admin: AdminArgs,
    },
}

impl Command {
    /// Runs it.
    pub(crate) fn run(self, output: &Output) -> Outcome {
        match self {
            Self::Get { name, admin } => get(name.as_deref(), &admin, output)?,
            Self::Set { name, value, admin } => {
                // A wrong name or value is found here, before anything is sent.
                let setting: Setting = name.parse().map_err(Failure::usage)?;
                Settings::default().set(setting, &value).map_err(Failure::usage)?;
                let changes = vec![SettingValue { name: name.clone(), value: value.clone() }];
                admin.run(async |mut admin| {
                    Ok(admin.change_settings(ChangeSettingsRequest { changes }).await.map_err(refused)?.into_inner())
                })?;
                output.result(
                    &serde_json::json!({ "settings": { name.as_str(): value.as_str() } }),
                    format_args!("{name} is {value:?} on every node."),
                );
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn get(name: Option<&str>, admin: &AdminArgs, output: &Output) -> Result<(), Failure> {
    let wanted = name.map(str::parse::<Setting>).transpose().map_err(Failure::usage)?;
    let reply = admin
        .run(async |mut admin| Ok(admin.get_settings(GetSettingsRequest {}).await.map_err(refused)?.into_inner()))?;
    let is_wanted = |setting: &SettingValue| wanted.is_none_or(|wanted| wanted.name() == setting.name);
    let shown: Vec<_> = reply.settings.into_iter().filter(is_wanted).collect();
    if shown.is_empty() {
        return Err(anyhow!("the node does not know this setting: it is an older version").into());
    }
    let mut rows = table(["setting", "value", "meaning"]);
    let mut fields = Map::new();
    for SettingValue { name, value } in shown {
        let meaning = name.parse().map_or("", Setting::help);
        rows.add_row([name.clone(), value.clone(), meaning.to_owned()]);
        fields.insert(name, Value::from(value));
    }
    output.result(&serde_json::json!({ "settings": fields }), rows);
    Ok(())
}
