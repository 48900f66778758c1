//! `quorate dns ...`: the cluster's records in DNS.

use std::process::ExitCode;

use activation::settings::{PublishDomain, Setting};
use admin::wire::{TextEnum, record_state};
use anyhow::anyhow;
use api::admin::v1::{
    ChangeSettingsRequest, DnsSettleReply, DnsSettleRequest, DnsStatusReply, DnsStatusRequest, DnsZoneRequest,
    SettingValue,
};
use serde_json::{Value, json};

use crate::{
    administration::{AdminArgs, refused},
    output::{CommandResult, Output, table},
};

const EXAMPLES: &str = "\
Examples:
  quorate dns status                              the owner of each record, in every domain
  quorate dns publish                             in the domain of each node's dns.target
  quorate dns publish --domain example.com --domain branch.example.com:10:50
  quorate dns withdraw
  quorate dns zone                                lines for a zone file, and the update policy for BIND

A node publishes its record if its configuration has dns.target and a TSIG key or keytab, and only while it may answer
clients.";

/// Commands for the cluster's records in DNS.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Command {
    /// Show each SRV record of the service with its owner: own, member, dead, known, foreign, or missing.
    Status {
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Turn publishing on for the whole cluster, and update all records now.
    Publish {
        /// DOMAIN or DOMAIN:PRIORITY:WEIGHT; may be repeated. Without it the list of domains is not changed.
        #[arg(long, value_name = "DOMAIN")]
        domain: Vec<PublishDomain>,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Turn publishing off for the whole cluster, and withdraw its records now.
    Withdraw {
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Print the records as lines of a zone file, and the update policy for a BIND server that accepts updates from the
    /// nodes.
    Zone {
        #[command(flatten)]
        admin: AdminArgs,
    },
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(self, output: &Output) -> CommandResult {
        match self {
            Self::Status { admin } => {
                let reply = admin.ask(async |admin| admin.dns_status(DnsStatusRequest {}).await)?;
                output.result(&status_json(&reply), status_text(&reply));
            }
            Self::Publish { domain, admin } => return publish(&domain, &admin, output),
            Self::Withdraw { admin } => return withdraw(&admin, output),
            Self::Zone { admin } => {
                let reply = admin.ask(async |admin| admin.dns_zone(DnsZoneRequest {}).await)?;
                let policy: String = reply.update_policy.lines().map(|line| format!("; {line}\n")).collect();
                output.result(
                    &json!({ "lines": reply.lines.lines().collect::<Vec<_>>(), "update_policy": reply.update_policy }),
                    // The output is a valid zone file: every line that is no record is a comment.
                    format_args!(
                        "{}; Instead of these lines, BIND can accept updates from the nodes (the keys have the nodes' \
                         names):\n{}",
                        reply.lines,
                        policy.trim_end()
                    ),
                );
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Turns publishing on, in `domains` where any are given.
pub(crate) fn publish(domains: &[PublishDomain], admin: &AdminArgs, output: &Output) -> CommandResult {
    let mut changes = vec![change(Setting::DnsPublish, "true".into())];
    if !domains.is_empty() {
        let list: Vec<_> = domains.iter().map(ToString::to_string).collect();
        changes.push(change(Setting::DnsDomains, list.join(",")));
    }
    settle(changes, admin, output)
}

/// Turns publishing off.
pub(crate) fn withdraw(admin: &AdminArgs, output: &Output) -> CommandResult {
    settle(vec![change(Setting::DnsPublish, "false".into())], admin, output)
}

fn change(setting: Setting, value: String) -> SettingValue {
    SettingValue { name: setting.name().into(), value }
}

/// Changes the settings, and has every member apply them now. The exit code is 1 where a record could not be settled.
fn settle(changes: Vec<SettingValue>, admin: &AdminArgs, output: &Output) -> CommandResult {
    let reply = admin.run(async |mut admin| {
        admin.change_settings(ChangeSettingsRequest { changes, node: 0 }).await.map_err(refused)?;
        Ok(admin.dns_settle(DnsSettleRequest {}).await.map_err(refused)?.into_inner())
    })?;
    let failed = reply.nodes.iter().any(|node| node.domains.iter().any(|domain| domain.status != 0));
    let nobody = reply.nodes.iter().all(|node| !node.passed_over.is_empty());
    output.result(&settled_json(&reply), settled_text(&reply));
    if nobody {
        return Err(anyhow!(
            "no node could update its DNS records: see the reasons above, and `quorate cluster status`"
        )
        .into());
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn settled_json(reply: &DnsSettleReply) -> Value {
    let node = |node: &api::admin::v1::DnsSettled| {
        let domains = node.domains.iter().map(|domain| {
            json!({
                "domain": domain.domain,
                "changes": domain.changes,
                "error": (!domain.error.is_empty()).then_some(&domain.error),
                "warning": (!domain.warning.is_empty()).then_some(&domain.warning),
                "status": format!("0x{:08X}", domain.status),
            })
        });
        json!({
            "node": node.node,
            "passed_over": (!node.passed_over.is_empty()).then_some(&node.passed_over),
            "domains": domains.collect::<Vec<_>>(),
        })
    };
    json!({ "nodes": reply.nodes.iter().map(node).collect::<Vec<_>>() })
}

fn settled_text(reply: &DnsSettleReply) -> comfy_table::Table {
    let mut rows = table(["node", "domain", "result"]);
    for node in &reply.nodes {
        if !node.passed_over.is_empty() {
            rows.add_row([node.node.to_string(), String::new(), node.passed_over.clone()]);
        }
        for domain in &node.domains {
            let mut what = match (domain.error.as_str(), domain.changes.as_slice()) {
                ("", []) => "unchanged".to_owned(),
                ("", changes) => changes.join("\n"),
                (error, _) => format!("{error} (0x{:08X})", domain.status),
            };
            if !domain.warning.is_empty() {
                what = format!("{what}\nwarning: {}", domain.warning);
            }
            rows.add_row([node.node.to_string(), domain.domain.clone(), what]);
        }
    }
    rows
}

fn status_json(reply: &DnsStatusReply) -> Value {
    let domains = reply.domains.iter().map(|domain| {
        let records = domain.records.iter().map(|record| {
            json!({
                "target": record.target, "port": record.port, "priority": record.priority, "weight": record.weight,
                "state": record_state(record).text(), "stale": record.stale, "age_s": record.age_s,
            })
        });
        json!({
            "domain": domain.domain,
            "records": records.collect::<Vec<_>>(),
            "last_error": (!domain.last_error.is_empty()).then_some(&domain.last_error),
            "served": domain.served,
        })
    });
    json!({ "domains": domains.collect::<Vec<_>>() })
}

fn status_text(reply: &DnsStatusReply) -> String {
    let mut rows = table(["domain", "target", "port", "priority", "weight", "owner", "last checked"]);
    let mut errors = String::new();
    for domain in &reply.domains {
        for record in &domain.records {
            let state = record_state(record).text();
            let whose = if record.stale { format!("{state}, stale") } else { state.to_owned() };
            let domain = if domain.served { format!("{} (served)", domain.domain) } else { domain.domain.clone() };
            rows.add_row([
                domain,
                record.target.clone(),
                record.port.to_string(),
                record.priority.to_string(),
                record.weight.to_string(),
                whose,
                record.age_s.map_or_else(String::new, ago),
            ]);
        }
        if !domain.last_error.is_empty() {
            errors += &format!("\n{}: {}", domain.domain, domain.last_error);
        }
    }
    format!("{rows}{errors}")
}

/// How long ago the record's node last saw the record in DNS, as text.
fn ago(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7200 => format!("{} min ago", seconds / 60),
        _ => format!("{} h ago", seconds / 3600),
    }
}
