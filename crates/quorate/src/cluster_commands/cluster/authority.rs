//! `quorate cluster authority`: replaces the authority that certifies nodes and persons.

use api::admin::v1::RotateAuthorityRequest;
use serde_json::json;

use crate::{
    administration::AdminArgs,
    output::{Failure, Output},
};

const EXAMPLES: &str = "\
Examples:
  quorate cluster authority rotate                while the cluster serves; the one before is believed for 30 days more
  quorate cluster authority rotate --now          after its key got into other hands: it is believed no more
  quorate cluster authority rotate --lost         no node has the key any more; on a node's own socket

Keys and their registrations stay: certificates are issued anew for them. A node that is off meanwhile
follows when it comes back. Tokens that were given out before and not used are good no more.";

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
                "The cluster has another authority, with the fingerprint\n  {fingerprint}\nThe nodes' certificates are issued anew."
            ),
        );
        Ok(())
    }
}
