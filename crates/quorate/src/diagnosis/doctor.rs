//! `quorate doctor`: checks the cluster, or a client machine's connection to it, and names the command that corrects
//! each problem.

use std::{fmt, process::ExitCode};

use admin::{
    Finding, Verdict,
    cluster::{self, ClusterObservation, UnreachablePort, client_endpoints},
};
use anyhow::anyhow;
use api::admin::v1::{
    ClusterStatusRequest, CountRequest, DnsStatusRequest, DuplicatesRequest, ExamineRequest, GetSettingsRequest,
    ListKeysRequest,
};
use serde_json::{Value, json};

use super::client_doctor;
use crate::{
    administration::{AdminArgs, refused},
    output::{CommandResult, Failure, Output, table},
};

const EXAMPLES: &str = "\
Examples:
  quorate doctor                        on a node
  quorate doctor --admin lab --json     over the network; the role reader is enough
  quorate doctor --client               on a client machine, without rights on the cluster
  quorate doctor --client --domain example.com --state DIR

Queries every node, and connects from here to every client port and every name in DNS. With --client: checks whether
DNS names hosts, whether they answer from here, and the state of the machine in DIR. This sends no activation request.

Exit: 0 all checks passed; 1 a check failed, or the next failure would interrupt service; 4 there are warnings, or
checks that could not be evaluated (unknown).";

/// Check the cluster, and show how to correct each problem.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Command {
    #[command(flatten)]
    admin: AdminArgs,
    /// Check from a client machine, with a client's rights.
    #[arg(long)]
    client: bool,
    #[command(flatten)]
    machine: client_doctor::Args,
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(self, output: &Output) -> CommandResult {
        if self.client {
            return tell(&admin::client::check(&self.machine.observe()?), output);
        }
        if self.machine.is_given() {
            return Err(Failure::usage(anyhow!("--host, --state and the DNS options need --client")));
        }
        let progress = output.spinner("querying every node");
        let observation = self.admin.run(async |mut admin| {
            let status = admin.cluster_status(ClusterStatusRequest {}).await.map_err(refused)?.into_inner();
            let machines = admin.examine(ExamineRequest {}).await.map_err(refused)?.into_inner().nodes;
            // Both calls need a leader. Without one they fail, and the check of the cluster's state reports the
            // reason.
            let keys = admin.list_keys(ListKeysRequest {}).await.map(tonic::Response::into_inner).ok();
            let counts = admin.count(CountRequest::default()).await.map(tonic::Response::into_inner).ok();
            let settings = admin.get_settings(GetSettingsRequest { node: 0 }).await.ok();
            let dns = admin.dns_status(DnsStatusRequest {}).await.map(tonic::Response::into_inner).ok();
            let duplicates = admin.duplicates(DuplicatesRequest {}).await.map(tonic::Response::into_inner).ok();
            let unreachable = transport::unreachable_ports(client_endpoints(&status, dns.as_ref())).await;
            let unreachable = unreachable.into_iter().map(|(port, why)| UnreachablePort::new(port, why)).collect();
            let settings = settings.map(|settings| settings.into_inner().settings).unwrap_or_default();
            Ok::<_, Failure>(ClusterObservation {
                status,
                machines,
                keys,
                counts,
                settings,
                duplicates,
                dns,
                unreachable: Some(unreachable),
            })
        });
        progress.finish_and_clear();
        tell(&cluster::check(&observation?), output)
    }
}

fn tell(findings: &[Finding], output: &Output) -> CommandResult {
    output.result(&json!({ "checks": findings.iter().map(to_json).collect::<Vec<_>>() }), Text(findings));
    let worst = findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok);
    Ok(match worst {
        Verdict::Ok => ExitCode::SUCCESS,
        Verdict::Unknown | Verdict::Warning => ExitCode::from(4),
        Verdict::Failure => ExitCode::from(1),
    })
}

fn to_json(finding: &Finding) -> Value {
    let fix = (!finding.remedy.is_empty()).then_some(finding.remedy.text());
    json!({ "name": finding.check, "state": finding.verdict.name(), "finding": finding.text, "fix": fix })
}

struct Text<'a>(&'a [Finding]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = table(["", "check", "finding", "remedy"]);
        for Finding { check, verdict, text, remedy } in self.0 {
            rows.add_row([verdict.name(), check, text, remedy.text()]);
        }
        rows.fmt(f)
    }
}
