//! What both kinds of signature share: error codes, and the forms of signatures that primaries use.

/// The TSIG errors that servers send (RFC 8945 section 3).
pub(super) const BADSIG: u16 = 16;
pub(super) const BADKEY: u16 = 17;
pub(super) const BADTIME: u16 = 18;
pub(super) const BADTRUNC: u16 = 22;

/// The form of the primary's signatures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerSignatures {
    /// As the RFCs define, or no signature where none was required.
    #[default]
    Standard,
    /// Over the signature of the query without the length before it, as Samba's DNS does. Both forms prove the same:
    /// that the server holds the context's key, and answers exactly this query.
    WithoutLength,
}
