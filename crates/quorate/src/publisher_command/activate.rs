//! `quorate publisher activate`: requests in, certificates out.

use std::path::PathBuf;

use activation::host_activation::{ActivationRequests, FILE_BYTES_MAX};
use anyhow::Context;
use publisher::{Operation, Report, Signing};
use serde_json::json;
use storage::durable::replace_file;

use super::{Folder, desk::unexpected, passphrase::PassphraseArgs, read_bounded};
use crate::output::{Failure, Output, table};

pub(super) const EXAMPLES: &str = "\
Example, with a file that `quorate key activate --offline request.bin` wrote on the cluster:
  quorate publisher activate --dir P --request request.bin --out answer.bin
  quorate key activate --answer answer.bin          on the cluster again

A file with a refused node gives no answer and spends nothing. The same file again gives the same answer, free of charge.";

/// Requests in, certificates out.
#[derive(Debug, clap::Args)]
pub(crate) struct Activate {
    #[command(flatten)]
    folder: Folder,
    /// What the cluster asks.
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    /// Where the answer is written.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

impl Activate {
    pub(super) fn run(&self, output: &Output) -> Result<(), Failure> {
        let requests = read_bounded(&self.request, FILE_BYTES_MAX)?;
        let decoded = ActivationRequests::decode(&requests);
        decoded.with_context(|| self.request.display().to_string()).map_err(Failure::usage)?;
        let operation = Operation::Activate { requests };
        let report = match self.folder.sign(operation, Signing::Certificates, &self.passphrase)? {
            Report::Activated(report) => report,
            other => return Err(unexpected(&other)),
        };
        replace_file(&self.out, &report.answers).with_context(|| format!("cannot write {}", self.out.display()))?;
        let mut text = table(["Node", "Key", "Certificate", "Re-activations left"]);
        for node in &report.activated {
            let left = node.reactivations_left.to_string();
            text.add_row([node.node.to_string(), node.key_id.clone(), node.certificate.clone(), left]);
        }
        for node in &report.released {
            text.add_row([node.node.to_string(), node.key_id.clone(), "gave its place back".into(), String::new()]);
        }
        output.result(
            &json!({
                "publisher": report.publisher,
                "answer": self.out.display().to_string(),
                "activated": report.activated,
                "released": report.released,
            }),
            format_args!("{text}\nThe answer is in {}.", self.out.display()),
        );
        Ok(())
    }
}
