//! Which kinds of content a recorded log contains, of all kinds that a log can contain.
//!
//! Each table names every variant of its type in a `match` without a wildcard. So a new variant does not compile
//! until it is listed here, as recorded or as one that no recording of this age can contain.

use std::collections::BTreeSet;

use activation::catalog::{CatalogError, Flaw};
use activation::certificate::CertificateError;
use activation::clock::SkewReference;
use activation::host_activation::ActivationFileError;
use activation::settings::{Setting, SettingError};
use activation::state::{Act, Applied, Command, CommandRefusal, Format, Grant, RecordOutcome, Refusal};

/// In which recordings a variant must occur.
#[derive(Clone, Copy, Debug)]
enum Recorded {
    /// In every format from this one on, in each recording of the format.
    Since(u32),
    /// In no recording, for this reason. A variant newer than all recordings has `Never("newer than these files")`.
    Never(&'static str),
}

use Recorded::{Never, Since};

macro_rules! tables {
    ($($table:ident: $function:ident($type:ty) { $($pattern:pat => $name:literal, $recorded:expr;)* })*) => {
        $(
            const $table: &[(&str, Recorded)] = &[$(($name, $recorded)),*];

            fn $function(value: &$type) -> &'static str {
                match value {
                    $($pattern => $name,)*
                }
            }
        )*

        const TABLES: &[(&str, &[(&str, Recorded)])] = &[$((stringify!($function), $table)),*];
    };
}

