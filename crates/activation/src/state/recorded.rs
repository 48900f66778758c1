//! Acts and refusals as the audit records them since format 3: codes with values ([`crate::coded`]).

use super::registration::{Holder, Registration};
use super::tokens::token_id;
use super::{Act, Command, CommandRefusal, Grant};
use crate::catalog::{CatalogError, SignedCatalog};
use crate::certificate::CertificateError;
use crate::coded::{Code, Coded};
use crate::settings::{SettingChange, SettingError};

impl Command {
    /// The act as the audit records it.
    #[must_use]
    pub fn act(&self) -> Coded {
        match self {
            Self::Audited { act: Act::Command(command), .. } | Self::Once { command, .. } => command.act(),
            Self::Audited { act: Act::Noted { what, .. }, .. } => what.clone(),
            command => act(command),
        }
    }
}

/// The code of what a command does.
pub(super) fn act(command: &Command) -> Coded {
    let settings = |changes: &[SettingChange]| -> Vec<String> {
        changes.iter().flat_map(|change| [change.setting().log_name().to_owned(), change.text().to_owned()]).collect()
    };
    match command {
        Command::Batch(batch) => Coded::new(Code::Count, [batch.records.len()]),
        Command::InstallCatalog { signed } => match SignedCatalog::open(signed) {
            Ok(opened) => {
                let values = [opened.catalog.serial().to_string(), opened.publisher.to_string()];
                Coded::new(Code::InstallCatalog, values)
            }
            Err(_) => Coded::bare(Code::InstallUnreadableCatalog),
        },
        Command::InstallKey { key, .. } => Coded::new(Code::InstallKey, [key.key_id()]),
        Command::InstallActivation { .. } => Coded::bare(Code::InstallActivation),
        Command::Release { statements } => {
            let values = statements.iter().flat_map(|one| [one.key.to_string(), one.node.to_string()]);
            Coded::new(Code::Release, values)
        }
        Command::ChangeSettings { node: None, changes } => Coded::new(Code::SetSettings, settings(changes)),
        Command::ChangeSettings { node: Some(node), changes } => {
            Coded::new(Code::SetNodeSettings, std::iter::once(node.to_string()).chain(settings(changes)))
        }
        Command::Announce { node, announcement } => {
            Coded::new(Code::Announce, [node.to_string(), announcement.target.to_string()])
        }
        Command::Forget { node } => Coded::new(Code::Forget, [node]),
        Command::AddToken { token, .. } => match token.grant {
            Grant::Node => Coded::bare(Code::AddNodeToken),
            Grant::Administrator => Coded::new(Code::AddPersonToken, ["administrator"]),
            Grant::Operator => Coded::new(Code::AddPersonToken, ["operator"]),
            Grant::Reader => Coded::new(Code::AddPersonToken, ["reader"]),
        },
        Command::UseToken {
            registration: Some((_, Registration { holder: Holder::Person { name, role }, .. })),
            ..
        } => Coded::new(Code::EnrolNamedPerson, [name.as_str(), role.name()]),
        Command::UseToken { node: Some(node), .. } => Coded::new(Code::EnrolNode, [node]),
        Command::UseToken { node: None, .. } => Coded::bare(Code::EnrolPerson),
        Command::SetFormat { format } => Coded::new(Code::SetFormat, [format]),
        Command::Audited { act: Act::Command(command), .. } | Command::Once { command, .. } => act(command),
        Command::Audited { act: Act::Noted { what, .. }, .. } => what.clone(),
        // Not written since format 3; a command of this kind is refused there.
        Command::Audited { act: Act::Note { .. }, .. } => Coded::bare(Code::MalformedCommand),
        Command::ResetClock { time_ms } => Coded::new(Code::SetClockBack, [time_ms]),
        Command::AcceptClock { time_ms } => Coded::new(Code::AcceptClockAt, [time_ms]),
        Command::StateHash { index, .. } => Coded::new(Code::CompareState, [index]),
        Command::NoteHash => Coded::bare(Code::NoteState),
        Command::Register { keys, .. } => {
            let holders: Vec<_> = keys.iter().map(|(_, registration)| registration.holder.to_string()).collect();
            Coded::new(Code::Register, [holders.join(", ")])
        }
        Command::Revoke(revocation) => Coded::new(Code::Revoke, [&revocation.whom]),
        Command::SetAuthority(_) => Coded::bare(Code::ReplaceAuthority),
        Command::RevokeToken { digest } => Coded::new(Code::RevokeToken, [token_id(digest)]),
    }
}

