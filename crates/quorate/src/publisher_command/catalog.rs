//! `quorate publisher catalog ...`: checks, signs and shows catalogs.

use std::path::{Path, PathBuf};

use activation::{
    catalog::{Catalog, SignedCatalog},
    id::Fingerprint,
    key::{KeyKind, TypedKey},
    limits::{BLOCKED_MAX, BLOCKED_WARNING, CATALOG_TEXT_BYTES_MAX},
};
use anyhow::{Context, anyhow};
use publisher::{CatalogReport, Operation, Report, Signing};
use serde_json::json;

use super::{
    folder::{Folder, read_bounded},
    operations::unexpected,
    passphrase::PassphraseArgs,
};
use crate::output::{
    Failure, Output, catalog_text,
    new_file::{ForceArgs, NewFile, Readers},
};

const SIGN_EXAMPLES: &str = "\
Example:
  quorate publisher catalog sign --dir P catalog.toml --out catalog.signed
  quorate catalog install catalog.signed --trust FINGERPRINT            on the cluster

Needs P/root.key. The signed catalog also goes into P/trust.toml, from which clients know which keys cover their
products.";

const SETUP_KEY_EXAMPLES: &str = "\
Examples:
  quorate publisher catalog setup-key
  quorate publisher catalog setup-key --count 12

A setup key is public: it is built into installations of its edition and selects volume activation there.";

/// Commands for catalogs.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Check a catalog's source; an error names line, column and the fix.
    Check {
        /// The catalog, in TOML.
        file: PathBuf,
    },
    /// Sign a catalog with the root key. It replaces the catalog that was signed last.
    #[command(after_help = SIGN_EXAMPLES)]
    Sign {
        #[command(flatten)]
        folder: Folder,
        /// The catalog, in TOML.
        file: PathBuf,
        /// File to which the signed catalog is written.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        #[command(flatten)]
        force: ForceArgs,
        #[command(flatten)]
        passphrase: PassphraseArgs,
    },
    /// Make new setup keys, to be written into a catalog: one for each edition of a product.
    #[command(after_help = SETUP_KEY_EXAMPLES)]
    SetupKey {
        /// How many setup keys to make.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
        count: u16,
    },
    /// Show a catalog, signed or in TOML: the ladder of groups, the platforms, the products.
    Show {
        /// The catalog file.
        file: PathBuf,
    },
}

impl Command {
    pub(super) fn run(self, output: &Output) -> Result<(), Failure> {
        match self {
            Self::Check { file } => {
                let catalog = parse(&file)?;
                let products = catalog.products().count();
                output.result(
                    &json!({
                        "publisher_name": catalog.publisher_name(),
                        "serial": catalog.serial(),
                        "products": products,
                    }),
                    format_args!(
                        "{} is valid: {}, serial {}, {products} products.",
                        file.display(),
                        catalog.publisher_name(),
                        catalog.serial(),
                    ),
                );
                Ok(())
            }
            Self::Sign { folder, file, out, force, passphrase } => {
                let new = NewFile::at(&out, force)?;
                sign(&folder, &file, (&out, new), &passphrase, output)
            }
            Self::SetupKey { count } => setup_keys(count, output),
            Self::Show { file } => show(&file, output),
        }
    }
}

fn read_text(file: &Path) -> Result<String, Failure> {
    let bytes = read_bounded(file, CATALOG_TEXT_BYTES_MAX)?;
    String::from_utf8(bytes).map_err(|_| Failure::usage(anyhow!("{} is not UTF-8 text", file.display())))
}

fn parse(file: &Path) -> Result<Catalog, Failure> {
    let text = read_text(file)?;
    Ok(Catalog::from_toml(&text).with_context(|| file.display().to_string())?)
}

fn sign(
    folder: &Folder,
    file: &Path,
    (out, new): (&Path, NewFile),
    passphrase: &PassphraseArgs,
    output: &Output,
) -> Result<(), Failure> {
    let text = read_text(file)?;
    // Errors in the catalog are shown with the file's name, before anything is signed.
    Catalog::from_toml(&text).with_context(|| file.display().to_string())?;
    let operation = Operation::SignCatalog { source: text };
    let report = match folder.sign(operation, Signing::Catalog, passphrase)? {
        Report::Catalog(report) => report,
        other => return Err(unexpected(&other)),
    };
    new.write(&report.signed, Readers::Umask)?;
    let CatalogReport { publisher, fingerprint, serial, blocked, certificate_days, signed } = report;
    if let Some(days) = certificate_days {
        output.remark(format_args!(
            "warning: node certificates that are issued from now on expire after {days} days. Earlier versions of the \
             client reject hosts with such certificates, and clusters need format 3. Without certificate_days, \
             certificates do not expire"
        ));
    }
    if blocked >= BLOCKED_WARNING {
        output.remark(format_args!(
            "warning: the catalog blocks {blocked} of at most {BLOCKED_MAX} keys and certificates. Block the host keys \
             with the most blocked certificates, and issue new keys instead: certificates of a blocked key do not \
             count. List the keys with `quorate publisher key list --dir {}`",
            folder.path.display()
        ));
    }
    output.result(
        &json!({
            "publisher": publisher,
            "fingerprint": fingerprint,
            "serial": serial,
            "blocked": blocked,
            "certificate_days": certificate_days,
            "catalog": out.display().to_string(),
            "bytes": signed.len(),
        }),
        format_args!(
            "{} holds the signed catalog, serial {serial}.\n\
             Next, on a cluster: quorate catalog install {} --trust {fingerprint}",
            out.display(),
            out.display(),
        ),
    );
    Ok(())
}

/// Makes new setup keys for the editions of a catalog. They are public, and only name an edition (R35).
fn setup_keys(count: u16, output: &Output) -> Result<(), Failure> {
    let keys = (0..count).map(|_| {
        let mut entropy = [0; 16];
        getrandom::fill(&mut entropy).context("no random numbers")?;
        Ok(TypedKey::generate(KeyKind::Setup, 0, entropy).to_string())
    });
    let keys: Vec<_> = keys.collect::<anyhow::Result<_>>()?;
    output.result(&json!({ "setup_keys": keys }), keys.join("\n"));
    Ok(())
}

fn show(file: &Path, output: &Output) -> Result<(), Failure> {
    let bytes = read_bounded(file, CATALOG_TEXT_BYTES_MAX)?;
    // A signed catalog holds keys and signatures, so it is not UTF-8 text.
    let (catalog, signed) = match String::from_utf8(bytes) {
        Ok(text) => (Catalog::from_toml(&text).with_context(|| file.display().to_string())?, None),
        Err(binary) => {
            let opened = SignedCatalog::open(binary.as_bytes()).with_context(|| file.display().to_string())?;
            (opened.catalog, Some(Fingerprint(opened.publisher)))
        }
    };
    let title = match signed {
        Some(fingerprint) => format!("signed by {fingerprint}"),
        None => "not signed".to_owned(),
    };
    output.result(
        &catalog_text::json(&catalog, signed),
        format_args!(
            "{}, serial {}, {title}\n\n{}",
            catalog.publisher_name(),
            catalog.serial(),
            catalog_text::text(&catalog)
        ),
    );
    Ok(())
}
