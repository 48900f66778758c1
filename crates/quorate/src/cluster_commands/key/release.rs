//! `quorate key release`: gives a node's activation slot back, and informs the publisher.

use std::{collections::BTreeSet, path::PathBuf, process::ExitCode};

use anyhow::anyhow;
use api::admin::v1::{ListKeysRequest, ReleaseActivationRequest, RequestActivationRequest};

use super::exchange::{self, PublisherArgs, RequestFile, RequestTarget};
use crate::{
    administration::{Admin, AdminArgs, refused},
    output::{CommandResult, Failure, Output, confirm::confirm},
};

pub(super) const EXAMPLES: &str = "\
Examples:
  quorate key release --node 3 --publisher activation.example.test:1691
  quorate key release --node 3 --offline release.bin          for `quorate publisher activate`, like a request

The node signs the release of its activation slot and destroys its private key. If the publisher could not be reached,
run the same command again to inform it.";

/// Arguments of `key release`.
#[derive(Debug, clap::Args)]
#[group(id = "release-way", required = true, multiple = false, args = ["address", "offline"])]
pub(crate) struct Release {
    /// Number of the node.
    #[arg(long, value_name = "NODE")]
    node: u64,
    /// Release only the slot of this key (its id).
    #[arg(long, value_name = "KEY_ID", default_value = "", hide_default_value = true)]
    key: String,
    #[command(flatten)]
    publisher: PublisherArgs,
    /// Write the release notice to the publisher into this file; `-` for none, with --text or --qr.
    #[arg(long, value_name = "FILE")]
    offline: Option<PathBuf>,
    #[command(flatten)]
    file: RequestFile,
    /// Do not ask for confirmation.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// The activation slots before the release.
struct Slots {
    /// Whether the node is activated with the key, or with one of its keys.
    are_held: bool,
    /// Publishers of the slots that are held, or given back without the publisher's confirmation so far.
    publishers: BTreeSet<String>,
}

impl Release {
    /// The command with `--node NODE --publisher ADDRESS --yes`.
    pub(crate) fn online(node: u64, address: String, admin: AdminArgs) -> Self {
        Self {
            node,
            key: String::new(),
            publisher: PublisherArgs::at(address),
            offline: None,
            file: RequestFile::default(),
            yes: true,
            admin,
        }
    }

    pub(crate) fn run(self, output: &Output) -> CommandResult {
        let target = self.file.target(self.offline.as_deref())?;
        if !self.yes {
            confirm(
                &format!(
                    "Node {} will answer no requests with this key until it is activated again. Release its activation \
                     slot? [y/N] ",
                    self.node
                ),
                "--yes",
            )?;
        }
        self.admin.run(async |mut admin| self.release(&mut admin, target, output).await)?;
        Ok(ExitCode::SUCCESS)
    }

    async fn release(&self, admin: &mut Admin, target: Option<RequestTarget>, output: &Output) -> Result<(), Failure> {
        let places = self.places(admin).await?;
        let publisher = match places.publishers.iter().collect::<Vec<_>>().as_slice() {
            [] => {
                return Err(anyhow!(
                    "node {} has no such activation slot: `quorate key list` shows the slots",
                    self.node
                )
                .into());
            }
            [publisher] => (*publisher).clone(),
            [..] => {
                return Err(anyhow!(
                    "node {} is activated by several publishers: name one key with --key KEY_ID",
                    self.node
                )
                .into());
            }
        };
        if places.are_held {
            let request = ReleaseActivationRequest { node: self.node, key_id: self.key.clone() };
            admin.release_activation(request).await.map_err(refused)?;
        }
        let wanted = RequestActivationRequest { publisher, releases_only: true, ..RequestActivationRequest::default() };
        match (&self.publisher.address, target) {
            (Some(address), _) => exchange::online(admin, &self.publisher, address, (wanted, true), output).await,
            (None, Some(target)) => exchange::write_request(admin, target, (wanted, true), output).await,
            (None, None) => {
                Err(Failure::usage(anyhow!("choose how to inform the publisher: give --publisher or --offline")))
            }
        }
    }

    async fn places(&self, admin: &mut Admin) -> Result<Slots, Failure> {
        let reply = admin.list_keys(ListKeysRequest {}).await.map_err(refused)?.into_inner();
        let is_meant = |key: &str| self.key.is_empty() || self.key.eq_ignore_ascii_case(key);
        let keys = reply.keys.into_iter().filter(|key| is_meant(&key.key_id));
        let held = keys.filter(|key| {
            key.activations.iter().any(|place| place.node == self.node && place.reactivations_left.is_some())
        });
        let mut publishers: BTreeSet<_> = held.map(|key| key.publisher_id).collect();
        let are_held = !publishers.is_empty();
        if !are_held {
            let pending = reply.pending_releases.into_iter();
            let pending = pending.filter(|place| place.node == self.node && is_meant(&place.key_id));
            publishers.extend(pending.map(|place| place.publisher_id));
        }
        Ok(Slots { are_held, publishers })
    }
}
