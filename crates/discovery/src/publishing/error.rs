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

    #[error("{name} has SRV records of other hosts: {}", foreign.join(", "))]
    NameShared { name: DnsName, foreign: Vec<String> },

    #[error("{name} is an alias (CNAME) and cannot have an SRV record")]
    Alias { name: DnsName },

    #[error("cannot find the primary for {name}: {cause}")]
    NoPrimary { name: DnsName, cause: FindError },

    #[error("cannot resolve the primary {primary}: {cause}")]
    PrimaryNotFound { primary: String, cause: FindError },

    #[error("the node's name {name} is an alias (CNAME), which cannot be the target of an SRV record")]
    TargetAlias { name: DnsName },

    #[error("the primary {primary} cannot be reached: {cause}")]
    Unreachable { primary: String, cause: io::Error },

    #[error("the primary {primary} sent no complete answer within {after:?}")]
    Timeout { primary: String, after: Duration },

    #[error("the primary {primary} closed the connection before its answer was complete: {cause}")]
    Closed { primary: SocketAddr, cause: io::Error },

    #[error("the primary {primary} knows the key {key}, but with another secret (BADSIG)")]
    WrongKey { primary: SocketAddr, key: DnsName },

    #[error("the primary {primary} does not know the key {key} with this algorithm (BADKEY)")]
    UnknownKey { primary: SocketAddr, key: DnsName },

    #[error(
        "the clocks differ too much (BADTIME): this node's clock is {ours}, that of the primary {primary} is {}",
        seconds(*theirs)
    )]
    Clock { primary: SocketAddr, ours: u64, theirs: Option<u64> },

    #[error("the primary {primary} refused (REFUSED) {what}")]
    Refused { primary: SocketAddr, what: String },

    #[error("{primary} is not authoritative for {name}")]
    NotAuthoritative { primary: SocketAddr, name: DnsName },

    #[error("the answer of {primary} is not signed and was rejected")]
    Unsigned { primary: SocketAddr },

    #[error("the signature of the answer of {primary} is invalid and the answer was rejected: {cause}")]
    Forged { primary: SocketAddr, cause: String },

    #[error("the answer of {primary} is malformed: {cause}")]
    Malformed { primary: SocketAddr, cause: &'static str },

    #[error("limit exceeded: {what}")]
    TooMany { what: &'static str },

    #[cfg(feature = "gss-tsig")]
    #[error(transparent)]
    Kerberos(#[from] kerberos::KerberosError),

    #[error("the primary {primary} accepted no security context with a ticket for {service}: {cause}")]
    ContextRefused { primary: SocketAddr, service: String, cause: String },

    #[error("the primary {primary} refused ({rcode}) {what} by the account {account}")]
    AccountRefused { primary: SocketAddr, account: String, rcode: String, what: String },

    #[error("the primary {primary} answered {rcode} to {what}")]
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
                "Set dns.share_name to publish beside them, list them in dns.known, or choose another service name."
            }
            Self::Alias { .. } => "Remove the alias, or choose another service name.",
            Self::TargetAlias { .. } => {
                "Set dns.target to the name that the alias points to, or replace the alias by address records."
            }
            Self::NoPrimary { cause: cause @ FindError::Configuration { .. }, .. } => cause.advice(),
            Self::PrimaryNotFound { .. } => {
                "Correct the MNAME of the zone's SOA record, give it an address, or set the primary in the \
                 configuration (dns.primary)."
            }
            Self::NoPrimary { .. } => "Set the primary in the configuration (dns.primary).",
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::Closed { .. } => {
                "Check that the primary runs and that its TCP port 53 is reachable; the node retries by itself."
            }
            Self::WrongKey { .. } => "Install on this node the key file with the secret that the primary has.",
            Self::UnknownKey { .. } => {
                "Add this key to the primary, or correct its name and algorithm in the key file."
            }
            Self::Clock { .. } => "Synchronise the clocks of this node and of the primary.",
            Self::Refused { .. } => "Allow this key's updates in the zone: `quorate dns zone` prints the policy.",
            Self::NotAuthoritative { .. } => {
                "Set dns.primary in the configuration to the server that is authoritative for the zone."
            }
            Self::Unsigned { .. } | Self::Forged { .. } => {
                "Check which server has the primary's address: it does not have this node's key."
            }
            Self::Malformed { .. } | Self::TooMany { .. } => {
                "Check which server has the primary's address: its answers are not valid DNS."
            }
            #[cfg(feature = "gss-tsig")]
            Self::Kerberos(error) => advice_on_kerberos(error),
            Self::ContextRefused { .. } => {
                "Check that the primary's host name (dns.primary, or the zone's SOA where that is an address) is the \
                 name in its keytab or account, and that it accepts GSS-TSIG."
            }
            Self::AccountRefused { .. } => {
                "In Active Directory the account that created a name owns it: let all nodes use one shared service \
                 account, or give this account the right to write the names."
            }
            Self::Server { code: 2, .. } => "See the primary's log; it may have no permission to write the zone.",
            Self::Server { .. } => "See the primary's log, and check that it accepts dynamic updates.",
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
        KerberosError::Keytab { .. } => "Set dns.keytab to a keytab that the daemon can read.",
        KerberosError::NotInKeytab { .. } => {
            "Compare dns.principal with the output of `klist -k` for the keytab, or omit it to use the first principal \
             of the keytab."
        }
        KerberosError::Kdc { .. } => {
            "Check that a domain controller runs, that its port 88 is reachable, and the realm's entry in krb5.conf; \
             the node retries by itself."
        }
        KerberosError::Clock { .. } => "Synchronise the clocks of this node and of the domain controllers.",
        KerberosError::WrongKey { .. } => {
            "Create a new keytab: the account's password was changed after it was created, or it belongs to another \
             account."
        }
        KerberosError::UnknownAccount { .. } => "Correct dns.principal or create the account, and create a new keytab.",
        KerberosError::Disabled { .. } => "Enable the account, and set its password to never expire.",
        KerberosError::UnknownService { .. } => {
            "Set dns.primary to the primary's full host name as the directory has it; where it is an address, the name \
             in the zone's SOA is used."
        }
        _ => "See krb5.conf and the domain controller's log.",
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
