//! `quorate host recover`: makes a cluster of one node from that node's state.

use std::{path::PathBuf, process::ExitCode};

use anyhow::anyhow;

use super::configuration::load;
use crate::{
    administration::block_on,
    output::{CommandResult, Output},
};

pub(super) const EXAMPLES: &str = "\
Example, on the node that is left with the most, while it does not run:
  quorate host recover --config node1.toml --accept-loss
  quorate host run --config node1.toml
  quorate cluster add 2=10.0.0.2:1689      with nodes whose data folders are empty

Only where a majority of the voters will never come back: otherwise start them, and nothing is lost. What only the lost nodes
acknowledged is lost. Should they run again, they are another cluster: clients would be counted in two.

Exit: 0 the node can be started; 1 refused, and all is as it was; 2 configuration.";

/// Arguments of `host recover`.
#[derive(Debug, clap::Args)]
pub(crate) struct Recover {
    /// The node's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Accept that entries are lost which only the lost nodes had acknowledged.
    #[arg(long)]
    accept_loss: bool,
}

impl Recover {
    pub(super) fn run(self, output: &Output) -> CommandResult {
        let config = load(&self.config, output)?;
        if !self.accept_loss {
            return Err(anyhow!(
                "node {} would leave its cluster and go on alone: what only the other nodes acknowledged would be lost, and \
                 they must never run again with the data they have. Start them instead, where that is possible; else give \
                 --accept-loss",
                config.node
            )
            .into());
        }
        let begun = block_on(host::rescue::recover(&config))??;
        output.result(
            &serde_json::json!({ "node": config.node, "log_index": begun.log_index, "term": begun.term }),
            format_args!(
                "Node {} is a cluster of its own, with all up to entry {}. Run it with\n  quorate host run --config {}\n\
                 and never start the other nodes again before their data folders are emptied.",
                config.node,
                begun.log_index,
                self.config.display()
            ),
        );
        Ok(ExitCode::SUCCESS)
    }
}
