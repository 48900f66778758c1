//! `quorate publisher activate`: turns a file of requests into a file of answers with certificates.

use std::path::PathBuf;

use activation::{
    host_activation::{ActivationRequests, SignedAnswers},
    phone_text::PhoneTextKind,
};
use anyhow::{Context, anyhow};
use publisher::{Operation, Report, Signing};
use serde_json::json;

use super::{folder::Folder, operations::unexpected, passphrase::PassphraseArgs};
use crate::output::{
    Failure, Output,
    new_file::{ForceArgs, NewFile, Readers},
    phone_text::{self, DASH, PhoneTextArgs},
    table,
};

pub(super) const EXAMPLES: &str = "\
Example, with a file that `quorate key activate --offline request.bin` wrote on the cluster:
  quorate publisher activate --dir P --request request.bin --out answer.bin
  quorate key activate --answer answer.bin          on the cluster again

By telephone, with phone text that is typed (end with Ctrl-D) and read out:
  quorate publisher activate --dir P --request - --out - --text

If one node of the file is refused, there is no answer and nothing is spent. The same file again gives the same answer
and spends nothing, while its nodes hold their activation slots.";

/// Turn a file of requests into a file of answers with certificates.
#[derive(Debug, clap::Args)]
pub(crate) struct Activate {
    #[command(flatten)]
    folder: Folder,
    /// The cluster's requests: the file, or its lines of text; `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    /// File to which the answer is written; `-` for no file, with --text or --qr.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    force: ForceArgs,
    #[command(flatten)]
    shown: PhoneTextArgs,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

impl Activate {
    pub(super) fn run(&self, output: &Output) -> Result<(), Failure> {
        let is_file = self.out.as_os_str() != DASH;
        if !is_file && !self.shown.is_any() {
            return Err(Failure::usage(anyhow!("with `--out -`, choose how to print the answer: --text or --qr")));
        }
        let file = if is_file { Some(NewFile::at(&self.out, self.force)?) } else { None };
        let requests = phone_text::read(&self.request, PhoneTextKind::Requests)?;
        if SignedAnswers::decode(&requests).is_ok() {
            return Err(Failure::usage(anyhow!(
                "{} is an answer, not a request: install it on its cluster with `quorate key activate --answer {}`",
                self.request.display(),
                self.request.display()
            )));
        }
        let decoded = ActivationRequests::decode(&requests);
        decoded.with_context(|| self.request.display().to_string()).map_err(Failure::usage)?;
        let operation = Operation::Activate { requests };
        let report = match self.folder.sign(operation, Signing::Certificates, &self.passphrase)? {
            Report::Activated(report) => report,
            other => return Err(unexpected(&other)),
        };
        if let Some(file) = file {
            file.write(&report.answers, Readers::Umask)?;
        }
        let (lines, mut fields) = self.shown.show(PhoneTextKind::Answers, &report.answers)?;
        let mut text = table(["Node", "Key", "Certificate", "Reactivations left"]);
        for node in &report.activated {
            let left = node.reactivations_left.to_string();
            text.add_row([node.node.to_string(), node.key_id.clone(), node.certificate.clone(), left]);
        }
        for node in &report.released {
            text.add_row([node.node.to_string(), node.key_id.clone(), "slot released".into(), String::new()]);
        }
        fields.extend([
            ("publisher".into(), json!(report.publisher)),
            ("answer".into(), json!(is_file.then(|| self.out.display().to_string()))),
            ("activated".into(), json!(report.activated)),
            ("released".into(), json!(report.released)),
        ]);
        let where_to = if is_file { format!("\nThe answer is in {}.", self.out.display()) } else { String::new() };
        self.shown.print(output, &fields, &lines, &format!("{text}{where_to}"));
        Ok(())
    }
}
