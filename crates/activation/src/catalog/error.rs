//! Why a catalog is refused.

use thiserror::Error;

use super::flaw::Flaw;
use super::model::Name;

/// Why a catalog is refused. The error holds texts of the catalog only after their characters were checked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CatalogError {
    #[error("line {line}, column {column}: {problem}; {fix}")]
    Source { line: usize, column: usize, problem: String, fix: String },
    #[error("the signed catalog is malformed: {0}")]
    Malformed(&'static str),
    #[error("the catalog is invalid: {flaw}; {fix}", flaw = .0, fix = .0.fix())]
    Unsound(Flaw),
    #[error("the signature was not made with the root key that the catalog names")]
    Signature,
    #[error("a catalog with serial {installed} is installed; {offered} is not newer: raise `serial`")]
    NotNewer { installed: u64, offered: u64 },
    #[error("product `{name}` is missing: a catalog must keep every product of an earlier catalog")]
    ProductGone { name: Name },
    #[error("product `{name}` moved from application `{from}` to `{to}`: give the moved product a new name")]
    ProductMoved { name: Name, from: Name, to: Name },
    #[error("the code of `{name}` changed: keep names and codes of groups and platforms as in the earlier catalog")]
    CodeReused { name: Name },
}
