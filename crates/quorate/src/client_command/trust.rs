//! The publisher whose keys and catalog a client trusts.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use activation::catalog::{Catalog, OpenedCatalog};
use activation::id::ProductId;
use activation::limits::TRUST_TEXT_BYTES_MAX;
use activation::trust::Trust;
use anyhow::{Context, anyhow, bail};
use client::StateFolder;

/// How many product names the error message for an unknown product lists.
const NAMES_SHOWN: usize = 12;

#[derive(Debug, Default, clap::Args)]
pub(crate) struct TrustArg {
    /// File with the publisher's public keys and catalog, as `quorate publisher init` writes it. Default: the file
    /// that was given with the installed key.
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
}

impl TrustArg {
    /// `--trust FILE`, where a file is given.
    pub(crate) fn given(file: Option<PathBuf>) -> Self {
        Self { trust: file }
    }

    /// Whether no publisher is known: no file was given, and none is kept with an installed key.
    pub(super) fn is_unknown(&self, state: &Path) -> bool {
        self.trust.is_none() && !StateFolder::trust_file(state).exists()
    }

    /// The trust file to use: the one that was given, else the one in the state folder.
    pub(super) fn file(&self, state: Option<&Path>) -> anyhow::Result<TrustFile> {
        match (&self.trust, state.map(StateFolder::trust_file)) {
            (Some(path), _) => Ok(TrustFile { path: path.clone() }),
            (None, Some(path)) if path.exists() => Ok(TrustFile { path }),
            (None, Some(_)) => bail!("this state folder contains no trust file yet: give --trust FILE"),
            (None, None) => {
                bail!("a trust file with the publisher's public keys and catalog is needed: give --trust FILE")
            }
        }
    }
}

/// A trust file that exists.
#[derive(Debug)]
pub(super) struct TrustFile {
    path: PathBuf,
}

impl TrustFile {
    /// The content of the file, for a caller that keeps a copy.
    pub(super) fn text(&self) -> anyhow::Result<String> {
        let name = || self.name();
        let mut text = String::new();
        // Reads one byte more than the limit, so that a longer file is detected.
        let limit = TRUST_TEXT_BYTES_MAX as u64 + 1;
        let file = File::open(&self.path).with_context(|| format!("cannot open {}", name()))?;
        file.take(limit).read_to_string(&mut text).with_context(|| format!("cannot read {}", name()))?;
        Ok(text)
    }

    pub(super) fn read(&self) -> anyhow::Result<Trust> {
        let (text, name) = (self.text()?, || self.name());
        Trust::from_toml(&text).with_context(name)
    }

    fn name(&self) -> String {
        format!("trust file {}", self.path.display())
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
            let product = product
                .ok_or_else(|| anyhow!("its catalog does not contain this product; it contains {}", names(opened)))?;
            Ok(ProductId::derive(trust.publisher, product.name.as_str()))
        };
        find().with_context(|| self.name())
    }
}

fn opened(trust: &Trust) -> anyhow::Result<&OpenedCatalog> {
    match &trust.catalog {
        Some(opened) => Ok(opened),
        None => bail!(
            "it contains no catalog, so nothing can be activated: get a trust file with the catalog from the publisher"
        ),
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
