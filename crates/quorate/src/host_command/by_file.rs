//! Files with which a node gets its certificate where it does not reach port 1690 of the others: its signing request,
//! and the cluster's answer.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};
use host::{Config, identity};
use transport::read_private;

use crate::output::Failure;

/// `--request` and `--certificate` of `host init`.
#[derive(Debug, clap::Args)]
pub(super) struct ByFile {
    /// Join by file: make the node's key, and write a request for a certificate, for `quorate cluster certify`.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["join", "certificate", "renew_identity"])]
    pub(super) request: Option<PathBuf>,
    /// Take the certificate that `quorate cluster certify` wrote for the request of this node, whose configuration exists.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["join", "renew_identity"])]
    pub(super) certificate: Option<PathBuf>,
}

/// Writes the request for a certificate. Returns what comes next.
pub(super) fn request(config: &Config, file: &Path, config_file: &str) -> Result<String, Failure> {
    let shown = file.display();
    if config.tls.authority.is_some() {
        return Err(Failure::usage(anyhow!(
            "--request: this node uses your organisation's authority (tls.authority), which certifies it"
        )));
    }
    // Before a key is made for it.
    if file.exists() {
        return Err(anyhow!("cannot write {shown}: it is there already").into());
    }
    let request = identity::request(config).context("no request was made")?;
    write_new(file, request.as_bytes()).with_context(|| format!("cannot write {shown}"))?;
    Ok(format!(
        "Take {shown} to a node of the cluster, and have it certified there with\n  quorate cluster certify {shown} --out {0}.pem\nThen, \
         here, with that file\n  quorate host init --config {config_file} --certificate {0}.pem",
        Path::new(&file).with_extension("").display()
    ))
}

/// Takes the certificate that the cluster issued for the request. Returns what comes next.
pub(super) fn complete(config: &Config, file: &Path, config_file: &str) -> Result<String, Failure> {
    let shown = file.display();
    let answer = read_private(file).map_err(anyhow::Error::from)?;
    let answer = std::str::from_utf8(&answer).with_context(|| format!("{shown} is no text"))?;
    identity::take_in_answer(config, answer).with_context(|| format!("{shown} was not taken"))?;
    Ok(format!(
        "Run the node with\n  quorate host run --config {config_file}\nand let it in, on a node of the cluster, with\n  quorate \
         cluster add {}=HOST:PORT",
        config.node
    ))
}

/// Writes a file for its owner alone. An existing file is not changed.
fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}
