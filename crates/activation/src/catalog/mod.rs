//! Catalogs: a publisher's products, how they are counted, and which host key covers which product (R5, R32 to R34).
//!
//! A publisher writes TOML ([`Catalog::from_toml`]), signs it with its root key ([`SignedCatalog`]) and gives it to
//! clusters and clients, which open it ([`SignedCatalog::open`]). Text and signed bytes pass the same validation, so
//! a [`Catalog`] is always sound: names resolve, the ladder of groups has no cycle, and every product is covered by
//! a group's keys.

mod check;
mod error;
mod flaw;
mod model;
mod signed;
mod source;

pub use self::error::CatalogError;
pub use self::flaw::Flaw;
pub use self::model::{Catalog, Edition, Group, Name, Platform, Product};
pub use self::signed::{OpenedCatalog, SignedCatalog};
use crate::id::{CertificateId, KeyId};
use crate::limits::{BLOCKED_MAX, CATALOG_BYTES_MAX};

impl Catalog {
    /// Parses and checks a catalog's source text. Unknown keys are refused; an error names line, column and the fix.
    pub fn from_toml(text: &str) -> Result<Self, CatalogError> {
        source::parse(text)
    }

    /// The same catalog with these keys and certificates blocked as well, if it can hold them.
    pub fn with_blocked(
        mut self,
        keys: impl IntoIterator<Item = KeyId>,
        certificates: impl IntoIterator<Item = CertificateId>,
    ) -> Result<Self, CatalogError> {
        self.blocked_keys.extend(keys);
        self.blocked_certificates.extend(certificates);
        let blocked = self.blocked_keys.len() + self.blocked_certificates.len();
        if blocked > BLOCKED_MAX || signed::encoded_bytes(&self) > CATALOG_BYTES_MAX {
            return Err(CatalogError::Unsound(Flaw::NoRoomForBlocked { blocked }));
        }
        Ok(self)
    }

    /// Checks whether this catalog may replace `old`: it has a higher serial, no product is removed or moved to
    /// another application (its machines would be counted twice or not at all), and no code has a new meaning.
    pub fn check_successor(&self, old: &Self) -> Result<(), CatalogError> {
        if self.serial <= old.serial {
            return Err(CatalogError::NotNewer { installed: old.serial, offered: self.serial });
        }
        for before in old.products.values() {
            let name = before.name.clone();
            let after = self.products.get(&name).ok_or(CatalogError::ProductGone { name: name.clone() })?;
            if after.application != before.application {
                let (from, to) = (before.application.clone(), after.application.clone());
                return Err(CatalogError::ProductMoved { name, from, to });
            }
        }
        let groups = old.groups.values().map(|group| (&group.name, self.group(group.code).map(|group| &group.name)));
        let platforms = old.platforms.values().map(|old| (&old.name, self.platform(old.code).map(|new| &new.name)));
        for (before, after) in groups.chain(platforms) {
            if after != Some(before) {
                return Err(CatalogError::CodeReused { name: before.clone() });
            }
        }
        Ok(())
    }
}
