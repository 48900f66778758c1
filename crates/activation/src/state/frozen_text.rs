//! Texts of formats 1 and 2, byte for byte as the first version wrote them.
//!
//! In format 2 an administrator's command is recorded in the audit with a text of what it does and, where it was
//! refused, a text of the reason. Every node writes these texts itself when it applies the command, and they are
//! part of the audit's hash chain and of the state hash. A node whose texts differ by one byte has another state
//! than the others, and stops. So these texts never change, even where a better wording is found. `Display` of the
//! same types is for readers, may change in any version, and is never called from here. A later format records no
//! text that a version could word differently.
//!
//! The golden files in `tests/golden/` hold one audit entry with each text; replaying them fails where a text
//! changed. The field names in `Malformed(...)` are such texts too, although they are written in the code that
//! decodes the bytes.

use std::fmt::Write as _;

use super::{Act, Command, CommandRefusal, Grant};
use crate::catalog::{CatalogError, Flaw, SignedCatalog};
use crate::certificate::CertificateError;
use crate::host_activation::{ActivationFileError, ReleaseStatement};
use crate::id::NodeId;
use crate::key::{DoubtfulGroups, KeyError, KeyKind, SymbolError};
use crate::settings::{Setting, SettingChange, SettingError};

/// The text of what a command does.
pub(super) fn act(command: &Command) -> String {
    match command {
        Command::Batch(batch) => format!("count {} requests", batch.records.len()),
        Command::InstallCatalog { signed } => match SignedCatalog::open(signed) {
            // `{:?}` of a text depends on the standard library's tables of printable characters; kept as the first
            // version wrote it.
            Ok(opened) => {
                format!("install catalog {} of {:?}", opened.catalog.serial(), opened.catalog.publisher_name())
            }
            Err(_) => "install a catalog".into(),
        },
        Command::InstallKey { key, .. } => format!("install key {}", key.key_id()),
        Command::InstallActivation { .. } => "install what the publisher answered".into(),
        Command::Release { statements } => release(statements),
        Command::ChangeSettings { node, changes } => change_settings(*node, changes),
        Command::Announce { node, announcement } => format!("announce node {node} as {}", announcement.target),
        Command::Forget { node } => format!("forget node {node}"),
        Command::AddToken { token, .. } => format!("give out a token: {}", grant(token.grant)),
        Command::UseToken { node: Some(node), .. } => format!("enrol node {node}"),
        Command::UseToken { node: None, .. } => "enrol a person".into(),
        Command::SetFormat { format } => format!("set format {}", format.number()),
        Command::Audited { act: Act::Command(command), .. } => act(command),
        Command::Audited { act: Act::Note { act, .. }, .. } => act.clone(),
        // Commands of format 3, which records no texts; a leader does not write them below it.
        Command::Audited { act: Act::Noted { .. }, .. }
        | Command::Once { .. }
        | Command::AcceptClock { .. }
        | Command::Register { .. }
        | Command::Revoke(_)
        | Command::RevokeToken { .. }
        | Command::SetAuthority(_)
        | Command::NoteHash => String::new(),
        Command::ResetClock { time_ms } => format!("set cluster time to {time_ms} ms"),
        Command::StateHash { index, .. } => format!("compare the state at entry {index}"),
    }
}

fn release(statements: &[ReleaseStatement]) -> String {
    statements.iter().fold("release".into(), |mut text, statement| {
        // Writing to a string cannot fail.
        let _ = write!(text, " key {} of node {}", statement.key, statement.node);
        text
    })
}

fn change_settings(node: Option<NodeId>, changes: &[SettingChange]) -> String {
    let mut text = String::from("set");
    for change in changes {
        let _ = write!(text, " {}={}", change.setting().log_name(), change.text());
    }
    if let Some(node) = node {
        let _ = write!(text, " of node {node}");
    }
    text
}

fn grant(grant: Grant) -> &'static str {
    match grant {
        Grant::Node => "Node",
        Grant::Administrator => "Administrator",
        Grant::Operator => "Operator",
        Grant::Reader => "Reader",
    }
}

