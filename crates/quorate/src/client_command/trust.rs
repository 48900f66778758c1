//! The publisher that a client trusts.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use activation::catalog::{Catalog, OpenedCatalog};
use activation::id::ProductId;
use activation::limits::TRUST_TEXT_BYTES_MAX;
use activation::trust::Trust;
use anyhow::{Context, anyhow, bail};

/// Product names in the message that names what there is.
const NAMES_SHOWN: usize = 12;

#[derive(Debug, clap::Args)]
pub(super) struct TrustFile {
    /// The publisher's public keys and catalog, as `quorate publisher init` writes them.
    #[arg(long, value_name = "FILE")]
    trust: PathBuf,
}

impl TrustFile {
    pub(super) fn read(&self) -> anyhow::Result<Trust> {
        let name = || self.name();
        let mut text = String::new();
        // One byte beyond the limit shows that there is more.
        let limit = TRUST_TEXT_BYTES_MAX as u64 + 1;
        let file = File::open(&self.trust).with_context(|| format!("{}: cannot be opened", name()))?;
        file.take(limit).read_to_string(&mut text).with_context(|| format!("{}: cannot be read", name()))?;
        Trust::from_toml(&text).with_context(name)
    }

    fn name(&self) -> String {
        format!("trust file {}", self.trust.display())
    }

    pub(super) fn catalog<'a>(&self, trust: &'a Trust) -> anyhow::Result<&'a Catalog> {
        let opened = opened(trust).with_context(|| self.name())?;
        Ok(&opened.catalog)
    }

    /// The id of the product that the publisher's catalog calls `name`.
    pub(super) fn product(&self, trust: &Trust, name: &str) -> anyhow::Result<ProductId> {
        let find = || -> anyhow::Result<ProductId> {
            let opened = opened(trust)?;
            let product = opened.catalog.product(name);
            let product =
                product.ok_or_else(|| anyhow!("its catalog has no product of that name; it has {}", names(opened)))?;
            Ok(ProductId::derive(trust.publisher, product.name.as_str()))
        };
        find().with_context(|| self.name())
    }
}

fn opened(trust: &Trust) -> anyhow::Result<&OpenedCatalog> {
    match &trust.catalog {
        Some(opened) => Ok(opened),
        None => bail!("it has no catalog, so nothing can be activated: get one with the catalog from the publisher"),
    }
}

fn names(opened: &OpenedCatalog) -> String {
    let mut products = opened.catalog.products().map(|product| product.name.as_str());
    let mut names: Vec<&str> = products.by_ref().take(NAMES_SHOWN).collect();
    if products.next().is_some() {
        names.push("...");
    }
    names.join(", ")
}
