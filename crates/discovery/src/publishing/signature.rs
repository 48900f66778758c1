//! What both kinds of signature share: error codes, and the forms that primaries use.

/// TSIG errors in a server's words (RFC 8945 section 3).
pub(super) const BADSIG: u16 = 16;
pub(super) const BADKEY: u16 = 17;
pub(super) const BADTIME: u16 = 18;
pub(super) const BADTRUNC: u16 = 22;

/// How the primary signs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerSignatures {
    /// As the RFCs say, or not at all where nothing was to be signed.
    #[default]
    Standard,
    /// Over the question's signature without its length before it, as Samba's DNS does. They prove the same: that who
    /// answers holds the context's key, and answers this very question.
    WithoutLength,
}
