//! The validation of catalogs, which text and signed bytes share.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;

use super::flaw::Flaw;
use super::model::{Catalog, Edition, Group, Name, Platform, Product};
use crate::id::{CertificateId, KeyId};
use crate::key::{KeyKind, TypedKey};
use crate::{limits, proto};

/// The position of a defect in the source: `section[index].field`, with the key names of the TOML text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FieldPosition {
    pub(super) section: &'static str,
    pub(super) index: usize,
    pub(super) field: &'static str,
}

impl FieldPosition {
    pub(super) fn top(field: &'static str) -> Self {
        Self { section: "", index: 0, field }
    }

    pub(super) fn of(section: &'static str, index: usize, field: &'static str) -> Self {
        Self { section, index, field }
    }
}

/// A flaw in a catalog with its position.
#[derive(Clone, Debug)]
pub(super) struct Defect {
    pub(super) position: FieldPosition,
    pub(super) flaw: Flaw,
}

impl Defect {
    pub(super) fn new(position: FieldPosition, flaw: Flaw) -> Self {
        Self { position, flaw }
    }
}

/// Validates a draft. Its activation keys are not checked.
pub(super) fn check(draft: &proto::Catalog) -> Result<Catalog, Defect> {
    let publisher_name = text(&draft.publisher_name, FieldPosition::top("publisher"))?;
    if draft.serial == 0 {
        return Err(Defect::new(FieldPosition::top("serial"), Flaw::SerialZero));
    }
    let applications = applications(&draft.applications)?;
    let mut groups = groups(&draft.groups)?;
    let reaches = climb(&groups).map_err(|name| cycle(draft, &name))?;
    for group in groups.values_mut() {
        group.reach = reaches.get(&group.name).cloned().unwrap_or_default();
    }
    let platforms = platforms(&draft.platforms, &groups)?;
    let products = products(&draft.products, &applications, &groups)?;
    let (blocked_keys, blocked_certificates) = blocked(draft)?;
    let serial = draft.serial;
    // Never refused: versions that do not know the field install the catalog, and all nodes must agree.
    let days = u16::try_from(draft.certificate_days).unwrap_or(u16::MAX);
    let catalog = Catalog {
        publisher_name,
        serial,
        applications,
        groups,
        platforms,
        products,
        blocked_keys,
        blocked_certificates,
        certificate_days: NonZeroU16::new(days),
    };
    for (index, product) in draft.products.iter().enumerate() {
        let covered =
            catalog.product(&product.name).is_some_and(|product| catalog.groups_covering(product).count() > 0);
        if !covered {
            let position = FieldPosition::of("product", index, "generation");
            return Err(Defect::new(position, Flaw::NotCovered));
        }
    }
    Ok(catalog)
}

fn at_most(section: &'static str, count: usize, max: usize) -> Result<(), Defect> {
    if count <= max {
        return Ok(());
    }
    Err(Defect::new(FieldPosition::of(section, max, ""), Flaw::TooManyEntries { section, max }))
}

fn name(text: &str, position: FieldPosition) -> Result<Name, Defect> {
    text.parse().map_err(|error| Defect::new(position, Flaw::Name(error)))
}

/// Text for display: without control characters, which could move a cursor or break a table.
fn text(text: &str, position: FieldPosition) -> Result<String, Defect> {
    let sound = !text.trim().is_empty() && text.len() <= limits::TITLE_BYTES_MAX && !text.chars().any(char::is_control);
    if sound {
        return Ok(text.to_owned());
    }
    Err(Defect::new(position, Flaw::Text))
}

fn small(value: u32, position: FieldPosition) -> Result<u8, Defect> {
    let value = u8::try_from(value).ok().filter(|value| *value > 0);
    value.ok_or_else(|| Defect::new(position, Flaw::NotSmall { field: position.field }))
}

