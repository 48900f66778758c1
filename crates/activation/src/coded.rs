//! Acts and refusals as the log and the audit hold them since format 3: a number, and the values that belong to it.
//!
//! Texts are for readers, and each version may word a code differently. The number of a code and the order of its
//! values never change, and a number is never used again. A code that this version does not know was written in a
//! newer format.

use std::fmt;

use crate::limits::{AUDIT_TEXT_BYTES_MAX, CODED_VALUES_MAX};
use crate::proto;

macro_rules! codes {
    ($($(#[$doc:meta])* $Code:ident = $number:literal => $text:literal;)*) => {
        /// The kind of act or refusal.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u32)]
        pub enum Code {
            $($(#[$doc])* $Code = $number,)*
        }

        impl Code {
            pub const ALL: &[Self] = &[$(Self::$Code,)*];

            /// The text of the code; each `{}` stands for one of its values.
            fn text(self) -> &'static str {
                match self { $(Self::$Code => $text,)* }
            }
        }
    };
}

codes! {
    // Acts that are commands.
    InstallCatalog = 1 => "install catalog {} of publisher {}";
    InstallUnreadableCatalog = 2 => "install a catalog that cannot be read";
    InstallKey = 3 => "install key {}";
    InstallActivation = 4 => "install what the publisher answered";
    /// Values: for each release, the key and the node.
    Release = 5 => "release key and node";
    /// Values: for each change, the setting and its value.
    SetSettings = 6 => "set";
    /// Values: the node, then for each change the setting and its value.
    SetNodeSettings = 7 => "set on node {}:";
    Announce = 8 => "announce node {} as {}";
    Forget = 9 => "forget node {}";
    AddNodeToken = 10 => "give out a token for a node";
    AddPersonToken = 11 => "give out a token for the role {}";
    EnrolNode = 12 => "enrol node {}";
    EnrolPerson = 13 => "enrol a person";
    SetFormat = 14 => "set format {}";
    SetClockBack = 15 => "set cluster time back to {} ms after 1970";
    AcceptClockAt = 16 => "accept the clocks, which show {} ms after 1970";
    Count = 17 => "count {} requests";
    CompareState = 18 => "compare the state at entry {}";
    NoteState = 19 => "note the state's hash";
    /// Value: the holders, `node N` or a person's name each, separated by commas.
    Register = 20 => "register the keys of {}";
    /// Value: `node:N`, `serial:HEX` or a person's name.
    Revoke = 21 => "revoke {}";
    /// Value: the first bytes of the token's digest.
    RevokeToken = 22 => "revoke token {}";
    ReplaceAuthority = 24 => "replace the cluster's authority";
    /// Values: the person's name and role.
    EnrolNamedPerson = 23 => "enrol {} as {}";
    // Acts that are not commands.
    AddNode = 50 => "add node {} at {}";
    RemoveNode = 51 => "remove node {}";
    PromoteNode = 52 => "promote node {}";
    PromoteNodeInstead = 53 => "promote node {} instead of node {}";
    TransferLeader = 54 => "have node {} lead";
    BackUp = 55 => "back the state up";
    AcceptClock = 56 => "accept the jump of the clocks";
    ResetClock = 57 => "set cluster time to the clocks' median";
    SettleDns = 58 => "bring the records in DNS in line";
    DrainNode = 59 => "drain node {}";
    DrainLeavingNode = 60 => "drain node {}, which leaves";
    RejoinNode = 61 => "have node {}, whose state differs, take over the majority's";
    RefuseEnrolments = 65 => "refuse {} join tokens";
    CertifyNode = 66 => "certify node {}, from its signing request";
    // Refusals.
    /// Value: the number of a gRPC status.
    Status = 100 => "refused: {}";
    MalformedCommand = 101 => "the command is malformed";
    TooMany = 102 => "the cluster holds {} of these already";
    NotAHostKey = 103 => "this is no host key";
    MalformedAnswer = 104 => "the publisher's answer is malformed";
    AnswerNotSignedByPublisher = 105 => "the answer is not signed by this publisher";
    NotSignedByNode = 106 => "release of node {}: not signed by the node key in it";
    NotHeld = 107 => "node {} holds no such certificate for key {}";
    KeyOfAnother = 108 => "key {} is installed for another publisher, and nodes are activated with it";
    UnknownPublisher = 109 => "no catalog of this publisher is installed: `quorate catalog install` comes first";
    UnknownSetting = 110 => "there is no such setting";
    SettingValue = 111 => "`{}` cannot have this value";
    SettingOfNode = 112 => "`{}` is of one node";
    SettingOfCluster = 113 => "`{}` is of the whole cluster";
    TargetOfAnother = 114 => "node {} announces the DNS name of node {}";
    UnknownToken = 115 => "the cluster knows no such token";
    ExpiredToken = 116 => "the token's time is over";
    NotABackwardReset = 117 => "cluster time is not later than this";
    MalformedCertificate = 118 => "the certificate for node {} is malformed";
    CertificateSignature = 119 => "the certificate for node {} is not signed by this publisher";
    KeyNotInstalled = 120 => "certificate for node {}: key {} is not installed";
    UnknownGroup = 121 => "certificate for node {}: the installed catalog has no group {}";
    PlatformMayNotHold = 122 => "certificate for node {}: platform class {} may not hold a key of group {}";
    MalformedCatalog = 123 => "the signed catalog is malformed";
    UnsoundCatalog = 124 => "the catalog is not sound";
    CatalogSignature = 125 => "the catalog is not signed by the root key that it names";
    CatalogNotNewer = 126 => "a catalog with serial {} is installed; {} is not newer";
    ProductGone = 127 => "product `{}` is missing";
    ProductMoved = 128 => "product `{}` moved from application `{}` to `{}`";
    CodeReused = 129 => "`{}` lost its code";
    KeyOfAnotherHolder = 130 => "this key is registered for {}";
    KeyNotRegistered = 131 => "this key of {} is not registered";
}

/// Text as the audit record takes it: printable, and at most [`AUDIT_TEXT_BYTES_MAX`] bytes.
#[must_use]
pub fn shortened(text: &str) -> String {
    let mut kept = String::new();
    for character in text.chars() {
        let character = if character.is_control() { char::REPLACEMENT_CHARACTER } else { character };
        if kept.len() + character.len_utf8() > AUDIT_TEXT_BYTES_MAX {
            break;
        }
        kept.push(character);
    }
    kept
}

/// A code and its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coded {
    pub code: Code,
    /// At most [`CODED_VALUES_MAX`], each printable and at most [`AUDIT_TEXT_BYTES_MAX`] bytes.
    values: Vec<String>,
}

impl Coded {
    /// Builds a code. Values are made printable and cut to length; values beyond [`CODED_VALUES_MAX`] are dropped.
    pub fn new<V: ToString>(code: Code, values: impl IntoIterator<Item = V>) -> Self {
        let values = values.into_iter().take(CODED_VALUES_MAX).map(|value| shortened(&value.to_string())).collect();
        Self { code, values }
    }

    /// A code that has no values.
    #[must_use]
    pub fn bare(code: Code) -> Self {
        Self { code, values: Vec::new() }
    }

    #[must_use]
    pub fn values(&self) -> &[String] {
        &self.values
    }

    pub(crate) fn to_proto(&self) -> proto::Coded {
        proto::Coded { code: self.code as u32, values: self.values.clone() }
    }

    /// `None` where the code is unknown, or the values are not as [`Self::new`] makes them.
    pub(crate) fn from_proto(raw: &proto::Coded) -> Option<Self> {
        Self::from_parts(raw.code, &raw.values)
    }

    /// Builds a code from a number and its values. `None` where the code is unknown, or the values are not as
    /// [`Self::new`] makes them.
    #[must_use]
    pub fn from_parts(number: u32, values: &[String]) -> Option<Self> {
        let code = *Code::ALL.iter().find(|code| **code as u32 == number)?;
        let is_valid = values.len() <= CODED_VALUES_MAX && values.iter().all(|value| shortened(value) == *value);
        is_valid.then(|| Self { code, values: values.to_vec() })
    }
}

/// The names of gRPC statuses, by number.
const STATUSES: [&str; 17] = [
    "ok",
    "cancelled",
    "unknown reason",
    "invalid argument",
    "the deadline passed",
    "not found",
    "it exists already",
    "permission denied",
    "too much was asked",
    "the cluster is not in a state for it",
    "it was aborted",
    "out of range",
    "not known to this version",
    "an internal error",
    "no leader, or a node that does not answer",
    "data was lost",
    "not authenticated",
];

/// Writes the code as text.
impl fmt::Display for Coded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.code == Code::Status {
            let number = self.values.first().and_then(|number| number.parse::<usize>().ok());
            return f.write_str(number.and_then(|number| STATUSES.get(number)).unwrap_or(&"refused"));
        }
        let mut values = self.values.iter();
        let mut parts = self.code.text().split("{}");
        f.write_str(parts.next().unwrap_or_default())?;
        for part in parts {
            write!(f, "{}{part}", values.next().map_or("?", String::as_str))?;
        }
        // Further values form pairs, as a setting and its value do.
        while let Some(name) = values.next() {
            write!(f, " {name}")?;
            if let Some(value) = values.next() {
                write!(f, "={value}")?;
            }
        }
        Ok(())
    }
}

