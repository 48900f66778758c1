//! Names of results in the recorded log. They belong to the recording, so they stay the same when a type is renamed.

use activation::catalog::CatalogError;
use activation::certificate::CertificateError;
use activation::host_activation::ActivationFileError;
use activation::key::KeyKind;
use activation::settings::SettingError;
use activation::state::{Applied, CommandRefusal};
use data_encoding::HEXLOWER;

pub(crate) fn applied(applied: &Applied) -> String {
    match applied {
        Applied::Batch { time_ms, outcomes } => {
            let outcomes: Vec<_> = outcomes.iter().map(|outcome| HEXLOWER.encode(&outcome.encode())).collect();
            format!("batch {time_ms} {}", outcomes.join(","))
        }
        Applied::Done => "done".into(),
        Applied::Refused(refusal) => format!("refused {}", self::refusal(refusal)),
        Applied::Newer => "newer".into(),
        Applied::Repeated { index, refused } => format!("repeated {index} {}", refused.is_some()),
        Applied::HashChecked { index, matches } => format!("hash {index} {matches:?}"),
    }
}

fn refusal(refusal: &CommandRefusal) -> String {
    match refusal {
        CommandRefusal::Malformed(field) => format!("malformed/{field}"),
        CommandRefusal::Catalog(error) => format!("catalog/{}", catalog(error)),
        CommandRefusal::TooMany { what, max } => format!("too-many/{what}/{max}"),
        CommandRefusal::NotAHostKey(kind) => format!("not-a-host-key/{}", key_kind(*kind)),
        CommandRefusal::Answers(ActivationFileError::Newer { found }) => format!("answers/newer/{found}"),
        CommandRefusal::Answers(ActivationFileError::Malformed(field)) => format!("answers/malformed/{field}"),
        CommandRefusal::NotSignedByPublisher(_) => "not-signed-by-publisher".into(),
        CommandRefusal::NotSignedByNode { node } => format!("not-signed-by-node/{node}"),
        CommandRefusal::NotHeld { node, key } => format!("not-held/{node}/{key}"),
        CommandRefusal::KeyOfAnother { key } => format!("key-of-another/{key}"),
        CommandRefusal::UnknownPublisher => "unknown-publisher".into(),
        CommandRefusal::Setting(error) => format!("setting/{}", setting(error)),
        CommandRefusal::TargetOfAnother { node, other } => format!("target-of-another/{node}/{other}"),
        CommandRefusal::UnknownToken => "unknown-token".into(),
        CommandRefusal::ExpiredToken => "expired-token".into(),
        CommandRefusal::NotABackwardReset => "not-a-backward-reset".into(),
        CommandRefusal::Certificate { node, source: CertificateError::Malformed(field) } => {
            format!("certificate/malformed/{node}/{field}")
        }
        CommandRefusal::Certificate { node, source: CertificateError::Signature } => {
            format!("certificate/signature/{node}")
        }
        CommandRefusal::Earlier(earlier) => format!("earlier/{}", earlier.code as u32),
        CommandRefusal::KeyNotInstalled { node, key } => format!("key-not-installed/{node}/{key}"),
        CommandRefusal::UnknownGroup { node, group } => format!("unknown-group/{node}/{group}"),
        CommandRefusal::PlatformMayNotHold { node, platform, group } => {
            format!("platform-may-not-hold/{node}/{platform}/{group}")
        }
    }
}

fn catalog(error: &CatalogError) -> String {
    match error {
        CatalogError::Source { .. } => "source".into(),
        CatalogError::Malformed(field) => format!("malformed/{field}"),
        CatalogError::Unsound(_) => "unsound".into(),
        CatalogError::Signature => "signature".into(),
        CatalogError::NotNewer { installed, offered } => format!("not-newer/{installed}/{offered}"),
        CatalogError::ProductGone { name } => format!("product-gone/{name}"),
        CatalogError::ProductMoved { name, from, to } => format!("product-moved/{name}/{from}/{to}"),
        CatalogError::CodeReused { name } => format!("code-reused/{name}"),
    }
}

fn setting(error: &SettingError) -> String {
    match error {
        SettingError::Unknown => "unknown".into(),
        SettingError::Value { setting, .. } => format!("value/{}", setting.log_name()),
        SettingError::OfNode(setting) => format!("of-node/{}", setting.log_name()),
        SettingError::OfCluster(setting) => format!("of-cluster/{}", setting.log_name()),
    }
}

fn key_kind(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Host => "host key",
        KeyKind::Setup => "setup key",
        KeyKind::Direct => "direct key",
    }
}
