//! Joining by file, for a node that cannot reach port 1690 of the other nodes: the file with its signing request, and
//! the file with the issued certificate.

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
    /// Join by file: create the node's key, and write a signing request for `quorate cluster certify` to this file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["join", "certificate", "renew_identity"])]
    pub(super) request: Option<PathBuf>,
    /// Store the certificate that `quorate cluster certify` issued for this node, whose configuration exists.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["join", "renew_identity"])]
    pub(super) certificate: Option<PathBuf>,
}

/// Writes the signing request. Returns the next commands for the user.
pub(super) fn request(config: &Config, file: &Path, config_file: &str) -> Result<String, Failure> {
    let shown = file.display();
    if config.tls.authority.is_some() {
        return Err(Failure::usage(anyhow!(
            "--request cannot be used with tls.authority: your organisation's authority issues this node's certificate"
        )));
    }
    // Before the key is created.
    if file.exists() {
        return Err(anyhow!("cannot write {shown}: it exists already; choose another name").into());
    }
    let request = identity::request(config).context("cannot create the signing request")?;
    write_new(file, request.as_bytes()).with_context(|| format!("cannot write {shown}"))?;
    Ok(format!(
        "Copy {shown} to a node of the cluster, and run there\n  quorate cluster certify {shown} --out {0}.pem\nThen \
         copy {0}.pem to this machine, and run\n  quorate host init --config {config_file} --certificate {0}.pem",
        Path::new(&file).with_extension("").display()
    ))
}

/// Stores the certificate that the cluster issued for the request. Returns the next commands for the user.
pub(super) fn complete(config: &Config, file: &Path, config_file: &str) -> Result<String, Failure> {
    let shown = file.display();
    let answer = read_private(file).map_err(anyhow::Error::from)?;
    let answer = std::str::from_utf8(&answer).with_context(|| format!("{shown} is not a text file"))?;
    identity::take_in_answer(config, answer).with_context(|| format!("cannot use {shown}"))?;
    Ok(format!(
        "Run the node with\n  quorate host run --config {config_file}\nand add it, on a node of the cluster, with\n  \
         quorate cluster add {}=HOST:PORT",
        config.node
    ))
}

/// Writes a file that only its owner can read. An existing file is not changed.
fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}
