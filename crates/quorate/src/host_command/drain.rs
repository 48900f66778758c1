//! `quorate host drain`: takes a node out of service, and stops it.

use std::{process::ExitCode, time::Duration};

use anyhow::anyhow;
use api::admin::v1::DrainRequest;
use tokio::time::timeout;

use crate::{
    administration::{AdminArgs, refused},
    arguments::DrainWait,
    output::{CommandResult, Output},
};

pub(super) const EXAMPLES: &str = "\
Examples:
  quorate host drain                 before an upgrade or a shutdown of the machine
  quorate host drain --wait 0        do not wait until cached DNS records expire

The node withdraws its DNS records and keeps answering until cached records expire; then it transfers leadership,
finishes open requests and stops. When it is started again, it is in service again. Refused where the other voters are
no majority.

Exit: 0 it has stopped; 1 refused, it stays in service.";

/// Arguments of `host drain`.
#[derive(Debug, clap::Args)]
pub(crate) struct Drain {
    #[command(flatten)]
    wait: DrainWait,
    /// Drain although the other nodes have no majority, or the node's DNS record cannot be withdrawn.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// How long a node may take to hand leadership over and stop, after the drain wait.
const STOP_TIMEOUT: Duration = Duration::from_secs(120);

impl Drain {
    pub(super) fn run(self, output: &Output) -> CommandResult {
        let request = DrainRequest { force: self.force, wait_s: self.wait.wait, ..DrainRequest::default() };
        let reply = self.admin.run(async |mut admin| {
            let reply = admin.drain(request).await.map_err(refused)?.into_inner();
            drop(admin);
            let progress = output.spinner(&format!(
                "node {} has withdrawn its DNS records; it stops in {} s, when cached records have expired",
                reply.node, reply.wait_s
            ));
            let longest = Duration::from_secs(reply.wait_s.into()) + STOP_TIMEOUT;
            let gone = timeout(longest, self.admin.gone()).await;
            progress.finish_and_clear();
            gone.map_err(|_| {
                anyhow!("node {} has withdrawn its DNS records but did not stop: see its log", reply.node)
            })?;
            Ok(reply)
        })?;
        let withdrawn: Vec<_> = reply.domains.iter().map(|outcome| outcome.domain.as_str()).collect();
        let from = if withdrawn.is_empty() {
            String::new()
        } else {
            format!(" Its records were withdrawn from {}.", withdrawn.join(", "))
        };
        output.result(
            &serde_json::json!({ "node": reply.node, "withdrawn": withdrawn, "waited_s": reply.wait_s, "stopped": true }),
            format_args!("Node {} is drained and has stopped.{from}", reply.node),
        );
        Ok(ExitCode::SUCCESS)
    }
}
