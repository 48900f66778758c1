//! `quorate cluster authority`: replaces the authority that certifies nodes and persons.

use api::admin::v1::RotateAuthorityRequest;
use serde_json::json;

use crate::{
    administration::AdminArgs,
    output::{Failure, Output},
};

const EXAMPLES: &str = "\
Examples:
  quorate cluster authority rotate                while the cluster serves; the old one is accepted 30 more days
  quorate cluster authority rotate --now          after its key was disclosed: the previous one is rejected at once
  quorate cluster authority rotate --lost         no node has the private key any more; only over a node's Unix socket

Registered keys stay valid: new certificates are issued for them. A node that is down meanwhile gets its
certificate when it starts. Tokens that were issued before and not used become invalid.";

/// Commands for the cluster's authority.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Authority {
    /// Replace the authority by a new one.
    #[command(after_help = EXAMPLES)]
    Rotate {
        /// Stop accepting certificates of the previous authority at once.
        #[arg(long)]
        now: bool,
        /// Rotate although no node has the authority's private key any more.
        #[arg(long)]
        lost: bool,
        #[command(flatten)]
        admin: AdminArgs,
    },
}

impl Authority {
    pub(super) fn run(self, output: &Output) -> Result<(), Failure> {
        let Self::Rotate { now, lost, admin } = self;
        let asked = RotateAuthorityRequest { now, lost };
        let fingerprint = admin.ask(async |admin| admin.rotate_authority(asked).await)?.fingerprint;
        output.result(
            &json!({ "fingerprint": fingerprint }),
            format_args!(
                "The cluster has a new authority, with the fingerprint\n  {fingerprint}\nNew certificates are issued \
                 for the nodes."
            ),
        );
        Ok(())
    }
}
