//! `quorate publisher direct-key ...`: keys that activate single machines, without a host (R24).

use publisher::{DirectKeyReport, Operation, Report};
use serde_json::json;

use admin::time_text;

use super::{
    folder::{Folder, KeyArgs, blocked_cell},
    operations::unexpected,
};
use crate::output::{Failure, Output, table};

const ISSUE_EXAMPLES: &str = "\
Example:
  quorate publisher direct-key issue --dir P --product suite-standard-1 --activations 50

For machines that can reach no host: each uses one activation, from the publisher's service
(`quorate publisher serve`).";

/// Commands for direct keys.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Issue a direct key for a product of the catalog. Only this command shows the key in full.
    #[command(after_help = ISSUE_EXAMPLES)]
    Issue {
        #[command(flatten)]
        folder: Folder,
        /// The product that the key activates.
        #[arg(long)]
        product: String,
        /// How many machines the key activates.
        #[arg(long)]
        activations: u32,
    },
    /// List the direct keys, and how many activations each has used.
    #[command(after_help = "Example:\n  quorate publisher direct-key list --dir P --json")]
    List {
        #[command(flatten)]
        folder: Folder,
    },
    /// Show one direct key.
    #[command(after_help = "Example:\n  quorate publisher direct-key show --dir P 0123456789abcdef")]
    Show(KeyArgs),
    /// Block a direct key, so that it activates no more machines. Machines that it activated stay activated.
    #[command(after_help = "Example:\n  quorate publisher direct-key block --dir P 0123456789abcdef")]
    Block(KeyArgs),
}

impl Command {
    pub(super) fn run(self, output: &Output) -> Result<(), Failure> {
        let report = match self {
            Self::Issue { folder, product, activations } => {
                folder.perform(Operation::IssueDirectKey { product, activations })
            }
            Self::List { folder } => folder.perform(Operation::ListDirectKeys),
            Self::Show(KeyArgs { folder, id }) => folder.perform(Operation::ShowDirectKey { id }),
            Self::Block(KeyArgs { folder, id }) => folder.perform(Operation::BlockDirectKey { id }),
        }?;
        match report {
            Report::DirectKeyIssued(key) => output.result(
                &json!({
                    "key": key.key,
                    "key_id": key.key_id,
                    "product": key.product,
                    "activations": key.activations,
                }),
                format_args!(
                    "{}\nkey id {}, for {} machines with {}",
                    key.key, key.key_id, key.activations, key.product
                ),
            ),
            Report::DirectKeys(keys) => output.result(&json!({ "keys": keys }), list(&keys)),
            Report::DirectKey(key) => output.result(&key, list(std::slice::from_ref(&key))),
            other => return Err(unexpected(&other)),
        }
        Ok(())
    }
}

fn list(keys: &[DirectKeyReport]) -> comfy_table::Table {
    let mut text = table(["Key id", "Key", "Product", "Activations", "Issued", ""]);
    for key in keys {
        text.add_row([
            key.key_id.clone(),
            key.key.clone(),
            key.product.clone(),
            format!("{} of {}", key.used, key.activations),
            time_text::date(key.issued_ms),
            blocked_cell(key.blocked),
        ]);
    }
    text
}
