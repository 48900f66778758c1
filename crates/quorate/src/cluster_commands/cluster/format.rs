//! `quorate cluster format`: shows and sets the format that the nodes write.

use std::time::Duration;

use anyhow::anyhow;
use api::admin::v1::{ClusterStatusReply, SetFormatRequest};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::status::{PAUSE, status};
use crate::{
    administration::{Admin, AdminArgs, refused},
    output::{Failure, Output, table},
};

pub(super) const EXAMPLES: &str = "\
Examples:
  quorate cluster format             which format is written, and which formats each node reads
  quorate cluster format set 2       after the last node was upgraded
  quorate cluster format set 1       before the first node is downgraded: returns when every disk is ready for it

A version reads two formats and writes the one that is set here: an upgrade can be undone node by node
until a newer format is set. The format never changes by itself. An older format drops what it cannot hold.

Exit: 0 done; 1 refused, because a member does not answer or its version does not read the format.";

/// How long the nodes may take to rewrite their disks in a format that an older version reads.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Arguments of `cluster format`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Format {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Changes to the format.
#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make the nodes write this format from now on.
    Set {
        /// Number of the format.
        #[arg(value_name = "FORMAT")]
        format: u32,
        #[command(flatten)]
        admin: AdminArgs,
    },
}

impl Format {
    pub(super) fn run(self, output: &Output) -> Result<(), Failure> {
        let Some(Action::Set { format, admin }) = self.action else {
            let status = self.admin.run(async |mut admin| status(&mut admin).await)?;
            output.result(&shown_json(&status), shown_text(&status));
            return Ok(());
        };
        let status = admin.run(async |mut admin| {
            admin.set_format(SetFormatRequest { format }).await.map_err(refused)?;
            let progress = output.spinner("waiting until every node has rewritten its disk");
            let ready = ready(&mut admin, format).await;
            progress.finish_and_clear();
            ready
        })?;
        output.result(&shown_json(&status), format_args!("The cluster writes format {format}."));
        Ok(())
    }
}

/// Waits until every disk holds only what a version can read whose newest format is `format`.
async fn ready(admin: &mut Admin, format: u32) -> Result<ClusterStatusReply, Failure> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let now = status(admin).await?;
        let late: Vec<_> = now
            .nodes
            .iter()
            .filter(|node| !node.reachable || node.stored_format > format)
            .map(|node| node.node)
            .collect();
        if late.is_empty() {
            return Ok(now);
        }
        if Instant::now() >= deadline {
            return Err(anyhow!(
                "format {format} is set, but the disks of nodes {late:?} still hold data of a newer format: do not \
                 start an older version there until `quorate cluster format` shows {format} as their format on disk"
            )
            .into());
        }
        sleep(PAUSE).await;
    }
}

fn shown_json(status: &ClusterStatusReply) -> serde_json::Value {
    let nodes = status.nodes.iter().map(|node| {
        json!({
            "id": node.node,
            "reachable": node.reachable,
            "version": node.version,
            "reads_format": node.newest_format,
            "stored_format": node.stored_format,
        })
    });
    json!({ "format": status.format, "nodes": nodes.collect::<Vec<_>>() })
}

fn shown_text(status: &ClusterStatusReply) -> String {
    let mut rows = table(["node", "version", "reads up to", "format on disk"]);
    for node in &status.nodes {
        let known = |number: u32| if node.reachable { number.to_string() } else { "unknown".into() };
        rows.add_row([
            node.node.to_string(),
            node.version.clone(),
            known(node.newest_format),
            known(node.stored_format),
        ]);
    }
    format!("{rows}\nThe cluster writes format {}.", status.format)
}
