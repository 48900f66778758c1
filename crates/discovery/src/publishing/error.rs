//! Why records could not be published, sorted by the remedy.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::finding::FindError;
use crate::name::{DnsName, NameError};

/// A failed conversation with a primary. A failed update made no change, except where the answer was missing or did
/// not verify: then the outcome is unknown, and the next attempt reads the records again.
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

    #[error("the primary {primary} was not found: {cause}")]
    PrimaryNotFound { primary: String, cause: FindError },

    #[error("the node's own name {name} is an alias (CNAME), and an SRV record must not name one")]
    TargetAlias { name: DnsName },

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

    #[cfg(feature = "gss-tsig")]
    #[error(transparent)]
    Kerberos(#[from] kerberos::KerberosError),

    #[error("the primary {primary} does not agree on a context with a ticket for {service}: {cause}")]
    ContextRefused { primary: SocketAddr, service: String, cause: String },

    #[error("the primary {primary} refuses ({rcode}) {what} by the account {account}")]
    AccountRefused { primary: SocketAddr, account: String, rcode: String, what: String },

    #[error("the primary {primary} failed with {rcode} on {what}")]
    Server { primary: SocketAddr, rcode: String, code: u8, what: String },
}

fn seconds(theirs: Option<u64>) -> String {
    theirs.map_or_else(|| "unknown".to_owned(), |seconds| seconds.to_string())
}

/// `HRESULT_FROM_WIN32` of a DNS error, which is 9000 plus the response code.
const fn of_response_code(rcode: u32) -> u32 {
    0x8007_2328 + rcode
}

impl PublishError {
    /// The status of event 12293 (R28): the HRESULT of the DNS error with the same meaning.
    pub fn code(&self) -> u32 {
        match self {
            Self::Name(_) => 0x8007_2558,                                 // DNS_ERROR_INVALID_NAME
            Self::NameShared { .. } => 0x8007_25EF,                       // DNS_ERROR_RECORD_ALREADY_EXISTS
            Self::Alias { .. } | Self::TargetAlias { .. } => 0x8007_25EC, // DNS_ERROR_CNAME_COLLISION
            Self::NoPrimary { cause, .. } | Self::PrimaryNotFound { cause, .. } => cause.code(),
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
            #[cfg(feature = "gss-tsig")]
            Self::Kerberos(error) => of_kerberos(error),
            Self::ContextRefused { .. } => 0x8009_0308, // SEC_E_INVALID_TOKEN
            Self::AccountRefused { .. } => 0x8007_0005, // ERROR_ACCESS_DENIED
            Self::Server { code, .. } => of_response_code(u32::from(*code)),
        }
    }

    /// Whether the primary understood the update and does not allow this key to make it.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::AccountRefused { .. })
    }

    /// Whether the update may have been made although there was an error.
    pub fn is_outcome_unknown(&self) -> bool {
        !matches!(
            self,
            Self::Name(_)
                | Self::NameShared { .. }
                | Self::Alias { .. }
                | Self::TargetAlias { .. }
                | Self::NoPrimary { .. }
                | Self::PrimaryNotFound { .. }
                | Self::Unreachable { .. }
                | Self::WrongKey { .. }
                | Self::UnknownKey { .. }
                | Self::Clock { .. }
                | Self::Refused { .. }
                | Self::NotAuthoritative { .. }
                | Self::TooMany { .. }
        )
    }

    /// The next step, in one sentence.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Name(_) => "Correct the domain or the service name in the configuration.",
            Self::NameShared { .. } => {
                "Set dns.share_name to publish beside them, name them in dns.known, or choose another service name."
            }
            Self::Alias { .. } => "Remove the alias, or choose another service name.",
            Self::TargetAlias { .. } => {
                "Give the name that the alias points to as dns.target, or put addresses in the alias's place."
            }
            Self::NoPrimary { cause: cause @ FindError::Configuration { .. }, .. } => cause.advice(),
            Self::PrimaryNotFound { .. } => {
                "Correct the MNAME of the zone's SOA record, give it an address, or name the primary (dns.primary)."
            }
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
            #[cfg(feature = "gss-tsig")]
            Self::Kerberos(error) => advice_on_kerberos(error),
            Self::ContextRefused { .. } => {
                "See that the primary's host name (dns.primary, or the zone's SOA where that is an address) is the one that \
                 its own keytab or account has, and that it takes GSS-TSIG."
            }
            Self::AccountRefused { .. } => {
                "In Active Directory the account that made a name first owns it: let all nodes use one shared service \
                 account, or give this account the right to write the names."
            }
            Self::Server { code: 2, .. } => "Look into the primary's log; it may not be allowed to write the zone.",
            Self::Server { .. } => "Look into the primary's log, and see that it takes dynamic updates.",
        }
    }
}

