//! Direct keys as they were issued: each activates machines of one product, without any host (R24).

use activation::{
    catalog::Name,
    id::KeyId,
    key::{KeyKind, TypedKey},
};

use crate::{
    ChangeError, IssueError, Publisher, RecordsError, clock, entropy::random, limits::DIRECT_ACTIVATIONS_MAX,
    records::Change,
};

/// A direct key on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectKey {
    /// Its id is [`TypedKey::key_id`].
    pub key: TypedKey,
    /// The product that it activates.
    pub product: Name,
    /// Machines that it activates: 1 to [`DIRECT_ACTIVATIONS_MAX`].
    pub activations: u32,
    /// Machines that it has activated.
    pub used: u32,
    /// Milliseconds since the Unix epoch.
    pub issued_ms: u64,
    /// Gives nothing any more.
    pub blocked: bool,
}

impl Publisher {
    /// Issues a direct key for a product of the catalog that was signed last. It is on record before it is returned.
    pub async fn issue_direct_key(&self, product: &str, activations: u32) -> Result<DirectKey, IssueError> {
        let trust = self.trust();
        let catalog = &trust.catalog.as_ref().ok_or(IssueError::NoCatalog)?.catalog;
        let unknown = || IssueError::UnknownProduct { product: product.to_owned() };
        let product = catalog.product(product).ok_or_else(unknown)?;
        if !(1..=DIRECT_ACTIVATIONS_MAX).contains(&activations) {
            return Err(IssueError::DirectLimit);
        }
        let key = DirectKey {
            key: TypedKey::generate(KeyKind::Direct, product.group, random()?),
            product: product.name.clone(),
            activations,
            used: 0,
            issued_ms: clock::now_ms(),
            blocked: false,
        };
        let turn = self.records.turn().await?;
        let mut change = Change::default();
        change.direct_key(&key)?;
        self.records.commit(turn, change).await?;
        Ok(key)
    }

    /// Every direct key, by id.
    pub fn direct_keys(&self) -> Result<Vec<DirectKey>, RecordsError> {
        self.records.direct_keys()
    }

    /// The direct key with this id.
    pub fn direct_key(&self, id: KeyId) -> Result<DirectKey, ChangeError> {
        self.records.direct_key(id)?.ok_or(ChangeError::UnknownKey { id })
    }

    /// Refuses every later activation with the direct key. Machines that it activated stay so.
    pub async fn block_direct(&self, id: KeyId) -> Result<DirectKey, ChangeError> {
        let turn = self.records.turn().await?;
        let mut key = self.direct_key(id)?;
        key.blocked = true;
        let mut change = Change::default();
        change.direct_key(&key)?;
        self.records.commit(turn, change).await?;
        Ok(key)
    }
}
