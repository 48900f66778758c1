//! Why Kerberos failed, sorted by the remedy.

use std::path::PathBuf;

/// A ticket or a context could not be obtained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KerberosError {
    #[error("the keytab {} cannot be used: {cause}", path.display())]
    Keytab { path: PathBuf, cause: String },

    #[error("the keytab {} has no key of {principal}: {cause}", keytab.display())]
    NotInKeytab { keytab: PathBuf, principal: String, cause: String },

    #[error("no KDC of the realm was reached: {cause}")]
    Kdc { cause: String },

    #[error("the clocks of this machine and of the KDC differ: {cause}")]
    Clock { cause: String },

    #[error("the key in the keytab {} is not the account's: {cause}", keytab.display())]
    WrongKey { keytab: PathBuf, cause: String },

    #[error("the KDC does not know the account {principal}: {cause}")]
    UnknownAccount { principal: String, cause: String },

    #[error("the account {principal} is disabled, locked or expired: {cause}")]
    Disabled { principal: String, cause: String },

    #[error("the KDC does not know the service {service}: {cause}")]
    UnknownService { service: String, cause: String },

    #[error("Kerberos failed: {cause}")]
    Other { cause: String },
}