fn twice(position: FieldPosition) -> Defect {
    Defect::new(position, Flaw::Twice { section: position.section, field: position.field })
}

fn unknown(position: FieldPosition, section: &'static str) -> Defect {
    Defect::new(position, Flaw::Unknown { section })
}

fn applications(draft: &[String]) -> Result<BTreeSet<Name>, Defect> {
    at_most("application", draft.len(), limits::APPLICATIONS_MAX)?;
    let mut applications = BTreeSet::new();
    for (index, draft) in draft.iter().enumerate() {
        let position = FieldPosition::of("application", index, "name");
        if !applications.insert(name(draft, position)?) {
            return Err(twice(position));
        }
    }
    Ok(applications)
}

fn groups(draft: &[proto::Group]) -> Result<BTreeMap<u8, Group>, Defect> {
    at_most("group", draft.len(), limits::GROUPS_MAX)?;
    let names: BTreeSet<&str> = draft.iter().map(|group| group.name.as_str()).collect();
    let mut seen = BTreeSet::new();
    let mut groups = BTreeMap::new();
    for (index, draft) in draft.iter().enumerate() {
        let position = |field| FieldPosition::of("group", index, field);
        let name = name(&draft.name, position("name"))?;
        if !seen.insert(name.clone()) {
            return Err(twice(position("name")));
        }
        let code = small(draft.code, position("code"))?;
        let generation = small(draft.generation, position("generation"))?;
        let above = references(&draft.above, position("above"), "group", &names)?;
        if groups.insert(code, Group { name, code, generation, above, reach: BTreeSet::new() }).is_some() {
            return Err(twice(position("code")));
        }
    }
    Ok(groups)
}

fn references(
    draft: &[String],
    position: FieldPosition,
    section: &'static str,
    known: &BTreeSet<&str>,
) -> Result<BTreeSet<Name>, Defect> {
    let resolve = |text: &String| name(text, position).ok().filter(|name| known.contains(name.as_str()));
    draft.iter().map(|text| resolve(text).ok_or_else(|| unknown(position, section))).collect()
}

/// For each group the codes of the group itself and of all groups below it. The error is the name of a group whose
/// `above` entries lead to a cycle.
fn climb(groups: &BTreeMap<u8, Group>) -> Result<BTreeMap<Name, BTreeSet<u8>>, Name> {
    let mut reaches: BTreeMap<Name, BTreeSet<u8>> = BTreeMap::new();
    let mut waiting: Vec<&Group> = groups.values().collect();
    while let Some(first) = waiting.first().map(|group| group.name.clone()) {
        let before = waiting.len();
        waiting.retain(|group| {
            let below: Option<Vec<_>> = group.above.iter().map(|name| reaches.get(name)).collect();
            let Some(below) = below else { return true };
            let reach = below.into_iter().flatten().copied().chain([group.code]).collect();
            reaches.insert(group.name.clone(), reach);
            false
        });
        if waiting.len() == before {
            return Err(first);
        }
    }
    Ok(reaches)
}

fn cycle(draft: &proto::Catalog, name: &Name) -> Defect {
    let index = draft.groups.iter().position(|group| group.name == name.as_str()).unwrap_or_default();
    let position = FieldPosition::of("group", index, "above");
    Defect::new(position, Flaw::LadderCycle)
}

fn platforms(draft: &[proto::Platform], groups: &BTreeMap<u8, Group>) -> Result<BTreeMap<u8, Platform>, Defect> {
    at_most("platform", draft.len(), limits::PLATFORMS_MAX)?;
    let names: BTreeSet<&str> = groups.values().map(|group| group.name.as_str()).collect();
    let mut seen = BTreeSet::new();
    let mut platforms = BTreeMap::new();
    for (index, draft) in draft.iter().enumerate() {
        let position = |field| FieldPosition::of("platform", index, field);
        let name = name(&draft.name, position("name"))?;
        if !seen.insert(name.clone()) {
            return Err(twice(position("name")));
        }
        let code = small(draft.code, position("code"))?;
        let may_hold = references(&draft.may_hold, position("may_hold"), "group", &names)?;
        if platforms.insert(code, Platform { name, code, may_hold }).is_some() {
            return Err(twice(position("code")));
        }
    }
    Ok(platforms)
}

