//! Prints a catalog: the ladder of groups, the platforms that may host each group, the products, their setup keys
//! (R32 to R35).

use activation::{
    catalog::{Catalog, Edition, Name},
    id::Fingerprint,
};
use serde_json::{Value, json};

use super::table;

/// The catalog as text: its tables one below the other.
pub(crate) fn text(catalog: &Catalog) -> String {
    let blocked = catalog.blocked_keys().len() + catalog.blocked_certificates().len();
    let blocked = match blocked {
        0 => String::new(),
        blocked => format!("\n\nBlocked keys and certificates: {blocked}"),
    };
    let (ladder, platforms) = (ladder(catalog), platforms(catalog));
    format!("{ladder}\n\n{platforms}\n\n{}\n\n{}{blocked}", products(catalog), editions(catalog))
}

/// The groups, from the one that covers the most products down, with the groups that each is directly above and its
/// generation (R32, R34).
fn ladder(catalog: &Catalog) -> comfy_table::Table {
    let mut text = table(["Group", "Code", "Directly above", "Generations", "Products covered"]);
    let covered = |group: u8| catalog.products().filter(|product| catalog.covers(group, product)).count();
    let mut groups: Vec<_> = catalog.groups().map(|group| (covered(group.code), group)).collect();
    groups.sort_by_key(|(covered, group)| (std::cmp::Reverse(*covered), group.code));
    for (covered, group) in groups {
        text.add_row([
            group.name.to_string(),
            group.code.to_string(),
            list(group.above.iter()),
            format!("up to {}", group.generation),
            covered.to_string(),
        ]);
    }
    text
}

fn platforms(catalog: &Catalog) -> comfy_table::Table {
    let mut text = table(["Platform", "Code", "May hold keys of"]);
    for platform in catalog.platforms() {
        text.add_row([platform.name.to_string(), platform.code.to_string(), list(platform.may_hold.iter())]);
    }
    text
}

fn products(catalog: &Catalog) -> comfy_table::Table {
    let mut text = table(["Product", "Title", "Application", "Group", "Generation", "Threshold"]);
    for product in catalog.products() {
        text.add_row([
            product.name.to_string(),
            product.title.clone(),
            product.application.to_string(),
            group_name(catalog, product.group),
            product.generation.to_string(),
            product.threshold.to_string(),
        ]);
    }
    text
}

/// The catalog as JSON.
pub(crate) fn json(catalog: &Catalog, signed: Option<Fingerprint>) -> Value {
    let groups = catalog.groups().map(|group| {
        json!({
            "name": group.name.as_str(), "code": group.code, "generation": group.generation,
            "above": names(group.above.iter()),
        })
    });
    let platforms = catalog.platforms().map(|platform| {
        json!({
            "name": platform.name.as_str(), "code": platform.code, "may_hold": names(platform.may_hold.iter()),
        })
    });
    let products = catalog.products().map(|product| {
        json!({
            "name": product.name.as_str(), "title": product.title, "application": product.application.as_str(),
            "group": group_name(catalog, product.group), "generation": product.generation,
            "threshold": product.threshold, "editions": product.editions.iter().map(edition_json).collect::<Vec<_>>(),
        })
    });
    json!({
        "publisher_name": catalog.publisher_name(),
        "serial": catalog.serial(),
        "signed_by": signed.map(|fingerprint| fingerprint.to_string()),
        "groups": groups.collect::<Vec<_>>(),
        "platforms": platforms.collect::<Vec<_>>(),
        "products": products.collect::<Vec<_>>(),
        "blocked_keys": catalog.blocked_keys().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "blocked_certificates": catalog.blocked_certificates().iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn edition_json(edition: &Edition) -> Value {
    json!({ "name": edition.name, "setup_key": edition.setup_key.to_string() })
}

/// The editions of each product with their public setup keys (R35).
fn editions(catalog: &Catalog) -> comfy_table::Table {
    let mut text = table(["Product", "Edition", "Setup key"]);
    for product in catalog.products() {
        for edition in &product.editions {
            text.add_row([product.name.to_string(), edition.name.clone(), edition.setup_key.to_string()]);
        }
    }
    text
}

fn group_name(catalog: &Catalog, code: u8) -> String {
    catalog.group(code).map(|group| group.name.to_string()).unwrap_or_default()
}

fn names<'a>(names: impl Iterator<Item = &'a Name>) -> Vec<&'a str> {
    names.map(Name::as_str).collect()
}

fn list<'a>(items: impl Iterator<Item = &'a Name>) -> String {
    names(items).join(", ")
}
