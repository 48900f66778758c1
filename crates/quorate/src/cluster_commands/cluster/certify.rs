//! `quorate cluster certify`: issues a certificate for a node's signing request in a file.

use std::{fmt::Write as _, path::PathBuf};

use anyhow::Context as _;
use api::admin::v1::{CertifyNodeReply, CertifyNodeRequest};
use serde_json::json;
use transport::{SigningRequest, read_private};

use crate::{
    administration::AdminArgs,
    output::{
        Failure, Output,
        new_file::{ForceArgs, NewFile, Readers},
    },
};

pub(super) const EXAMPLES: &str = "\
Examples:
  quorate cluster certify node4.csr --out node4.pem        the file that `quorate host init --request` wrote
  quorate host init --config node4.toml --certificate node4.pem      then, on the new node
  quorate cluster add 4=10.0.0.4:1689                      last, when `quorate host run` runs there

The certificate gives no access before the node is added. Neither file contains a secret.";

/// Arguments of `cluster certify`.
#[derive(Debug, clap::Args)]
pub(crate) struct Certify {
    /// The node's signing request.
    #[arg(value_name = "FILE")]
    request: PathBuf,
    /// The file to write, with the node's certificate and the authority's; without it, they are printed.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    force: ForceArgs,
    #[command(flatten)]
    admin: AdminArgs,
}

impl Certify {
    pub(super) fn run(self, output: &Output) -> Result<(), Failure> {
        let shown = self.request.display().to_string();
        let request = read_private(&self.request).map_err(anyhow::Error::from)?;
        let request = SigningRequest::der_of(&request).with_context(|| format!("{shown} cannot be used"))?;
        let file = self.out.as_deref().map(|out| NewFile::at(out, self.force)).transpose()?;
        let asked = CertifyNodeRequest { request: request.into() };
        let reply = self.admin.ask(async |admin| admin.certify_node(asked.clone()).await)?;
        let answer = answer(&reply);
        let members = reply.members.iter().map(|member| json!({ "node": member.node, "address": member.address }));
        let members: Vec<_> = members.collect();
        let (Some(file), Some(out)) = (file, &self.out) else {
            let json = json!({ "node": reply.node, "members": members, "certificate": answer });
            output.result(&json, answer.trim_end());
            return Ok(());
        };
        file.write(answer.as_bytes(), Readers::Umask)?;
        let out = out.display();
        output.result(
            &json!({ "node": reply.node, "members": members, "file": out.to_string() }),
            format_args!(
                "{out} is the certificate of node {0}. Copy it to that node, and run there\n  quorate host init \
                 --config FILE --certificate {out}\nThen start the node, and add it with\n  \
                 quorate cluster add {0}=HOST:PORT",
                reply.node
            ),
        );
        Ok(())
    }
}

/// The node's certificate and the authority's in PEM, with a heading and the members as text.
fn answer(reply: &CertifyNodeReply) -> String {
    let mut text = format!("Certificates of node {} and of the cluster's authority.\n", reply.node);
    for member in &reply.members {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "Member: node {} at {}", member.node, member.address);
    }
    text + &reply.certificate + &reply.authority
}
