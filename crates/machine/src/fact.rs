//! A fact: the text of one small file below the root.

use std::{fs::File, io::Read, path::Path};

/// The most bytes that are read of a file that describes the machine.
const FACT_BYTES_MAX: u64 = 64 * 1024;

/// The beginning of a file, without surrounding white space; empty where the file cannot be read.
pub(crate) fn fact(root: &Path, path: impl AsRef<Path>) -> String {
    let mut bytes = Vec::new();
    let read = File::open(root.join(path)).and_then(|file| file.take(FACT_BYTES_MAX).read_to_end(&mut bytes));
    if read.is_err() {
        bytes.clear();
    }
    // The firmware's texts end with a zero on some machines.
    String::from_utf8_lossy(&bytes).trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned()
}
