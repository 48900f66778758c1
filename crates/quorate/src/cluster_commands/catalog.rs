//! `quorate catalog ...`: the publishers' catalogs on the cluster.

use std::{path::PathBuf, process::ExitCode};

use activation::{catalog::SignedCatalog, id::Fingerprint};
use anyhow::Context;
use api::admin::v1::{InstallCatalogRequest, ShowCatalogsRequest};
use serde_json::json;

use crate::{
    administration::AdminArgs,
    output::{CommandResult, Failure, Output, catalog_text},
};

const INSTALL_EXAMPLES: &str = "\
Example:
  quorate catalog install example.catalog --trust 5f3c-...   the fingerprint is printed by `quorate publisher init`";

/// Commands for the publishers' signed catalogs on this cluster.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Install a signed catalog, or a newer one of the same publisher, on the whole cluster.
    #[command(after_help = INSTALL_EXAMPLES)]
    Install {
        /// The signed catalog, from `quorate publisher catalog sign`.
        file: PathBuf,
        /// The publisher's fingerprint, obtained from the publisher and not from the file.
        #[arg(long, value_name = "FINGERPRINT")]
        trust: String,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Show the installed catalogs.
    Show {
        #[command(flatten)]
        admin: AdminArgs,
    },
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(self, output: &Output) -> CommandResult {
        match self {
            Self::Install { file, trust, admin } => install(&file, trust, &admin, output)?,
            Self::Show { admin } => show(&admin, output)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn install(file: &std::path::Path, trust: String, admin: &AdminArgs, output: &Output) -> Result<(), Failure> {
    trust.parse::<Fingerprint>().map_err(Failure::usage)?;
    let signed =
        std::fs::read(file).with_context(|| format!("cannot read {}", file.display())).map_err(Failure::usage)?;
    SignedCatalog::open(&signed).with_context(|| format!("{}", file.display()))?;
    let request = InstallCatalogRequest { signed_catalog: signed.into(), trust };
    let reply = admin.ask(async |admin| admin.install_catalog(request).await)?;
    output.result(
        &json!({ "publisher": reply.publisher, "publisher_id": reply.publisher_id, "serial": reply.serial }),
        format_args!("Catalog {} of publisher {} is installed on the cluster.", reply.serial, reply.publisher),
    );
    Ok(())
}

fn show(admin: &AdminArgs, output: &Output) -> Result<(), Failure> {
    let reply = admin.ask(async |admin| admin.show_catalogs(ShowCatalogsRequest {}).await)?;
    let mut catalogs = Vec::new();
    let mut texts = Vec::new();
    for signed in &reply.signed_catalogs {
        let opened =
            SignedCatalog::open(signed).context("the signature of the catalog that the node sent is not valid")?;
        let (catalog, fingerprint) = (&opened.catalog, Fingerprint(opened.publisher));
        catalogs.push(catalog_text::json(catalog, Some(fingerprint)));
        let (name, serial) = (catalog.publisher_name(), catalog.serial());
        texts.push(format!("{name} ({fingerprint}), serial {serial}\n\n{}", catalog_text::text(catalog)));
    }
    if texts.is_empty() {
        texts.push(
            "No catalog is installed. Install one with `quorate catalog install FILE --trust FINGERPRINT`.".into(),
        );
    }
    output.result(&json!({ "catalogs": catalogs }), texts.join("\n\n"));
    Ok(())
}
