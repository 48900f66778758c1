//! A sound catalog: its parts, and what is derived from them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use crate::certificate::NodeCertificate;
use crate::id::{CertificateId, InvalidId, KeyId};
use crate::key::TypedKey;
use crate::limits::NAME_BYTES_MAX;

/// A name in a catalog: 1 to 48 characters of `a-z`, `0-9` and `-`, beginning with a letter or a digit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

impl Name {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let valid = (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with('-');
        if valid {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId { expected: "a name of 1 to 48 characters a-z, 0-9 and -, beginning with a letter or digit" })
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({})", self.0)
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A product group, which is one rung of the ladder (R32).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub name: Name,
    /// The code that certificates carry; it never changes.
    pub code: u8,
    /// The newest generation that this group's keys cover.
    pub generation: u8,
    /// Names of the groups directly below.
    pub above: BTreeSet<Name>,
    /// Codes of this group and of all groups below it.
    pub(super) reach: BTreeSet<u8>,
}

/// A platform class: what a host may run on, and which groups' keys it may hold there (R34).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    pub name: Name,
    /// The code that certificates carry; it never changes.
    pub code: u8,
    /// Names of the groups whose keys a host on this platform may hold.
    pub may_hold: BTreeSet<Name>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    pub name: Name,
    /// The product's title, for display.
    pub title: String,
    /// The application whose count the product uses; all products of one application share one count (R11).
    pub application: Name,
    /// Code of the product's group.
    pub group: u8,
    pub generation: u8,
    /// R9: the count from which on machines with this product are activated.
    pub threshold: u32,
    pub editions: Vec<Edition>,
}

/// R35: an edition of a product, with its public setup key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edition {
    /// The edition's name, for display.
    pub name: String,
    /// The public setup key: installed on a client, it selects volume activation of the product. No other edition
    /// has this key.
    pub setup_key: TypedKey,
}

/// A sound catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalog {
    pub(super) publisher_name: String,
    pub(super) serial: u64,
    pub(super) applications: BTreeSet<Name>,
    pub(super) groups: BTreeMap<u8, Group>,
    pub(super) platforms: BTreeMap<u8, Platform>,
    pub(super) products: BTreeMap<Name, Product>,
    pub(super) blocked_keys: BTreeSet<KeyId>,
    pub(super) blocked_certificates: BTreeSet<CertificateId>,
    pub(super) certificate_days: Option<NonZeroU16>,
}

impl Catalog {
    /// The publisher's name, for display.
    #[must_use]
    pub fn publisher_name(&self) -> &str {
        &self.publisher_name
    }

    #[must_use]
    pub fn serial(&self) -> u64 {
        self.serial
    }

    pub fn applications(&self) -> impl Iterator<Item = &Name> {
        self.applications.iter()
    }

    /// The groups, by code.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    /// The platform classes, by code.
    pub fn platforms(&self) -> impl Iterator<Item = &Platform> {
        self.platforms.values()
    }

    /// The products, by name.
    pub fn products(&self) -> impl Iterator<Item = &Product> {
        self.products.values()
    }

    #[must_use]
    pub fn group(&self, code: u8) -> Option<&Group> {
        self.groups.get(&code)
    }

    #[must_use]
    pub fn group_named(&self, name: &str) -> Option<&Group> {
        self.groups.values().find(|group| group.name.as_str() == name)
    }

    #[must_use]
    pub fn platform(&self, code: u8) -> Option<&Platform> {
        self.platforms.get(&code)
    }

    #[must_use]
    pub fn platform_named(&self, name: &str) -> Option<&Platform> {
        self.platforms.values().find(|platform| platform.name.as_str() == name)
    }

    #[must_use]
    pub fn product(&self, name: &str) -> Option<&Product> {
        self.products.get(name)
    }

    /// R35: the product and edition of a setup key.
    #[must_use]
    pub fn by_setup_key(&self, key: &TypedKey) -> Option<(&Product, &Edition)> {
        let editions =
            self.products().flat_map(|product| product.editions.iter().map(move |edition| (product, edition)));
        editions.into_iter().find(|(_, edition)| edition.setup_key == *key)
    }

    #[must_use]
    pub fn blocked_keys(&self) -> &BTreeSet<KeyId> {
        &self.blocked_keys
    }

    #[must_use]
    pub fn blocked_certificates(&self) -> &BTreeSet<CertificateId> {
        &self.blocked_certificates
    }

    /// The lifetime of the node certificates that the publisher issues from this catalog on, in days; `None` if
    /// they do not expire (R6).
    #[must_use]
    pub fn certificate_days(&self) -> Option<NonZeroU16> {
        self.certificate_days
    }

    /// R32: a key covers its group, all lower groups and earlier generations.
    #[must_use]
    pub fn covers(&self, held_group: u8, product: &Product) -> bool {
        let held = self.groups.get(&held_group);
        held.is_some_and(|held| held.reach.contains(&product.group) && product.generation <= held.generation)
    }

    /// The groups whose keys cover the product, lowest code first. An administrator may install a key of any of
    /// these.
    pub fn groups_covering<'a>(&'a self, product: &'a Product) -> impl Iterator<Item = &'a Group> {
        self.groups.values().filter(|group| self.covers(group.code, product))
    }

    /// R34: whether a host on this platform class may hold a key of this group.
    #[must_use]
    pub fn may_hold(&self, platform: u8, group: u8) -> bool {
        let (platform, group) = (self.platforms.get(&platform), self.groups.get(&group));
        platform.zip(group).is_some_and(|(platform, group)| platform.may_hold.contains(&group.name))
    }

    /// Whether the publisher blocked this certificate, or the key for which it was issued.
    #[must_use]
    pub fn blocks(&self, certificate: &NodeCertificate) -> bool {
        self.blocked_keys.contains(&certificate.key) || self.blocked_certificates.contains(&certificate.id())
    }
}
