//! The one validation of catalogs, whether they come as text or as signed bytes.

use std::collections::{BTreeMap, BTreeSet};

use super::{Catalog, Edition, Group, Name, Platform, Product};
use crate::id::{CertificateId, KeyId};
use crate::key::{KeyKind, TypedKey};
use crate::{limits, proto};

/// Where in the source a defect is: `section[index].field`, as the keys of the TOML text are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) section: &'static str,
    pub(super) index: usize,
    pub(super) field: &'static str,
}

impl Place {
    pub(super) fn top(field: &'static str) -> Self {
        Self { section: "", index: 0, field }
    }

    pub(super) fn of(section: &'static str, index: usize, field: &'static str) -> Self {
        Self { section, index, field }
    }
}

/// What is wrong with a catalog, and what would mend it.
#[derive(Clone, Debug)]
pub(super) struct Defect {
    pub(super) place: Place,
    pub(super) problem: String,
    pub(super) fix: String,
}

impl Defect {
    pub(super) fn new(place: Place, problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { place, problem: problem.into(), fix: fix.into() }
    }
}

/// Checks a draft, whose activation keys are not looked at.
pub(super) fn check(draft: &proto::Catalog) -> Result<Catalog, Defect> {
    let publisher_name = text(&draft.publisher_name, Place::top("publisher"))?;
    if draft.serial == 0 {
        return Err(Defect::new(Place::top("serial"), "the serial is 0", "count serials from 1"));
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
    let catalog = Catalog {
        publisher_name,
        serial,
        applications,
        groups,
        platforms,
        products,
        blocked_keys,
        blocked_certificates,
    };
    for (index, product) in draft.products.iter().enumerate() {
        let covered =
            catalog.product(&product.name).is_some_and(|product| catalog.groups_covering(product).count() > 0);
        if !covered {
            let place = Place::of("product", index, "generation");
            let fix = "raise the generation of its group, or lower the product's";
            return Err(Defect::new(place, "no group's keys cover a product of this generation", fix));
        }
    }
    Ok(catalog)
}

fn at_most(what: &'static str, count: usize, max: usize) -> Result<(), Defect> {
    if count <= max {
        return Ok(());
    }
    Err(Defect::new(Place::of(what, max, ""), format!("more than {max} entries of `{what}`"), "remove some"))
}

fn name(text: &str, place: Place) -> Result<Name, Defect> {
    text.parse().map_err(|error| Defect::new(place, format!("{error}"), "choose such a name"))
}

/// Text for people: nothing that could move a cursor or hide in a table.
fn text(text: &str, place: Place) -> Result<String, Defect> {
    let sound = !text.trim().is_empty() && text.len() <= limits::TITLE_BYTES_MAX && !text.chars().any(char::is_control);
    if sound {
        return Ok(text.to_owned());
    }
    let problem = format!("not a text of 1 to {} bytes without control characters", limits::TITLE_BYTES_MAX);
    Err(Defect::new(place, problem, "write such a text"))
}

fn small(value: u32, place: Place) -> Result<u8, Defect> {
    let value = u8::try_from(value).ok().filter(|value| *value > 0);
    value.ok_or_else(|| Defect::new(place, format!("`{}` is not a number of 1 to 255", place.field), "choose one"))
}

fn twice(place: Place) -> Defect {
    Defect::new(place, format!("this `{}` is used twice in `{}`", place.field, place.section), "choose another")
}

fn unknown(place: Place, what: &str) -> Defect {
    Defect::new(
        place,
        format!("this {what} is not in the catalog"),
        format!("add a [[{what}]] of this name, or correct it"),
    )
}

fn applications(draft: &[String]) -> Result<BTreeSet<Name>, Defect> {
    at_most("application", draft.len(), limits::APPLICATIONS_MAX)?;
    let mut applications = BTreeSet::new();
    for (index, draft) in draft.iter().enumerate() {
        let place = Place::of("application", index, "name");
        if !applications.insert(name(draft, place)?) {
            return Err(twice(place));
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
        let place = |field| Place::of("group", index, field);
        let name = name(&draft.name, place("name"))?;
        if !seen.insert(name.clone()) {
            return Err(twice(place("name")));
        }
        let code = small(draft.code, place("code"))?;
        let generation = small(draft.generation, place("generation"))?;
        let above = references(&draft.above, place("above"), "group", &names)?;
        if groups.insert(code, Group { name, code, generation, above, reach: BTreeSet::new() }).is_some() {
            return Err(twice(place("code")));
        }
    }
    Ok(groups)
}

fn references(draft: &[String], place: Place, what: &str, known: &BTreeSet<&str>) -> Result<BTreeSet<Name>, Defect> {
    let resolve = |text: &String| name(text, place).ok().filter(|name| known.contains(name.as_str()));
    draft.iter().map(|text| resolve(text).ok_or_else(|| unknown(place, what))).collect()
}

/// For each group the codes of itself and of all below it; an error names a group that stands above itself.
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
    let place = Place::of("group", index, "above");
    Defect::new(
        place,
        "the ladder goes round in a circle through this group",
        "remove one of the `above` entries in it",
    )
}

fn platforms(draft: &[proto::Platform], groups: &BTreeMap<u8, Group>) -> Result<BTreeMap<u8, Platform>, Defect> {
    at_most("platform", draft.len(), limits::PLATFORMS_MAX)?;
    let names: BTreeSet<&str> = groups.values().map(|group| group.name.as_str()).collect();
    let mut seen = BTreeSet::new();
    let mut platforms = BTreeMap::new();
    for (index, draft) in draft.iter().enumerate() {
        let place = |field| Place::of("platform", index, field);
        let name = name(&draft.name, place("name"))?;
        if !seen.insert(name.clone()) {
            return Err(twice(place("name")));
        }
        let code = small(draft.code, place("code"))?;
        let may_hold = references(&draft.may_hold, place("may_hold"), "group", &names)?;
        if platforms.insert(code, Platform { name, code, may_hold }).is_some() {
            return Err(twice(place("code")));
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
        let place = |field| Place::of("product", index, field);
        let name = name(&draft.name, place("name"))?;
        let title = text(&draft.title, place("title"))?;
        let application = applications.get(draft.application.as_str());
        let application = application.ok_or_else(|| unknown(place("application"), "application"))?.clone();
        let group = groups.values().find(|group| group.name.as_str() == draft.group);
        let group = group.ok_or_else(|| unknown(place("group"), "group"))?.code;
        let generation = small(draft.generation, place("generation"))?;
        if !(1..=limits::THRESHOLD_MAX).contains(&draft.threshold) {
            let problem = format!("the threshold is not a number of 1 to {}", limits::THRESHOLD_MAX);
            return Err(Defect::new(place("threshold"), problem, "choose one; 25 and 5 are usual"));
        }
        if draft.editions.len() > limits::EDITIONS_MAX {
            let problem = format!("more than {} editions", limits::EDITIONS_MAX);
            return Err(Defect::new(place("editions"), problem, "make several products of it"));
        }
        let editions = editions(&draft.editions, place("editions"), &mut setup_keys)?;
        let threshold = draft.threshold;
        let product = Product { name: name.clone(), title, application, group, generation, threshold, editions };
        if products.insert(name, product).is_some() {
            return Err(twice(place("name")));
        }
    }
    Ok(products)
}

/// R35: each edition has a public setup key of its own.
fn editions(
    draft: &[proto::Edition],
    place: Place,
    setup_keys: &mut BTreeSet<TypedKey>,
) -> Result<Vec<Edition>, Defect> {
    let make_one = "make one with `quorate publisher catalog setup-key`";
    let edition = |draft: &proto::Edition| {
        let name = text(&draft.name, place)?;
        let setup_key: TypedKey = draft
            .setup_key
            .parse()
            .map_err(|error| Defect::new(place, format!("the setup key of edition {name:?}: {error}"), make_one))?;
        if setup_key.kind() != KeyKind::Setup {
            let problem = format!("the key of edition {name:?} is a {}, not a setup key", setup_key.kind());
            return Err(Defect::new(place, problem, make_one));
        }
        if !setup_keys.insert(setup_key) {
            return Err(Defect::new(place, format!("the setup key of edition {name:?} is used twice"), make_one));
        }
        Ok(Edition { name, setup_key })
    };
    draft.iter().map(edition).collect()
}

type Blocked = (BTreeSet<KeyId>, BTreeSet<CertificateId>);

fn blocked(draft: &proto::Catalog) -> Result<Blocked, Defect> {
    if draft.blocked_keys.len() + draft.blocked_certificates.len() > limits::BLOCKED_MAX {
        let problem = format!("more than {} blocked keys and certificates", limits::BLOCKED_MAX);
        return Err(Defect::new(Place::top("blocked"), problem, "remove some"));
    }
    let wrong = |field| move |error| Defect::new(Place::of("blocked", 0, field), format!("{error}"), "correct it");
    let keys = draft.blocked_keys.iter().map(|id| KeyId::try_from(id.as_ref()));
    let certificates = draft.blocked_certificates.iter().map(|id| CertificateId::try_from(id.as_ref()));
    Ok((
        keys.collect::<Result<_, _>>().map_err(wrong("keys"))?,
        certificates.collect::<Result<_, _>>().map_err(wrong("certificates"))?,
    ))
}