/// The text of why a command was refused.
pub(super) fn refusal(refusal: &CommandRefusal) -> String {
    match refusal {
        CommandRefusal::Malformed(field) => format!("the command is malformed: {field}"),
        CommandRefusal::Catalog(error) => catalog(error),
        CommandRefusal::TooMany { what, max } => format!("the cluster holds {max} {what} already"),
        CommandRefusal::NotAHostKey(kind) => format!("this is a {}; a host takes a host key", key_kind(*kind)),
        CommandRefusal::Answers(error) => format!("the answer is malformed: {}", activation_file(*error)),
        CommandRefusal::NotSignedByPublisher(_) => "the answer is not signed by this publisher".into(),
        CommandRefusal::NotSignedByNode { node } => format!("release of node {node}: not signed by the node key in it"),
        CommandRefusal::NotHeld { node, key } => format!("node {node} holds no such certificate for key {key}"),
        CommandRefusal::KeyOfAnother { key } => {
            format!("key {key} is installed for another publisher, and nodes are activated with it")
        }
        CommandRefusal::UnknownPublisher => {
            "no catalog of this publisher is installed: run `catalog install` first".into()
        }
        CommandRefusal::Setting(error) => setting(error),
        CommandRefusal::TargetOfAnother { node, other } => {
            format!("node {node} announces the DNS name of node {other}: give each node a name of its own")
        }
        CommandRefusal::UnknownToken => {
            "the cluster knows no such token: it was used already, or is not this cluster's".into()
        }
        CommandRefusal::ExpiredToken => "the token's time is over: ask for another one".into(),
        // Refusals of format 3.
        CommandRefusal::Earlier(_)
        | CommandRefusal::KeyOfAnotherHolder { .. }
        | CommandRefusal::KeyNotRegistered { .. } => String::new(),
        CommandRefusal::NotABackwardReset => "a reset sets cluster time back; it is not later than this already".into(),
        CommandRefusal::Certificate { node, source } => {
            format!("certificate for node {node}: {}", certificate(*source))
        }
        CommandRefusal::KeyNotInstalled { node, key } => {
            format!("certificate for node {node}: key {key} is not installed: run `key install` first")
        }
        CommandRefusal::UnknownGroup { node, group } => {
            format!("certificate for node {node}: the installed catalog has no group {group}: install a newer catalog")
        }
        CommandRefusal::PlatformMayNotHold { node, platform, group } => {
            format!("certificate for node {node}: platform class {platform} may not hold a key of group {group}")
        }
    }
}

fn key_kind(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Host => "host key",
        KeyKind::Setup => "setup key",
        KeyKind::Direct => "direct key",
    }
}

fn activation_file(error: ActivationFileError) -> String {
    match error {
        ActivationFileError::Newer { found } => {
            format!("the file has format {found}; this version reads up to 1: run a newer version")
        }
        ActivationFileError::Malformed(field) => {
            format!("the file is damaged, or is not what it should be: {field}")
        }
    }
}

fn certificate(error: CertificateError) -> String {
    match error {
        CertificateError::Malformed(field) => format!("the certificate is malformed: {field}"),
        CertificateError::Signature => "the certificate is not signed by this publisher".into(),
    }
}

fn setting(error: &SettingError) -> String {
    match error {
        SettingError::Unknown => "there is no such setting; there are activation.interval_minutes, \
            renewal.interval_minutes, dns.publish, dns.domains, dns.ttl_s, dns.withdraw_dead_s, \
            clients.connections_per_source_max, clients.port, process.low_priority"
            .into(),
        SettingError::Value { setting, .. } => format!("`{}` takes {}", setting.log_name(), expected(*setting)),
        SettingError::OfNode(setting) => format!("`{}` is of one node: say which", setting.log_name()),
        SettingError::OfCluster(setting) => {
            format!("`{}` is of the whole cluster, not of one node", setting.log_name())
        }
    }
}

fn expected(setting: Setting) -> &'static str {
    match setting {
        Setting::ActivationInterval | Setting::RenewalInterval => "a number of 15 to 43200",
        Setting::DnsPublish | Setting::LowPriority => "true or false",
        Setting::DnsDomains => "up to 16 different entries DOMAIN or DOMAIN:PRIORITY:WEIGHT, separated by commas",
        Setting::DnsTtl => "a number of 1 to 86400",
        Setting::DnsWithdrawDead => "0, or a number of 60 to 86400",
        Setting::ConnectionsPerSource | Setting::ClientsPort => "a number of 0 to 65535",
        // No entry of formats 1 and 2 holds these settings.
        Setting::RaftProfile => "near or far",
        Setting::GatewayUpstreams
        | Setting::GatewayGroups
        | Setting::GatewayForward
        | Setting::GatewayMirror
        | Setting::GatewayPrefer
        | Setting::GatewayChoice => "a value of a later format",
    }
}