/// The code of why a command was refused.
pub(super) fn refusal(refusal: &CommandRefusal) -> Coded {
    match refusal {
        CommandRefusal::Malformed(_) => Coded::bare(Code::MalformedCommand),
        CommandRefusal::Catalog(error) => catalog(error),
        CommandRefusal::TooMany { max, .. } => Coded::new(Code::TooMany, [max]),
        CommandRefusal::NotAHostKey(_) => Coded::bare(Code::NotAHostKey),
        CommandRefusal::Answers(_) => Coded::bare(Code::MalformedAnswer),
        CommandRefusal::NotSignedByPublisher(_) => Coded::bare(Code::AnswerNotSignedByPublisher),
        CommandRefusal::NotSignedByNode { node } => Coded::new(Code::NotSignedByNode, [node]),
        CommandRefusal::NotHeld { node, key } => Coded::new(Code::NotHeld, [node.to_string(), key.to_string()]),
        CommandRefusal::KeyOfAnother { key } => Coded::new(Code::KeyOfAnother, [key]),
        CommandRefusal::UnknownPublisher => Coded::bare(Code::UnknownPublisher),
        CommandRefusal::Setting(error) => setting(error),
        CommandRefusal::TargetOfAnother { node, other } => Coded::new(Code::TargetOfAnother, [node, other]),
        CommandRefusal::UnknownToken => Coded::bare(Code::UnknownToken),
        CommandRefusal::ExpiredToken => Coded::bare(Code::ExpiredToken),
        CommandRefusal::KeyOfAnotherHolder { holder } => Coded::new(Code::KeyOfAnotherHolder, [holder]),
        CommandRefusal::KeyNotRegistered { holder } => Coded::new(Code::KeyNotRegistered, [holder]),
        CommandRefusal::NotABackwardReset => Coded::bare(Code::NotABackwardReset),
        CommandRefusal::Certificate { node, source } => {
            let code = match source {
                CertificateError::Malformed(_) => Code::MalformedCertificate,
                CertificateError::Signature => Code::CertificateSignature,
            };
            Coded::new(code, [node])
        }
        CommandRefusal::KeyNotInstalled { node, key } => {
            Coded::new(Code::KeyNotInstalled, [node.to_string(), key.to_string()])
        }
        CommandRefusal::UnknownGroup { node, group } => {
            Coded::new(Code::UnknownGroup, [node.to_string(), group.to_string()])
        }
        CommandRefusal::PlatformMayNotHold { node, platform, group } => {
            Coded::new(Code::PlatformMayNotHold, [node.to_string(), platform.to_string(), group.to_string()])
        }
        CommandRefusal::Earlier(earlier) => earlier.clone(),
    }
}

fn setting(error: &SettingError) -> Coded {
    match error {
        SettingError::Unknown => Coded::bare(Code::UnknownSetting),
        SettingError::Value { setting } => Coded::new(Code::SettingValue, [setting.log_name()]),
        SettingError::OfNode(setting) => Coded::new(Code::SettingOfNode, [setting.log_name()]),
        SettingError::OfCluster(setting) => Coded::new(Code::SettingOfCluster, [setting.log_name()]),
    }
}

fn catalog(error: &CatalogError) -> Coded {
    match error {
        CatalogError::Source { .. } | CatalogError::Malformed(_) => Coded::bare(Code::MalformedCatalog),
        CatalogError::Unsound(_) => Coded::bare(Code::UnsoundCatalog),
        CatalogError::Signature => Coded::bare(Code::CatalogSignature),
        CatalogError::NotNewer { installed, offered } => Coded::new(Code::CatalogNotNewer, [installed, offered]),
        CatalogError::ProductGone { name } => Coded::new(Code::ProductGone, [name]),
        CatalogError::ProductMoved { name, from, to } => Coded::new(Code::ProductMoved, [name, from, to]),
        CatalogError::CodeReused { name } => Coded::new(Code::CodeReused, [name]),
    }
}
