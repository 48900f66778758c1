//! `quorate cluster backup` and `quorate cluster restore`.

use std::path::PathBuf;

use anyhow::anyhow;
use api::admin::v1::BackupRequest;
use serde_json::json;

use crate::{
    administration::{AdminArgs, block_on, refused},
    host_command::configuration,
    output::{
        Failure, Output,
        new_file::{ForceArgs, NewFile, Readers},
    },
};

pub(super) const EXAMPLES: &str = "\
Example:
  quorate cluster backup monday.backup

Works on any node, while the cluster serves. The file holds the state after one log entry: counts, keys, certificates,
catalogs and settings. It holds no private keys, but it holds host keys: only its owner may read it.";

pub(super) const RESTORE_EXAMPLES: &str = "\
Example, on a machine whose data folder holds no store:
  quorate cluster restore monday.backup --config node1.toml
  quorate host run --config node1.toml
  quorate key activate --node 1            the new machine needs an activation; then `cluster add` the other nodes

The backup has the state at the time it was made: later requests are counted when machines renew. Exit: 0 the node can
be started; 1 refused, the data folder is unchanged; 2 configuration.";

/// Arguments of `cluster backup`.
#[derive(Debug, clap::Args)]
pub(crate) struct Backup {
    /// The backup file to write.
    file: PathBuf,
    #[command(flatten)]
    force: ForceArgs,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Arguments of `cluster restore`.
#[derive(Debug, clap::Args)]
pub(crate) struct Restore {
    /// The backup file.
    file: PathBuf,
    /// The configuration of the first node of the new cluster.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl Backup {
    pub(super) fn run(self, output: &Output) -> Result<(), Failure> {
        let file = NewFile::at(&self.file, self.force)?;
        let progress = output.spinner("receiving the backup");
        let content = self.admin.run(async |mut admin| {
            let mut parts = admin.backup(BackupRequest {}).await.map_err(refused)?.into_inner();
            let mut content = Vec::new();
            while let Some(part) = parts.message().await.map_err(refused)? {
                content.extend_from_slice(&part.part);
            }
            Ok(content)
        });
        progress.finish_and_clear();
        let content = content?;
        let backup =
            replication::Backup::read(&content).map_err(|error| anyhow!("the node sent an invalid backup: {error}"))?;
        file.write(&content, Readers::Owner)?;
        let (index, bytes) = (backup.log_index(), content.len());
        output.result(
            &json!({ "backup": self.file.display().to_string(), "log_index": index, "bytes": bytes }),
            format_args!("{} holds the state after log entry {index} ({bytes} bytes).", self.file.display()),
        );
        Ok(())
    }
}

impl Restore {
    pub(super) fn run(self, output: &Output) -> Result<(), Failure> {
        let config = configuration::load(&self.config, output)?;
        let begun = block_on(host::rescue::restore(&config, &self.file))??;
        let file = self.config.display();
        output.result(
            &json!({ "node": config.node, "log_index": begun.log_index }),
            format_args!(
                "Node {} has the state after log entry {}, as a new cluster with one node. Start it with\n  quorate \
                 host run --config {file}\nThen activate it (`quorate key activate --node {}`), and add the other \
                 nodes (`quorate cluster add`).",
                config.node, begun.log_index, config.node
            ),
        );
        Ok(())
    }
}
