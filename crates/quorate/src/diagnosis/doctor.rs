//! `quorate doctor`: what is wrong with the cluster, or with a client machine's way to it, and the command that mends it.

use std::{fmt, process::ExitCode};

use anyhow::anyhow;
use api::admin::v1::{
    ClusterStatusRequest, CountRequest, DnsStatusRequest, DuplicatesRequest, ExamineRequest, GetSettingsRequest,
    ListKeysRequest,
};
use host::doctor::{self, Check, Found, State};
use serde_json::{Value, json};

use super::client_doctor;
use crate::{
    administration::{AdminArgs, refused},
    output::{CommandResult, Failure, Output, table},
};

const EXAMPLES: &str = "\
Examples:
  quorate doctor                        on a node
  quorate doctor --admin lab --json     from afar; a reader may
  quorate doctor --client               on a client machine, which may ask no node what it knows
  quorate doctor --client --domain example.com --state DIR

Asks every node, and from here tries every port and every name in DNS. With --client: whether DNS names hosts, whether they
answer from here, and how the machine in DIR stands. It is not counted for that.

Exit: 0 all is well; 1 something fails, or will not bear the next failure; 4 there are warnings only.";

/// What is wrong with the cluster, and what mends it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Command {
    #[command(flatten)]
    admin: AdminArgs,
    /// Look from a client machine, with a client's rights.
    #[arg(long)]
    client: bool,
    #[command(flatten)]
    machine: client_doctor::Args,
}

impl Command {
    /// Runs it.
    pub(crate) fn run(self, output: &Output) -> CommandResult {
        if self.client {
            return tell(&client_doctor::all(&self.machine.look()?), output);
        }
        if self.machine.is_given() {
            return Err(Failure::usage(anyhow!("this is of a client machine: give --client, too")));
        }
        let progress = output.spinner("every node is asked");
        let found = self.admin.run(async |mut admin| {
            let cluster = admin.cluster_status(ClusterStatusRequest {}).await.map_err(refused)?.into_inner();
            let examined = admin.examine(ExamineRequest {}).await.map_err(refused)?.into_inner().nodes;
            // Without a leader nothing of this can be known, and the cluster's own state says so.
            let keys = admin.list_keys(ListKeysRequest {}).await.map(tonic::Response::into_inner).ok();
            let counts = admin.count(CountRequest::default()).await.map(tonic::Response::into_inner).ok();
            let settings = admin.get_settings(GetSettingsRequest { node: 0 }).await.ok();
            let dns = admin.dns_status(DnsStatusRequest {}).await.map(tonic::Response::into_inner).ok();
            let duplicates = admin.duplicates(DuplicatesRequest {}).await.map(tonic::Response::into_inner).ok();
            let hosts = doctor::hosts(&cluster, dns.as_ref());
            let silent = doctor::unreachable(hosts).await;
            let settings = settings.map(|settings| settings.into_inner().settings).unwrap_or_default();
            Ok::<_, Failure>(Found { cluster, examined, keys, counts, settings, duplicates, dns, silent })
        });
        progress.finish_and_clear();
        tell(&doctor::all(&found?), output)
    }
}

fn tell(checks: &[Check], output: &Output) -> CommandResult {
    output.result(&json!({ "checks": checks.iter().map(check_json).collect::<Vec<_>>() }), Text(checks));
    let worst = checks.iter().map(|check| check.state).max().unwrap_or(State::Ok);
    Ok(match worst {
        State::Ok => ExitCode::SUCCESS,
        State::Warning => ExitCode::from(4),
        State::Failure => ExitCode::from(1),
    })
}

fn check_json(check: &Check) -> Value {
    let fix = (!check.fix.is_empty()).then_some(&check.fix);
    json!({ "name": check.name, "state": check.state.name(), "finding": check.finding, "fix": fix })
}

struct Text<'a>(&'a [Check]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = table(["", "check", "finding", "what to do"]);
        for Check { name, state, finding, fix } in self.0 {
            rows.add_row([state.name(), name, finding, fix]);
        }
        rows.fmt(f)
    }
}
