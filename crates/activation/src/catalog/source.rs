//! The text form of a catalog: TOML, as a publisher writes it.

use std::num::NonZeroU16;
use std::ops::Range;

use serde::Deserialize;
use toml::de::{DeTable, DeValue};

use super::check::{Defect, FieldPosition, check};
use super::error::CatalogError;
use super::flaw::Flaw;
use super::model::Catalog;
use super::signed::encoded_bytes;
use crate::id::{CertificateId, KeyId};
use crate::{limits, proto};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    publisher: String,
    serial: u64,
    /// Absent: certificates do not expire.
    certificate_days: Option<NonZeroU16>,
    #[serde(default)]
    application: Vec<Application>,
    #[serde(default)]
    group: Vec<Group>,
    #[serde(default)]
    platform: Vec<Platform>,
    #[serde(default)]
    product: Vec<Product>,
    #[serde(default)]
    blocked: Blocked,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Application {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    name: String,
    code: u32,
    generation: u32,
    #[serde(default)]
    above: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Platform {
    name: String,
    code: u32,
    may_hold: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Product {
    name: String,
    title: String,
    application: String,
    group: String,
    generation: u32,
    threshold: u32,
    #[serde(default)]
    editions: Vec<Edition>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edition {
    name: String,
    setup_key: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Blocked {
    #[serde(default)]
    keys: Vec<String>,
    #[serde(default)]
    certificates: Vec<String>,
}

pub(super) fn parse(text: &str) -> Result<Catalog, CatalogError> {
    if text.len() > limits::CATALOG_TEXT_BYTES_MAX {
        let problem = format!("the text is longer than {} bytes", limits::CATALOG_TEXT_BYTES_MAX);
        return Err(at(text, 0..0, problem, "shorten it".to_owned()));
    }
    let source: Source = toml::from_str(text).map_err(|error| {
        let fix = "correct it as in the example catalog".to_owned();
        at(text, error.span().unwrap_or_default(), error.message().to_owned(), fix)
    })?;
    let located = |defect: Defect| at(text, find(text, defect.position), defect.flaw.to_string(), defect.flaw.fix());
    let draft = draft(source).map_err(located)?;
    let catalog = check(&draft).map_err(located)?;
    if encoded_bytes(&catalog) > limits::CATALOG_BYTES_MAX {
        let problem = format!("the catalog takes more than {} bytes when signed", limits::CATALOG_BYTES_MAX);
        return Err(at(text, 0..0, problem, "shorten titles and editions, or remove blocked entries".to_owned()));
    }
    Ok(catalog)
}

fn draft(source: Source) -> Result<proto::Catalog, Defect> {
    let wrong = |field, fix| {
        move |error| Defect::new(FieldPosition::of("blocked", 0, field), Flaw::BlockedId { field, error, fix })
    };
    let mut blocked_keys = Vec::new();
    for id in &source.blocked.keys {
        let id: KeyId = id.parse().map_err(wrong("keys", "write the key id, never the key"))?;
        blocked_keys.push(id.0.to_vec().into());
    }
    let mut blocked_certificates = Vec::new();
    for id in &source.blocked.certificates {
        let id: CertificateId = id.parse().map_err(wrong("certificates", "write the certificate's id"))?;
        blocked_certificates.push(id.0.to_vec().into());
    }
    Ok(proto::Catalog {
        publisher_name: source.publisher,
        serial: source.serial,
        applications: source.application.into_iter().map(|application| application.name).collect(),
        groups: source.group.into_iter().map(Into::into).collect(),
        platforms: source.platform.into_iter().map(Into::into).collect(),
        products: source.product.into_iter().map(Into::into).collect(),
        blocked_keys,
        blocked_certificates,
        certificate_days: source.certificate_days.map_or(0, |days| days.get().into()),
        ..Default::default()
    })
}

impl From<Group> for proto::Group {
    fn from(Group { name, code, generation, above }: Group) -> Self {
        Self { name, code, generation, above }
    }
}

impl From<Platform> for proto::Platform {
    fn from(Platform { name, code, may_hold }: Platform) -> Self {
        Self { name, code, may_hold }
    }
}

impl From<Product> for proto::Product {
    fn from(product: Product) -> Self {
        let Product { name, title, application, group, generation, threshold, editions } = product;
        let editions = editions.into_iter().map(|Edition { name, setup_key }| proto::Edition { name, setup_key });
        Self { name, title, application, group, generation, threshold, editions: editions.collect() }
    }
}

/// The position of a field in the text: the field's value if it is there, else the entry, else the beginning.
fn find(text: &str, position: FieldPosition) -> Range<usize> {
    let Ok(document) = DeTable::parse(text) else { return 0..0 };
    let mut span = 0..0;
    let mut table = Some(document.get_ref());
    if !position.section.is_empty() {
        let section = table.and_then(|table| table.get(position.section));
        span = section.map_or(span, |section| section.span());
        let entry = section.and_then(|section| match section.get_ref() {
            DeValue::Array(entries) => entries.get(position.index),
            _ => Some(section),
        });
        span = entry.map_or(span, |entry| entry.span());
        table = entry.and_then(|entry| entry.get_ref().as_table());
    }
    let value = table.and_then(|table| table.get(position.field));
    value.map_or(span, |value| value.span())
}

fn at(text: &str, span: Range<usize>, problem: String, fix: String) -> CatalogError {
    let before = text.get(..span.start).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    CatalogError::Source { line, column, problem, fix }
}
