//! `quorate publisher activate`: requests in, certificates out.

use std::path::PathBuf;

use activation::host_activation::{ActivationRequests, FILE_BYTES_MAX};
use anyhow::Context;
use publisher::{ActivateError, Signing};
use serde_json::json;
use storage::durable::replace_file;

use super::{Folder, passphrase::PassphraseArgs, read_bounded, wait_for};
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
        let bytes = read_bounded(&self.request, FILE_BYTES_MAX)?;
        let requests = ActivationRequests::decode(&bytes)
            .with_context(|| self.request.display().to_string())
            .map_err(Failure::usage)?;
        let publisher = self.folder.open_to_sign(Signing::Certificates, &self.passphrase)?;
        let answers = wait_for(publisher.activate(&requests))?.map_err(explain)?;
        replace_file(&self.out, &answers.encode()).with_context(|| format!("cannot write {}", self.out.display()))?;
        let mut text = table(["Node", "Key", "Certificate"]);
        let mut activated = Vec::new();
        for answer in &answers.answers().answers {
            let (node, key, certificate) = (answer.node, answer.certificate.key, answer.certificate.id());
            text.add_row([node.to_string(), key.to_string(), certificate.to_string()]);
            activated.push(json!({
                "node": node,
                "key_id": key.to_string(),
                "certificate": certificate.to_string(),
            }));
        }
        output.result(
            &json!({
                "publisher": answers.answers().publisher.to_string(),
                "answer": self.out.display().to_string(),
                "activated": activated,
            }),
            format_args!("{text}\nThe answer is in {}.", self.out.display()),
        );
        Ok(())
    }
}

/// Adds the next step to a refusal.
fn explain(error: ActivateError) -> Failure {
    let advice = match &error {
        ActivateError::Refused(refusals) => refusals.0.first().map(|refusal| refusal.reason.status().advice()),
        _ => None,
    };
    match advice {
        Some(advice) => anyhow::anyhow!("{error}\n{advice}").into(),
        None => error.into(),
    }
}