tables! {
    COMMANDS: command(Command) {
        Command::Batch(_) => "batch", Since(1);
        Command::InstallCatalog { .. } => "install-catalog", Since(1);
        Command::InstallKey { .. } => "install-key", Since(1);
        Command::InstallActivation { .. } => "install-activation", Since(1);
        Command::Release { .. } => "release", Since(1);
        Command::ChangeSettings { .. } => "change-settings", Since(1);
        Command::Announce { .. } => "announce", Since(1);
        Command::Forget { .. } => "forget", Since(1);
        Command::AddToken { .. } => "add-token", Since(1);
        Command::UseToken { .. } => "use-token", Since(1);
        // The format is another one after this command.
        Command::SetFormat { .. } => "set-format", Since(1);
        Command::Audited { .. } => "audited", Since(2);
        Command::ResetClock { .. } => "reset-clock", Since(1);
        Command::StateHash { .. } => "state-hash", Since(1);
        Command::Once { .. } => "once", Since(3);
        Command::AcceptClock { .. } => "accept-clock", Since(3);
        Command::NoteHash => "note-hash", Since(3);
        Command::Register { .. } => "register", Never("newer than these files");
        Command::Revoke(_) => "revoke", Never("newer than these files");
        Command::RevokeToken { .. } => "revoke-token", Never("newer than these files");
        Command::SetAuthority(_) => "set-authority", Never("newer than these files");
    }
    ACTS: act(Act) {
        Act::Command(_) => "command", Since(2);
        Act::Note { .. } => "note", Since(2);
        Act::Noted { .. } => "noted", Since(3);
    }
    SETTINGS: setting(Setting) {
        Setting::ActivationInterval => "activation-interval", Since(1);
        Setting::RenewalInterval => "renewal-interval", Since(1);
        Setting::DnsPublish => "dns-publish", Since(1);
        Setting::DnsDomains => "dns-domains", Since(1);
        Setting::DnsTtl => "dns-ttl", Since(1);
        Setting::DnsWithdrawDead => "dns-withdraw-dead", Since(1);
        Setting::ConnectionsPerSource => "connections-per-source", Since(1);
        Setting::ClientsPort => "clients-port", Since(1);
        Setting::LowPriority => "low-priority", Since(1);
        Setting::RaftProfile => "raft-profile", Since(3);
        Setting::GatewayUpstreams => "gateway-upstreams", Never("newer than these files");
        Setting::GatewayGroups => "gateway-groups", Never("newer than these files");
        Setting::GatewayForward => "gateway-forward", Never("newer than these files");
        Setting::GatewayMirror => "gateway-mirror", Never("newer than these files");
        Setting::GatewayPrefer => "gateway-prefer", Never("newer than these files");
        Setting::GatewayChoice => "gateway-choice", Never("newer than these files");
    }
    GRANTS: grant(Grant) {
        Grant::Node => "node", Since(1);
        Grant::Administrator => "administrator", Since(1);
        Grant::Operator => "operator", Since(1);
        Grant::Reader => "reader", Since(1);
    }
    SKEW_REFERENCES: skew_reference(SkewReference) {
        SkewReference::ClusterTime => "cluster-time", Since(1);
        SkewReference::Other(_) => "other", Since(1);
        SkewReference::LeaveOut => "leave-out", Since(1);
    }
    RESULTS: result(Applied) {
        Applied::Batch { .. } => "batch", Since(1);
        Applied::Done => "done", Since(1);
        Applied::Refused(_) => "refused", Since(1);
        Applied::Newer => "newer", Since(1);
        Applied::Repeated { .. } => "repeated", Since(3);
        Applied::HashChecked { matches: Some(true), .. } => "hash-matches", Since(1);
        Applied::HashChecked { matches: Some(false), .. } => "hash-differs", Since(1);
        Applied::HashChecked { matches: None, .. } => "hash-unknown", Since(1);
    }
    OUTCOMES: outcome(RecordOutcome) {
        RecordOutcome::Counted(activation::state::Counted { other_machine: false, .. }) => "counted", Since(1);
        RecordOutcome::Counted(_) => "counted-other-machine", Since(1);
        RecordOutcome::Refused(Refusal::NotActivated) => "not-activated", Since(1);
        RecordOutcome::Refused(Refusal::KeyBlocked) => "key-blocked", Since(1);
        RecordOutcome::Refused(Refusal::NotCovered) => "not-covered", Since(1);
        RecordOutcome::Refused(Refusal::ClockSkew) => "clock-skew", Since(1);
    }
    REFUSALS: refusal(CommandRefusal) {
        CommandRefusal::Malformed(_) => "malformed", Since(1);
        CommandRefusal::Catalog(_) => "catalog", Since(1);
        CommandRefusal::TooMany { .. } => "too-many", Since(1);
        CommandRefusal::NotAHostKey(_) => "not-a-host-key", Since(1);
        CommandRefusal::Answers(_) => "answers", Since(1);
        CommandRefusal::NotSignedByPublisher(_) => "not-signed-by-publisher", Since(1);
        CommandRefusal::NotSignedByNode { .. } => "not-signed-by-node", Since(1);
        CommandRefusal::NotHeld { .. } => "not-held", Since(1);
        CommandRefusal::KeyOfAnother { .. } => "key-of-another", Since(1);
        CommandRefusal::UnknownPublisher => "unknown-publisher", Since(1);
        CommandRefusal::Setting(_) => "setting", Since(1);
        CommandRefusal::TargetOfAnother { .. } => "target-of-another", Since(1);
        CommandRefusal::UnknownToken => "unknown-token", Since(1);
        CommandRefusal::ExpiredToken => "expired-token", Since(1);
        CommandRefusal::NotABackwardReset => "not-a-backward-reset", Since(1);
        CommandRefusal::Certificate { .. } => "certificate", Since(1);
        CommandRefusal::KeyNotInstalled { .. } => "key-not-installed", Since(1);
        CommandRefusal::UnknownGroup { .. } => "unknown-group", Since(1);
        CommandRefusal::PlatformMayNotHold { .. } => "platform-may-not-hold", Since(1);
        CommandRefusal::Earlier(_) => "earlier", Never("a command that is repeated is no refusal here");
        CommandRefusal::KeyOfAnotherHolder { .. } => "key-of-another-holder", Never("newer than these files");
        CommandRefusal::KeyNotRegistered { .. } => "key-not-registered", Never("newer than these files");
    }
    CATALOG_ERRORS: catalog_error(CatalogError) {
        CatalogError::Source { .. } => "source", Never("a command holds signed bytes, not a text");
        CatalogError::Malformed(_) => "malformed", Since(1);
        CatalogError::Unsound(_) => "unsound", Since(1);
        CatalogError::Signature => "signature", Since(1);
        CatalogError::NotNewer { .. } => "not-newer", Since(1);
        CatalogError::ProductGone { .. } => "product-gone", Since(1);
        CatalogError::ProductMoved { .. } => "product-moved", Since(1);
        CatalogError::CodeReused { .. } => "code-reused", Since(1);
    }
    FLAWS: flaw(Flaw) {
        Flaw::Text => "text", Since(1);
        Flaw::SerialZero => "serial-zero", Since(1);
        Flaw::TooManyEntries { .. } => "too-many-entries", Since(1);
        Flaw::Name(_) => "name", Since(1);
        Flaw::NotSmall { .. } => "not-small", Since(1);
        Flaw::Twice { .. } => "twice", Since(1);
        Flaw::Unknown { .. } => "unknown", Since(1);
        Flaw::LadderCycle => "ladder-cycle", Since(1);
        Flaw::Threshold => "threshold", Since(1);
        Flaw::TooManyEditions => "too-many-editions", Since(1);
        Flaw::SetupKey { .. } => "setup-key", Since(1);
        Flaw::NotASetupKey { .. } => "not-a-setup-key", Since(1);
        Flaw::SetupKeyTwice { .. } => "setup-key-twice", Since(1);
        Flaw::NotCovered => "not-covered", Since(1);
        Flaw::TooManyBlocked => "too-many-blocked", Since(1);
        Flaw::BlockedId { field: "keys", .. } => "blocked-key", Since(1);
        Flaw::BlockedId { .. } => "blocked-certificate", Since(1);
        Flaw::NoRoomForBlocked { .. } => "no-room-for-blocked", Never("found before a catalog is signed");
    }
    ANSWER_ERRORS: answer_error(ActivationFileError) {
        ActivationFileError::Newer { .. } => "newer", Since(1);
        ActivationFileError::Malformed(_) => "malformed", Since(1);
    }
    CERTIFICATE_ERRORS: certificate_error(CertificateError) {
        CertificateError::Malformed(_) => "malformed", Since(1);
        CertificateError::Signature => "signature", Since(1);
    }
    SETTING_ERRORS: setting_error(SettingError) {
        SettingError::Unknown => "unknown", Never("the command is malformed then");
        SettingError::Value { .. } => "value", Since(1);
        SettingError::OfNode(_) => "of-node", Since(1);
        SettingError::OfCluster(_) => "of-cluster", Since(1);
    }
}