fn catalog(error: &CatalogError) -> String {
    match error {
        // Only a catalog's source text has lines; a command holds signed bytes.
        CatalogError::Source { line, column, problem, fix } => {
            format!("line {line}, column {column}: {problem}; {fix}")
        }
        CatalogError::Malformed(field) => format!("the signed catalog is malformed: {field}"),
        CatalogError::Unsound(flaw) => {
            let (problem, fix) = self::flaw(flaw);
            format!("the catalog is not sound: {problem}; {fix}")
        }
        CatalogError::Signature => "the signature is not by the root key that the catalog names".into(),
        CatalogError::NotNewer { installed, offered } => {
            format!("a catalog with serial {installed} is installed; {offered} is not newer: raise `serial`")
        }
        CatalogError::ProductGone { name } => {
            format!("product `{name}` is missing: keep every product listed that an earlier catalog had")
        }
        CatalogError::ProductMoved { name, from, to } => {
            format!("product `{name}` moved from application `{from}` to `{to}`: give the moved product a new name")
        }
        CatalogError::CodeReused { name } => {
            format!("`{name}` lost its code: keep group and platform names and codes as in the earlier catalog")
        }
    }
}

/// The texts of a flaw in a catalog, and of how to correct it.
fn flaw(flaw: &Flaw) -> (String, String) {
    const MAKE_ONE: &str = "make one with `quorate publisher catalog setup-key`";
    let (problem, fix): (String, &str) = match flaw {
        Flaw::Text => ("not a text of 1 to 96 bytes without control characters".into(), "write such a text"),
        Flaw::SerialZero => ("the serial is 0".into(), "count serials from 1"),
        Flaw::TooManyEntries { section, max } => (format!("more than {max} entries of `{section}`"), "remove some"),
        Flaw::Name(_) => (
            "not a name of 1 to 48 characters a-z, 0-9 and -, beginning with a letter or digit".into(),
            "choose such a name",
        ),
        Flaw::NotSmall { field } => (format!("`{field}` is not a number of 1 to 255"), "choose one"),
        Flaw::Twice { section, field } => (format!("this `{field}` is used twice in `{section}`"), "choose another"),
        Flaw::Unknown { section } => {
            let fix = format!("add a [[{section}]] of this name, or correct it");
            return (format!("this {section} is not in the catalog"), fix);
        }
        Flaw::LadderCycle => {
            ("the ladder goes round in a circle through this group".into(), "remove one of the `above` entries in it")
        }
        Flaw::Threshold => ("the threshold is not a number of 1 to 10000".into(), "choose one; 25 and 5 are usual"),
        Flaw::TooManyEditions => ("more than 32 editions".into(), "make several products of it"),
        Flaw::SetupKey { edition, error } => {
            (format!("the setup key of edition {edition:?}: {}", key(*error)), MAKE_ONE)
        }
        Flaw::NotASetupKey { edition, kind } => {
            (format!("the key of edition {edition:?} is a {}, not a setup key", key_kind(*kind)), MAKE_ONE)
        }
        Flaw::SetupKeyTwice { edition } => (format!("the setup key of edition {edition:?} is used twice"), MAKE_ONE),
        Flaw::NotCovered => (
            "no group's keys cover a product of this generation".into(),
            "raise the generation of its group, or lower the product's",
        ),
        Flaw::TooManyBlocked => ("more than 2000 blocked keys and certificates".into(), "remove some"),
        Flaw::BlockedId { field: "keys", .. } => ("not a key id of 16 hexadecimal digits".into(), "correct it"),
        Flaw::BlockedId { .. } => ("not a certificate id of 32 hexadecimal digits".into(), "correct it"),
        Flaw::NoRoomForBlocked { blocked } => (
            format!("it does not hold {blocked} blocked keys and certificates"),
            "issue keys for fewer hosts, and block less",
        ),
    };
    (problem, fix.into())
}

fn key(error: KeyError) -> String {
    let symbols = match error {
        KeyError::Kind => return "the first character of group 1 names no kind of key".into(),
        KeyError::Symbols(error) => error,
    };
    let why = match symbols {
        SymbolError::Length { symbols, doubtful } => {
            format!("25 characters in five groups are needed; this has {symbols}{}", hint(doubtful))
        }
        SymbolError::Symbol { group, place } => format!(
            "character {place} of group {group} does not occur: only digits 2 to 9 and letters without I, L, O, S and U"
        ),
        SymbolError::Check { doubtful } => {
            format!("mistyped: the check characters do not fit{}", hint(doubtful))
        }
    };
    format!("the key is not valid: {why}")
}

fn hint(doubtful: DoubtfulGroups) -> String {
    let groups: Vec<_> = doubtful.groups().map(|group| group.to_string()).collect();
    match groups.as_slice() {
        [] => "; compare all groups".into(),
        [group] => format!("; look at group {group} again"),
        [first @ .., last] => format!("; look at groups {} and {last} again", first.join(", ")),
    }
}
