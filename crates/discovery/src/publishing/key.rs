//! The key that signs updates (TSIG, RFC 8945), read from a file in BIND's syntax, as `tsig-keygen` writes it.
//!
//! Invariant: never writes the secret, neither in an error nor in a debug form.

use std::fmt;
use std::sync::Arc;

use data_encoding::BASE64;
use domain::base::ToName as _;
use zeroize::Zeroizing;

use crate::limits::{KEY_FILE_BYTES_MAX, SECRET_BYTES_MAX};
use crate::name::DnsName;

/// How a node authenticates its updates.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Credentials {
    /// Every message of a conversation is signed with this key, and every answer must be.
    Tsig(TsigKey),
    /// Every message is signed in a Kerberos context, which each conversation establishes first, and every answer
    /// must be.
    #[cfg(feature = "gss-tsig")]
    Gss(super::gss::GssKey),
    /// Messages are not signed: for servers that authorise updates by address. Only used when explicitly configured.
    Unsigned,
}

/// A TSIG key: name, algorithm and secret.
#[derive(Clone)]
pub struct TsigKey {
    name: DnsName,
    algorithm: Algorithm,
    key: Arc<domain::tsig::Key>,
}

/// The supported algorithms; MD5 and SHA-1 are not supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    HmacSha256,
    HmacSha384,
    HmacSha512,
}

/// The key file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the key file: {cause}; create the key file with `tsig-keygen -a hmac-sha256 NAME`")]
pub struct KeyFileError {
    /// The line of the error, counted from 1.
    pub line: usize,
    pub cause: String,
}

impl TsigKey {
    /// Builds a key from its parts; `secret` is the bytes themselves, not base64.
    ///
    /// # Errors
    /// [`KeyFileError`] where the name cannot be part of a signature, or the secret is empty or longer than
    /// [`crate::limits::SECRET_BYTES_MAX`].
    pub fn new(name: DnsName, algorithm: Algorithm, secret: &[u8]) -> Result<Self, KeyFileError> {
        let fail = |cause: &str| KeyFileError { line: 1, cause: cause.to_owned() };
        if secret.is_empty() || secret.len() > SECRET_BYTES_MAX {
            return Err(fail("the secret is empty or too long"));
        }
        let key_name = name.wire().try_to_name().map_err(|_| fail("the key's name is too long"))?;
        let key = domain::tsig::Key::new(algorithm.of_signature(), secret, key_name, None, None)
            .map_err(|_| fail("the key cannot be used"))?;
        Ok(Self { name, algorithm, key: Arc::new(key) })
    }

    /// Reads the only key of a file: `key "name" { algorithm hmac-sha256; secret "base64"; };`, with comments of the
    /// three kinds.
    ///
    /// # Errors
    /// [`KeyFileError`] with the line, where the text is anything else, or holds more than one key.
    pub fn from_bind(text: &str) -> Result<Self, KeyFileError> {
        if text.len() > KEY_FILE_BYTES_MAX {
            return Err(KeyFileError { line: 1, cause: format!("the file is longer than {KEY_FILE_BYTES_MAX} bytes") });
        }
        let mut tokens = Tokens { rest: text, line: 1 };
        tokens.expect_word("key")?;
        let name = tokens.word("the key's name")?;
        let name: DnsName = name.parse().map_err(|error| tokens.fail(format!("{error}")))?;
        tokens.expect(Token::Open)?;
        let (mut algorithm, mut secret) = (None, None);
        loop {
            match tokens.next()? {
                Some(Token::Close) => break,
                Some(Token::Word("algorithm")) if algorithm.is_none() => {
                    let word = tokens.word("an algorithm")?;
                    let found = Algorithm::named(word).ok_or_else(|| {
                        tokens.fail(format!("`{word}` is not one of hmac-sha256, hmac-sha384, hmac-sha512"))
                    })?;
                    algorithm = Some(found);
                }
                Some(Token::Word("secret")) if secret.is_none() => secret = Some(tokens.secret()?),
                other => return Err(tokens.unexpected("`algorithm` or `secret`, each once", other)),
            }
            tokens.expect(Token::Semicolon)?;
        }
        tokens.expect(Token::Semicolon)?;
        let algorithm = algorithm.ok_or_else(|| tokens.fail("the key has no algorithm"))?;
        let secret = secret.ok_or_else(|| tokens.fail("the key has no secret"))?;
        match tokens.next()? {
            None => Self::new(name, algorithm, &secret).map_err(|error| tokens.fail(error.cause)),
            other => Err(tokens.unexpected("the end: one key in one file", other)),
        }
    }