/// The security error with the same meaning.
#[cfg(feature = "gss-tsig")]
fn of_kerberos(error: &kerberos::KerberosError) -> u32 {
    use kerberos::KerberosError;
    match error {
        KerberosError::Keytab { .. } => 0x8007_0002,         // ERROR_FILE_NOT_FOUND
        KerberosError::NotInKeytab { .. } => 0x8009_030E,    // SEC_E_NO_CREDENTIALS
        KerberosError::Kdc { .. } => 0x8009_0311,            // SEC_E_NO_AUTHENTICATING_AUTHORITY
        KerberosError::Clock { .. } => 0x8009_0324,          // SEC_E_TIME_SKEW
        KerberosError::WrongKey { .. } => 0x8009_030C,       // SEC_E_LOGON_DENIED
        KerberosError::UnknownAccount { .. } => 0x8007_0525, // ERROR_NO_SUCH_USER
        KerberosError::Disabled { .. } => 0x8007_0533,       // ERROR_ACCOUNT_DISABLED
        KerberosError::UnknownService { .. } => 0x8009_0303, // SEC_E_TARGET_UNKNOWN
        _ => 0x8009_0304,                                    // SEC_E_INTERNAL_ERROR
    }
}

#[cfg(feature = "gss-tsig")]
fn advice_on_kerberos(error: &kerberos::KerberosError) -> &'static str {
    use kerberos::KerberosError;
    match error {
        KerberosError::Keytab { .. } => "Give a keytab that the daemon may read (dns.keytab).",
        KerberosError::NotInKeytab { .. } => {
            "Compare dns.principal with what `klist -k` shows of the keytab, or leave it out for the first one there."
        }
        KerberosError::Kdc { .. } => {
            "See that a domain controller runs and that port 88 is open to it, and what krb5.conf says of the realm; it is \
             tried again by itself."
        }
        KerberosError::Clock { .. } => "Synchronise the clocks of this node and of the domain controllers.",
        KerberosError::WrongKey { .. } => {
            "Make the keytab anew: the account's password was changed since, or the keytab is another account's."
        }
        KerberosError::UnknownAccount { .. } => "Correct dns.principal or make the account, and make the keytab anew.",
        KerberosError::Disabled { .. } => "Enable the account, and let its password not expire.",
        KerberosError::UnknownService { .. } => {
            "Name the primary as the directory knows it, by its full host name (dns.primary); where that is an address, the \
             name is the one in the zone's SOA."
        }
        _ => "Look into krb5.conf and the domain controller's log.",
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
            (PublishError::ContextRefused { primary, service: String::new(), cause: String::new() }, 0x8009_0308),
            (
                PublishError::AccountRefused {
                    primary,
                    account: String::new(),
                    rcode: String::new(),
                    what: String::new(),
                },
                0x8007_0005,
            ),
        ];
        let codes: std::collections::BTreeSet<u32> = table.iter().map(|(error, _)| error.code()).collect();
        assert_eq!(codes.len(), table.len());
        for (error, code) in table {
            assert_eq!(error.code(), code, "{error}");
            assert!(error.advice().ends_with('.'));
        }
    }
}
