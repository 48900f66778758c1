//! Why records could not be published, sorted by what to do about it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::finding::FindError;
use crate::name::{DnsName, NameError};

/// A conversation with a primary that did not end as wanted. Nothing of an update that failed was made, save where the
/// answer did not come or could not be trusted: then it is unknown, and the next attempt looks again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    #[error(transparent)]
    Name(#[from] NameError),

    #[error("records of others stand at {name}: {}", foreign.join(", "))]
    NameShared { name: DnsName, foreign: Vec<String> },

    #[error("{name} is an alias (CNAME), so no SRV record can stand there")]
    Alias { name: DnsName },

    #[error("no primary was found for {name}: {cause}")]
    NoPrimary { name: DnsName, cause: FindError },

    #[error("the primary {primary} cannot be reached: {cause}")]
    Unreachable { primary: String, cause: io::Error },

    #[error("the primary {primary} gave no whole answer within {after:?}")]
    Timeout { primary: String, after: Duration },

    #[error("the primary {primary} closed the connection before its answer was whole: {cause}")]
    Closed { primary: SocketAddr, cause: io::Error },

    #[error("the primary {primary} knows the key {key}, but with another secret (BADSIG)")]
    WrongKey { primary: SocketAddr, key: DnsName },

    #[error("the primary {primary} does not know the key {key} with this algorithm (BADKEY)")]
    UnknownKey { primary: SocketAddr, key: DnsName },

    #[error("the clocks differ (BADTIME): here it is {ours}, at the primary {primary} {}", seconds(*theirs))]
    Clock { primary: SocketAddr, ours: u64, theirs: Option<u64> },

    #[error("the primary {primary} refuses (REFUSED) {what}")]
    Refused { primary: SocketAddr, what: String },

    #[error("{primary} has no authority over {name}")]
    NotAuthoritative { primary: SocketAddr, name: DnsName },

    #[error("the answer of {primary} is not signed, so it is not believed")]
    Unsigned { primary: SocketAddr },

    #[error("the signature of the answer of {primary} is wrong, so it is not believed: {cause}")]
    Forged { primary: SocketAddr, cause: String },

    #[error("the answer of {primary} is malformed: {cause}")]
    Malformed { primary: SocketAddr, cause: &'static str },

    #[error("more than is sensible: {what}")]
    TooMany { what: &'static str },

    #[error("the primary {primary} failed with {rcode} on {what}")]
    Server { primary: SocketAddr, rcode: String, code: u8, what: String },
}

fn seconds(theirs: Option<u64>) -> String {
    theirs.map_or_else(|| "unknown".to_owned(), |seconds| seconds.to_string())
}

/// `HRESULT_FROM_WIN32` of a DNS error, which is 9000 and the response code.
const fn of_response_code(rcode: u32) -> u32 {
    0x8007_2328 + rcode
}

impl PublishError {
    /// The status of event 12293 (R28): the DNS error of that meaning as an HRESULT.
    pub fn code(&self) -> u32 {
        match self {
            Self::Name(_) => 0x8007_2558,           // DNS_ERROR_INVALID_NAME
            Self::NameShared { .. } => 0x8007_25EF, // DNS_ERROR_RECORD_ALREADY_EXISTS
            Self::Alias { .. } => 0x8007_25EC,      // DNS_ERROR_CNAME_COLLISION
            Self::NoPrimary { cause, .. } => cause.code(),
            Self::Unreachable { .. } => 0x8007_06BA, // RPC_S_SERVER_UNAVAILABLE
            Self::Timeout { .. } => 0x8007_05B4,     // ERROR_TIMEOUT
            Self::Closed { .. } => 0x8007_251F,      // DNS_ERROR_NO_PACKET
            Self::WrongKey { .. } => of_response_code(16),
            Self::UnknownKey { .. } => of_response_code(17),
            Self::Clock { .. } => of_response_code(18),
            Self::Refused { .. } => of_response_code(5),
            Self::NotAuthoritative { .. } => of_response_code(9),
            Self::Unsigned { .. } | Self::Forged { .. } => 0x8007_2521, // DNS_ERROR_UNSECURE_PACKET
            Self::Malformed { .. } | Self::TooMany { .. } => 0x8007_251E, // DNS_ERROR_BAD_PACKET
            Self::Server { code, .. } => of_response_code(u32::from(*code)),
        }
    }

    /// Whether an update may have been made all the same.
    pub fn is_outcome_unknown(&self) -> bool {
        !matches!(
            self,
            Self::Name(_)
                | Self::NameShared { .. }
                | Self::Alias { .. }
                | Self::NoPrimary { .. }
                | Self::Unreachable { .. }
                | Self::WrongKey { .. }
                | Self::UnknownKey { .. }
                | Self::Clock { .. }
                | Self::Refused { .. }
                | Self::NotAuthoritative { .. }
                | Self::TooMany { .. }
        )
    }

    /// What to do next, one sentence.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Name(_) => "Correct the domain or the service name in the configuration.",
            Self::NameShared { .. } => {
                "Set dns.share_name to publish beside them, name them in dns.known, or choose another service name."
            }
            Self::Alias { .. } => "Remove the alias, or choose another service name.",
            Self::NoPrimary { .. } => "Name the primary in the configuration (dns.primary).",
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::Closed { .. } => {
                "See that the primary runs and that TCP port 53 is open to it; it is tried again by itself."
            }
            Self::WrongKey { .. } => "Give this node the key file whose secret the primary has.",
            Self::UnknownKey { .. } => {
                "Add this key to the primary, or correct its name and algorithm in the key file."
            }
            Self::Clock { .. } => "Synchronise the clocks of this node and of the primary.",
            Self::Refused { .. } => "Allow this key's updates in the zone: `quorate dns zone` prints the policy.",
            Self::NotAuthoritative { .. } => {
                "Name the server that holds the zone as primary in the configuration (dns.primary)."
            }
            Self::Unsigned { .. } | Self::Forged { .. } => {
                "See what answers at the primary's address: it does not hold this node's key."
            }
            Self::Malformed { .. } | Self::TooMany { .. } => {
                "See what answers at the primary's address: it does not answer as a DNS server should."
            }
            Self::Server { code: 2, .. } => {
                "Look into the primary's log; in Active Directory, another account may own the record."
            }
            Self::Server { .. } => "Look into the primary's log, and see that it takes dynamic updates.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_that_an_operator_tells_apart_has_a_code_and_advice_of_its_own() {
        let primary: SocketAddr = "192.0.2.53:53".parse().unwrap();
        let name: DnsName = "example.test".parse().unwrap();
        let key = name.clone();
        let table = [
            (PublishError::WrongKey { primary, key: key.clone() }, 0x8007_2338),
            (PublishError::UnknownKey { primary, key }, 0x8007_2339),
            (PublishError::Clock { primary, ours: 0, theirs: None }, 0x8007_233A),
            (PublishError::Refused { primary, what: String::new() }, 0x8007_232D),
            (PublishError::NotAuthoritative { primary, name }, 0x8007_2331),
            (PublishError::Unreachable { primary: String::new(), cause: io::Error::other("") }, 0x8007_06BA),
            (PublishError::Timeout { primary: String::new(), after: Duration::ZERO }, 0x8007_05B4),
            (PublishError::Malformed { primary, cause: "" }, 0x8007_251E),
            (PublishError::Server { primary, rcode: String::new(), code: 2, what: String::new() }, 0x8007_232A),
        ];
        let codes: std::collections::BTreeSet<u32> = table.iter().map(|(error, _)| error.code()).collect();
        assert_eq!(codes.len(), table.len());
        for (error, code) in table {
            assert_eq!(error.code(), code, "{error}");
            assert!(error.advice().ends_with('.'));
        }
    }
}
