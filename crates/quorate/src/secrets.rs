//! Arguments for the secrets that a command takes: tokens and keys.
//!
//! Every user of the machine can read a command line while the command runs. A secret in a file, or from standard
//! input as `-`, is hidden from other users.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};
use transport::Token;
use zeroize::Zeroizing;

use crate::output::Failure;

/// Length limit of a line that is read, in bytes: far longer than any token or key.
const LINE_BYTES_MAX: u64 = 1024;

/// Argument that stands for standard input in place of a file.
const STANDARD_INPUT: &str = "-";

/// A join token.
#[derive(Debug, clap::Args)]
pub(crate) struct TokenArgs {
    /// The token that `quorate cluster token` printed. Other users of this machine see it while the command runs: see
    /// --token-file.
    #[arg(long, env = "QUORATE_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<Token>,
    /// A file with the token in its first line; - for standard input.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl TokenArgs {
    /// The token; `None` where none was given. A file takes precedence over QUORATE_TOKEN.
    pub(crate) fn given(&self) -> Result<Option<Token>, Failure> {
        let Some(file) = &self.token_file else { return Ok(self.token.clone()) };
        let token = first_line(file)?.parse::<Token>();
        token.map(Some).with_context(|| file.display().to_string()).map_err(Failure::usage)
    }

    /// The token; an error where none was given.
    pub(crate) fn required(&self) -> Result<Token, Failure> {
        self.given()?
            .ok_or_else(|| Failure::usage(anyhow!("a token is needed: give --token TOKEN or --token-file FILE")))
    }
}

/// A host key or another key, as its user typed it.
#[derive(Debug, clap::Args)]
pub(crate) struct KeyArgs {
    /// The key: five groups of five characters. Other users of this machine see it while the command runs: see
    /// --key-file.
    #[arg(value_name = "KEY", required_unless_present = "key_file", conflicts_with = "key_file")]
    key: Option<String>,
    /// A file with the key in its first line; - for standard input.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

impl KeyArgs {
    /// The argument for a key that is known already.
    pub(crate) fn of(key: String) -> Self {
        Self { key: Some(key), key_file: None }
    }

    /// The key as it was typed.
    pub(crate) fn text(&self) -> Result<Zeroizing<String>, Failure> {
        match (&self.key, &self.key_file) {
            (Some(key), _) if key == STANDARD_INPUT => first_line(Path::new(STANDARD_INPUT)),
            (Some(key), _) => Ok(Zeroizing::new(key.clone())),
            (None, Some(file)) => first_line(file),
            (None, None) => Err(Failure::usage(anyhow!("a key is needed: give KEY or --key-file FILE"))),
        }
    }
}

/// The first line of a file, or of standard input, without surrounding white space.
fn first_line(file: &Path) -> Result<Zeroizing<String>, Failure> {
    let read = || -> anyhow::Result<Zeroizing<String>> {
        let mut bytes = Zeroizing::new(Vec::new());
        let mut source: Box<dyn Read> = match file.as_os_str() == STANDARD_INPUT {
            true => Box::new(io::stdin().lock()),
            false => Box::new(File::open(file)?),
        };
        source.by_ref().take(LINE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
        let line = bytes.get(..end).filter(|line| line.len() as u64 <= LINE_BYTES_MAX);
        let line = line.ok_or_else(|| anyhow!("the first line is longer than {LINE_BYTES_MAX} bytes"))?;
        Ok(Zeroizing::new(std::str::from_utf8(line).context("the first line is not UTF-8 text")?.trim().to_owned()))
    };
    let name =
        if file.as_os_str() == STANDARD_INPUT { "standard input".to_owned() } else { file.display().to_string() };
    read().with_context(|| format!("cannot read {name}")).map_err(Failure::usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line_of(content: &[u8]) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, content).unwrap();
        first_line(&file).map(|line| line.to_string()).map_err(|failure| failure.reason())
    }

    #[test]
    fn the_first_line_counts_and_white_space_around_it_does_not() {
        for content in ["abc", "abc\n", "abc\r\nsecond\n", "  abc \n"] {
            assert_eq!(line_of(content.as_bytes()), Ok("abc".into()), "{content:?}");
        }
        assert_eq!(line_of(b""), Ok(String::new()));
    }

    #[test]
    fn what_is_no_line_of_text_is_refused_with_the_name_of_the_file() {
        for content in [vec![b'a'; 2000], vec![0xFF, 0xFE]] {
            let refused = line_of(&content).unwrap_err();
            assert!(refused.contains("cannot read") && refused.contains("secret"), "{refused}");
        }
        let missing = first_line(Path::new("/nonexistent/secret")).unwrap_err().reason();
        assert!(missing.contains("cannot read /nonexistent/secret: No such file"), "{missing}");
    }
}