fn products(
    draft: &[proto::Product],
    applications: &BTreeSet<Name>,
    groups: &BTreeMap<u8, Group>,
) -> Result<BTreeMap<Name, Product>, Defect> {
    at_most("product", draft.len(), limits::PRODUCTS_MAX)?;
    let mut products = BTreeMap::new();
    let mut setup_keys = BTreeSet::new();
    for (index, draft) in draft.iter().enumerate() {
        let position = |field| FieldPosition::of("product", index, field);
        let name = name(&draft.name, position("name"))?;
        let title = text(&draft.title, position("title"))?;
        let application = applications.get(draft.application.as_str());
        let application = application.ok_or_else(|| unknown(position("application"), "application"))?.clone();
        let group = groups.values().find(|group| group.name.as_str() == draft.group);
        let group = group.ok_or_else(|| unknown(position("group"), "group"))?.code;
        let generation = small(draft.generation, position("generation"))?;
        if !(1..=limits::THRESHOLD_MAX).contains(&draft.threshold) {
            return Err(Defect::new(position("threshold"), Flaw::Threshold));
        }
        if draft.editions.len() > limits::EDITIONS_MAX {
            return Err(Defect::new(position("editions"), Flaw::TooManyEditions));
        }
        let editions = editions(&draft.editions, position("editions"), &mut setup_keys)?;
        let threshold = draft.threshold;
        let product = Product { name: name.clone(), title, application, group, generation, threshold, editions };
        if products.insert(name, product).is_some() {
            return Err(twice(position("name")));
        }
    }
    Ok(products)
}

/// R35: each edition has its own public setup key.
fn editions(
    draft: &[proto::Edition],
    position: FieldPosition,
    setup_keys: &mut BTreeSet<TypedKey>,
) -> Result<Vec<Edition>, Defect> {
    let edition = |draft: &proto::Edition| {
        let name = text(&draft.name, position)?;
        let defect = |flaw| Defect::new(position, flaw);
        let setup_key: TypedKey = match draft.setup_key.parse() {
            Ok(setup_key) => setup_key,
            Err(error) => return Err(defect(Flaw::SetupKey { edition: name, error })),
        };
        if setup_key.kind() != KeyKind::Setup {
            return Err(defect(Flaw::NotASetupKey { edition: name, kind: setup_key.kind() }));
        }
        if !setup_keys.insert(setup_key) {
            return Err(defect(Flaw::SetupKeyTwice { edition: name }));
        }
        Ok(Edition { name, setup_key })
    };
    draft.iter().map(edition).collect()
}

type Blocked = (BTreeSet<KeyId>, BTreeSet<CertificateId>);

fn blocked(draft: &proto::Catalog) -> Result<Blocked, Defect> {
    if draft.blocked_keys.len() + draft.blocked_certificates.len() > limits::BLOCKED_MAX {
        return Err(Defect::new(FieldPosition::top("blocked"), Flaw::TooManyBlocked));
    }
    let wrong = |field| {
        move |error| {
            Defect::new(FieldPosition::of("blocked", 0, field), Flaw::BlockedId { field, error, fix: "correct it" })
        }
    };
    let keys = draft.blocked_keys.iter().map(|id| KeyId::try_from(id.as_ref()));
    let certificates = draft.blocked_certificates.iter().map(|id| CertificateId::try_from(id.as_ref()));
    Ok((
        keys.collect::<Result<_, _>>().map_err(wrong("keys"))?,
        certificates.collect::<Result<_, _>>().map_err(wrong("certificates"))?,
    ))
}
