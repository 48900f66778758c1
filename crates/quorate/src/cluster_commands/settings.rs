//! `quorate settings ...`: shows and changes the settings of the cluster and of its nodes.

use std::process::ExitCode;

use activation::settings::{Scope, Setting, SettingChange};
use anyhow::anyhow;
use api::admin::v1::{ChangeSettingsRequest, GetSettingsRequest, SettingValue};
use serde_json::{Map, Value};

use crate::{
    administration::AdminArgs,
    output::{CommandResult, Failure, Output, table},
};

const EXAMPLES: &str = "\
Examples:
  quorate settings get
  quorate settings get renewal.interval_minutes
  quorate settings set renewal.interval_minutes 1440
  quorate settings set dns.domains example.com,branch.example.com:10:50
  quorate settings set clients.port 1700 --node 2
  quorate settings get --node 2

Changes take effect at once, on every node or on the node given with --node.

Exit: 0 done; 1 refused, or a node cannot apply the new value; 2 no such setting or value.";

/// Commands for the settings of the cluster and of its nodes.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Command {
    /// Show all settings, or one.
    Get {
        /// Name of the setting.
        name: Option<String>,
        /// Show the settings of this node only.
        #[arg(long, value_name = "NODE")]
        node: Option<u64>,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Change one setting.
    Set {
        /// Name of the setting.
        name: String,
        /// The new value.
        #[arg(allow_hyphen_values = true)]
        value: String,
        /// The node to which the value applies, for settings that each node has.
        #[arg(long, value_name = "NODE")]
        node: Option<u64>,
        #[command(flatten)]
        admin: AdminArgs,
    },
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(self, output: &Output) -> CommandResult {
        match self {
            Self::Get { name, node, admin } => get(name.as_deref(), node, &admin, output)?,
            Self::Set { name, value, node, admin } => set(&name, &value, node, &admin, output)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Changes one setting of the cluster, or of `node` where one is given.
pub(crate) fn set(
    name: &str,
    value: &str,
    node: Option<u64>,
    admin: &AdminArgs,
    output: &Output,
) -> Result<(), Failure> {
    // A wrong name or value is found here, before any request is sent.
    let setting: Setting = name.parse().map_err(Failure::usage)?;
    let scope = if node.is_some() { Scope::Node } else { Scope::Cluster };
    SettingChange::parse(scope, setting, value).map_err(Failure::usage)?;
    let changes = vec![SettingValue { name: name.to_owned(), value: value.to_owned() }];
    let request = ChangeSettingsRequest { changes, node: node.unwrap_or(0) };
    let reply = admin.ask(async |admin| admin.change_settings(request).await)?;
    let of = node.map_or_else(|| "every node".to_owned(), |node| format!("node {node}"));
    if !reply.problem.is_empty() {
        return Err(anyhow!("{name} is set, but could not be applied on {of}: {}", reply.problem).into());
    }
    output.result(&serde_json::json!({ "settings": { name: value } }), format_args!("{name} is {value:?} on {of}."));
    Ok(())
}

fn get(name: Option<&str>, node: Option<u64>, admin: &AdminArgs, output: &Output) -> Result<(), Failure> {
    let wanted = name.map(str::parse::<Setting>).transpose().map_err(Failure::usage)?;
    match wanted {
        Some(setting) if setting.is_of_node() && node.is_none() => {
            return Err(Failure::usage(anyhow!(
                "`{}` is a setting of one node: name the node with --node",
                setting.name()
            )));
        }
        Some(setting) if !setting.is_of_node() && node.is_some() => {
            return Err(Failure::usage(anyhow!("`{}` is a setting of the whole cluster: omit --node", setting.name())));
        }
        _ => {}
    }
    let request = GetSettingsRequest { node: node.unwrap_or(0) };
    let reply = admin.ask(async |admin| admin.get_settings(request).await)?;
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
