//! `quorate host recover`: makes a cluster of one node from that node's state.

use std::{path::PathBuf, process::ExitCode};

use anyhow::anyhow;

use super::configuration::load;
use crate::{
    administration::block_on,
    output::{CommandResult, Output},
};

pub(super) const EXAMPLES: &str = "\
Example, on the remaining node with the highest log index, while it does not run:
  quorate host recover --config node1.toml --accept-loss
  quorate host run --config node1.toml
  quorate cluster add 2=10.0.0.2:1689      with nodes whose data folders are empty

Use this only if a majority of the voters never comes back: otherwise start them, and nothing is lost. Entries that
only the lost nodes acknowledged are lost. If those nodes run again, they are a second cluster, and clients are
counted in both.

Exit: 0 the node can be started; 1 refused, nothing was changed; 2 configuration.";

/// Arguments of `host recover`.
#[derive(Debug, clap::Args)]
pub(crate) struct Recover {
    /// The node's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Accept the loss of entries that only the lost nodes had acknowledged.
    #[arg(long)]
    accept_loss: bool,
}

impl Recover {
    pub(super) fn run(self, output: &Output) -> CommandResult {
        let config = load(&self.config, output)?;
        if !self.accept_loss {
            return Err(anyhow!(
                "recovering node {} makes it a new cluster with one node: entries that only the other nodes \
                 acknowledged are lost, and those nodes must never run again with their data. Start the other nodes \
                 instead if that is possible; otherwise give --accept-loss",
                config.node
            )
            .into());
        }
        let begun = block_on(host::rescue::recover(&config))??;
        output.result(
            &serde_json::json!({ "node": config.node, "log_index": begun.log_index, "term": begun.term }),
            format_args!(
                "Node {} is now a cluster with one node, with all entries up to {}. Start it with\n  quorate host run \
                 --config {}\n\
                 Do not start the other nodes again before their data folders are empty.",
                config.node,
                begun.log_index,
                self.config.display()
            ),
        );
        Ok(ExitCode::SUCCESS)
    }
}
