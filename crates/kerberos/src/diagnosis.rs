//! Converts status codes of the library to [`KerberosError`]s with a cause for the operator.

use libgssapi::error::{Error, MajorFlags};

use crate::account::Account;
use crate::error::KerberosError;

/// Errors of the protocol and of MIT's library (krb5.h), with their values in the minor status.
mod code {
    pub(super) const NAME_EXPIRED: i64 = -1_765_328_383;
    pub(super) const CLIENT_UNKNOWN: i64 = -1_765_328_378;
    pub(super) const SERVICE_UNKNOWN: i64 = -1_765_328_377;
    pub(super) const CLIENT_REVOKED: i64 = -1_765_328_366;
    pub(super) const KEY_EXPIRED: i64 = -1_765_328_361;
    pub(super) const PREAUTHENTICATION_FAILED: i64 = -1_765_328_360;
    pub(super) const BAD_INTEGRITY: i64 = -1_765_328_353;
    pub(super) const NOT_YET_VALID: i64 = -1_765_328_351;
    pub(super) const SKEW: i64 = -1_765_328_347;
    pub(super) const REALM_UNKNOWN: i64 = -1_765_328_230;
    pub(super) const KDC_UNREACHABLE: i64 = -1_765_328_228;
    pub(super) const KEYTAB_NO_ENTRY: i64 = -1_765_328_203;
    pub(super) const KEYTAB_VERSION: i64 = -1_765_328_171;
    pub(super) const REALM_NOT_RESOLVED: i64 = -1_765_328_164;
    pub(super) const KEYTAB_NO_VERSION_OF_KEY: i64 = -1_765_328_154;
    pub(super) const KEYTAB_FORMAT: i64 = -1_765_328_149;
}

/// The error of the library for `account` and `service`.
pub(crate) fn sorted(error: &Error, account: &Account, service: &str) -> KerberosError {
    let cause = error.to_string().trim().to_owned();
    let (keytab, principal) = (account.keytab().to_owned(), account.described());
    // A minor status is an unsigned number of 32 bits; the errors in the tables are negative.
    match i64::from(error.minor) - (1 << 32) {
        code::KEYTAB_NO_ENTRY | code::KEYTAB_NO_VERSION_OF_KEY => {
            KerberosError::NotInKeytab { keytab, principal, cause }
        }
        code::KEYTAB_VERSION | code::KEYTAB_FORMAT => KerberosError::Keytab { path: keytab, cause },
        code::KDC_UNREACHABLE | code::REALM_UNKNOWN | code::REALM_NOT_RESOLVED => KerberosError::Kdc { cause },
        code::SKEW | code::NOT_YET_VALID => KerberosError::Clock { cause },
        code::PREAUTHENTICATION_FAILED | code::BAD_INTEGRITY => KerberosError::WrongKey { keytab, cause },
        code::CLIENT_UNKNOWN => KerberosError::UnknownAccount { principal, cause },
        code::CLIENT_REVOKED | code::NAME_EXPIRED | code::KEY_EXPIRED => KerberosError::Disabled { principal, cause },
        code::SERVICE_UNKNOWN => KerberosError::UnknownService { service: service.to_owned(), cause },
        // The error for an account that the keytab does not hold, from a library that reads the keytab first.
        _ if error.major.contains(MajorFlags::GSS_S_NO_CRED) => KerberosError::NotInKeytab { keytab, principal, cause },
        _ => KerberosError::Other { cause },
    }
}