const _: () = assert!(CODED_VALUES_MAX * AUDIT_TEXT_BYTES_MAX < crate::limits::COMMAND_BYTES_MAX / 4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_given_once() {
        let mut numbers: Vec<_> = Code::ALL.iter().map(|code| *code as u32).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), Code::ALL.len());
    }

    #[test]
    fn a_code_is_read_as_it_was_written_and_an_unknown_one_is_not() {
        for code in Code::ALL {
            let coded = Coded::new(*code, ["1", "a b"]);
            assert_eq!(Coded::from_proto(&coded.to_proto()), Some(coded));
        }
        for values in [vec!["\n".to_owned()], vec!["x".repeat(AUDIT_TEXT_BYTES_MAX + 1)], vec![String::new(); 17]] {
            assert_eq!(Coded::from_proto(&proto::Coded { code: 1, values: values.clone() }), None, "{values:?}");
        }
        assert_eq!(Coded::from_proto(&proto::Coded { code: 99_999, values: Vec::new() }), None);
    }

    #[test]
    fn values_stand_where_they_belong_and_further_ones_behind() {
        for (code, values, text) in [
            (Code::InstallKey, vec!["0011"], "install key 0011"),
            (Code::NotHeld, vec!["4"], "node 4 holds no such certificate for key ?"),
            (Code::SetSettings, vec!["dns.ttl_s", "60"], "set dns.ttl_s=60"),
            (Code::Status, vec!["7"], "permission denied"),
            (Code::Status, vec!["99"], "refused"),
        ] {
            assert_eq!(Coded::new(code, values).to_string(), text);
        }
    }
}