    pub fn name(&self) -> &DnsName {
        &self.name
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) fn signing(&self) -> Arc<domain::tsig::Key> {
        Arc::clone(&self.key)
    }
}

impl fmt::Debug for TsigKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TsigKey({}, {})", self.name, self.algorithm)
    }
}

impl Algorithm {
    fn named(word: &str) -> Option<Self> {
        let word = word.strip_suffix('.').unwrap_or(word).to_ascii_lowercase();
        [Self::HmacSha256, Self::HmacSha384, Self::HmacSha512].into_iter().find(|known| known.to_string() == word)
    }

    fn of_signature(self) -> domain::tsig::Algorithm {
        match self {
            Self::HmacSha256 => domain::tsig::Algorithm::Sha256,
            Self::HmacSha384 => domain::tsig::Algorithm::Sha384,
            Self::HmacSha512 => domain::tsig::Algorithm::Sha512,
        }
    }
}

impl fmt::Display for Algorithm {
    /// Writes the name that key files use.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::HmacSha256 => "hmac-sha256",
            Self::HmacSha384 => "hmac-sha384",
            Self::HmacSha512 => "hmac-sha512",
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Open,
    Close,
    Semicolon,
    Word(&'a str),
    Quoted(&'a str),
}

/// The tokens of a file in `named.conf` syntax.
struct Tokens<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Tokens<'a> {
    fn fail(&self, cause: impl Into<String>) -> KeyFileError {
        KeyFileError { line: self.line, cause: cause.into() }
    }

    /// The error describes what was found and does not repeat it, because it may be a secret.
    fn unexpected(&self, wanted: &str, found: Option<Token<'_>>) -> KeyFileError {
        let found = match found {
            None => "the file ends",
            Some(Token::Open) => "`{` was found",
            Some(Token::Close) => "`}` was found",
            Some(Token::Semicolon) => "`;` was found",
            Some(Token::Word(_) | Token::Quoted(_)) => "another word was found",
        };
        self.fail(format!("expected {wanted}, but {found}"))
    }

    fn advance(&mut self, bytes: usize) -> &'a str {
        let (passed, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.line += passed.matches('\n').count();
        self.rest = rest;
        passed
    }

    fn skip_blank(&mut self) -> Result<(), KeyFileError> {
        loop {
            let blank = self.rest.len() - self.rest.trim_start().len();
            self.advance(blank);
            if self.rest.starts_with('#') || self.rest.starts_with("//") {
                self.advance(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if let Some(comment) = self.rest.strip_prefix("/*") {
                let end = comment.find("*/").ok_or_else(|| self.fail("a comment has no end"))?;
                self.advance(end + "/**/".len());
            } else {
                return Ok(());
            }
        }
    }

    fn next(&mut self) -> Result<Option<Token<'a>>, KeyFileError> {
        self.skip_blank()?;
        let single = match self.rest.chars().next() {
            None => return Ok(None),
            Some('{') => Some(Token::Open),
            Some('}') => Some(Token::Close),
            Some(';') => Some(Token::Semicolon),
            Some('"') => {
                let inside = self.rest.get(1..).unwrap_or_default();
                let end = inside.find(['"', '\n']).filter(|end| inside.get(*end..).is_some_and(|c| c.starts_with('"')));
                let end = end.ok_or_else(|| self.fail("a quoted word has no end on its line"))?;
                self.advance(end + 2);
                return Ok(Some(Token::Quoted(inside.get(..end).unwrap_or_default())));
            }
            Some(_) => None,
        };
        if let Some(token) = single {
            self.advance(1);
            return Ok(Some(token));
        }
        let ends = |letter: char| letter.is_whitespace() || matches!(letter, '{' | '}' | ';' | '"' | '#');
        let end = self.rest.find(ends).unwrap_or(self.rest.len());
        Ok(Some(Token::Word(self.advance(end))))
    }

    fn expect(&mut self, wanted: Token<'_>) -> Result<(), KeyFileError> {
        let shown = match wanted {
            Token::Open => "`{`",
            Token::Close => "`}`",
            Token::Semicolon => "`;`",
            Token::Word(word) | Token::Quoted(word) => word,
        };
        match self.next()? {
            Some(found) if found == wanted => Ok(()),
            other => Err(self.unexpected(shown, other)),
        }
    }

    fn expect_word(&mut self, word: &str) -> Result<(), KeyFileError> {
        self.expect(Token::Word(word))
    }

    fn word(&mut self, wanted: &str) -> Result<&'a str, KeyFileError> {
        match self.next()? {
            Some(Token::Word(word) | Token::Quoted(word)) => Ok(word),
            other => Err(self.unexpected(wanted, other)),
        }
    }

    fn secret(&mut self) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
        let word = self.word("a secret")?;
        // BIND ignores blanks in the secret.
        let solid: Zeroizing<Vec<u8>> =
            Zeroizing::new(word.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect());
        BASE64.decode(&solid).map(Zeroizing::new).map_err(|_| self.fail("the secret is not base64"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tsig_keygen_writes_is_read() {
        let text = "key \"node1.\" {\n\talgorithm hmac-sha256;\n\tsecret \"MTIzNDU2Nzg5MDEyMzQ1Ng==\";\n};\n";
        let key = TsigKey::from_bind(text).unwrap();
        assert_eq!(key.name().to_string(), "node1.");
        assert_eq!(key.algorithm(), Algorithm::HmacSha256);
        assert_eq!(format!("{key:?}"), "TsigKey(node1., hmac-sha256)");
    }

    #[test]
    fn comments_order_and_quotes_make_no_difference() {
        let text =
            "# a key\n// of\n/* node\n 1 */ key node1.example.test{secret MTIzNA==;algorithm \"HMAC-SHA512.\";} ;//end";
        assert_eq!(TsigKey::from_bind(text).unwrap().algorithm(), Algorithm::HmacSha512);
    }

    #[test]
    fn a_secret_with_blanks_in_it_is_the_one_without_as_bind_takes_it() {
        let blank = "key \"n.\" { algorithm hmac-sha256; secret \" MTIz NDU2\tNzg5MDEyMzQ1Ng== \"; };";
        assert!(TsigKey::from_bind(blank).is_ok());
    }

    #[test]
    fn what_is_no_key_file_is_refused_with_its_line_and_without_the_secret() {
        let key = |body: &str| format!("key \"n.\" {{\n{body}\n}};\n");
        let good = "algorithm hmac-sha256; secret \"MTIzNA==\";";
        let table = [
            (String::new(), 1, "the file ends"),
            ("options { };".to_owned(), 1, "expected key"),
            (key("algorithm hmac-md5; secret \"MTIzNA==\";"), 2, "hmac-md5"),
            (key("algorithm hmac-sha256;"), 3, "no secret"),
            (key("secret \"MTIzNA==\";"), 3, "no algorithm"),
            (key("algorithm hmac-sha256; secret \"SECRET!\";"), 2, "not base64"),
            (key("algorithm hmac-sha256; secret \"\";"), 4, "empty"),
            (key("algorithm hmac-sha256; secret SECRET SECRET;"), 2, "not base64"),
            (key("algorithm hmac-sha256; secret MTIz SECRET;"), 2, "expected `;`"),
            (key("algorithm hmac-sha256; secret \"MTIz\n\";"), 2, "no end on its line"),
            (key(&format!("{good} algorithm hmac-sha256;")), 2, "each once"),
            (format!("{}{}", key(good), key(good)), 4, "one key in one file"),
            (format!("{} /* open", key(good)), 4, "no end"),
            (format!("key \"a b\" {{ {good} }};"), 1, "not a domain name"),
            (format!("key \"n.\" {{ {good} }}"), 1, "expected `;`"),
            (" ".repeat(KEY_FILE_BYTES_MAX + 1), 1, "longer than"),
        ];
        for (text, line, cause) in table {
            let error = TsigKey::from_bind(&text).unwrap_err();
            assert!(error.to_string().contains(cause) && error.line == line, "{text}\n{error}");
            assert!(!error.to_string().contains("SECRET"), "{error}");
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic() {
        let good = "key \"n.\" { algorithm hmac-sha256; secret \"MTIzNA==\"; };";
        for cut in 0..good.len() {
            assert!(TsigKey::from_bind(&good[..cut]).is_err(), "{cut}");
        }
        for text in ["\"", "/*", "/", "key ü {", "key \"ü\n", "\u{2028}{"] {
            assert!(TsigKey::from_bind(text).is_err());
        }
    }
}