/// Variants that occurred while a log was replayed: format of the state, table, name.
#[derive(Debug, Default)]
pub(super) struct Coverage(BTreeSet<(u32, &'static str, &'static str)>);

impl Coverage {
    pub(super) fn add(&mut self, format: Format, command: Option<&Command>, applied: &Applied) {
        let mut met = vec![("result", result(applied))];
        if let Some(command) = command {
            add_command(command, &mut met);
        }
        match applied {
            Applied::Batch { outcomes, .. } => met.extend(outcomes.iter().map(|it| ("outcome", outcome(it)))),
            Applied::Refused(refused) => add_refusal(refused, &mut met),
            Applied::Done | Applied::Newer | Applied::Repeated { .. } | Applied::HashChecked { .. } => {}
        }
        self.0.extend(met.into_iter().map(|(table, name)| (format.number(), table, name)));
    }

    /// Variants that a recording must contain and this one lacks, and variants that it contains although a table
    /// says that it cannot. `formats` are the formats in which it was recorded.
    pub(super) fn wrong(&self, formats: &[u32]) -> Vec<String> {
        let mut wrong = Vec::new();
        for (table, names) in TABLES {
            for (name, recorded) in *names {
                for &format in formats {
                    let is_there = self.0.contains(&(format, *table, *name));
                    match recorded {
                        Since(first) if format >= *first && !is_there => {
                            wrong.push(format!("{table} {name} is missing in format {format}"));
                        }
                        Never(why) if is_there => wrong.push(format!("{table} {name} is there, but: {why}")),
                        Since(_) | Never(_) => {}
                    }
                }
            }
        }
        wrong
    }

    /// How many variants of each table occurred.
    pub(super) fn met(&self) -> String {
        let count = |table: &str| {
            self.0.iter().filter(|(_, of, _)| *of == table).map(|(.., name)| name).collect::<BTreeSet<_>>().len()
        };
        TABLES
            .iter()
            .map(|(table, names)| format!("{table} {}/{}", count(table), names.len()))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

fn add_command(it: &Command, met: &mut Vec<(&'static str, &'static str)>) {
    met.push(("command", command(it)));
    match it {
        Command::Audited { act: acted, .. } => {
            met.push(("act", act(acted)));
            if let Act::Command(inner) = acted {
                add_command(inner, met);
            }
        }
        Command::Once { command: inner, .. } => add_command(inner, met),
        Command::Batch(batch) => met.push(("skew_reference", skew_reference(&batch.stamp.skew))),
        Command::ChangeSettings { changes, .. } => {
            met.extend(changes.iter().map(|change| ("setting", setting(&change.setting()))));
        }
        Command::AddToken { token, .. } => met.push(("grant", grant(&token.grant))),
        _ => {}
    }
}

fn add_refusal(it: &CommandRefusal, met: &mut Vec<(&'static str, &'static str)>) {
    met.push(("refusal", refusal(it)));
    match it {
        CommandRefusal::Catalog(error) => {
            met.push(("catalog_error", catalog_error(error)));
            if let CatalogError::Unsound(found) = error {
                met.push(("flaw", flaw(found)));
            }
        }
        CommandRefusal::Answers(error) => met.push(("answer_error", answer_error(error))),
        CommandRefusal::Certificate { source, .. } => met.push(("certificate_error", certificate_error(source))),
        CommandRefusal::Setting(error) => met.push(("setting_error", setting_error(error))),
        _ => {}
    }
}
