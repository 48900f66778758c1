//! Unpacks folders that `cargo xtask golden record` packed into one file, without the zeros of a store's segments.
//!
//! ```text
//! folder PATH\n
//! file PATH LENGTH\n
//! part OFFSET LENGTH\n   of the file above, followed by LENGTH bytes and \n; bytes outside all parts are zero
//! ```

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
};

/// Unpacks the file `packed` into the new folder `to`, which must not exist.
///
/// # Panics
/// Where the file is not a packed folder.
pub fn unpack(packed: &Path, to: &Path) {
    let bytes = fs::read(packed).unwrap_or_else(|error| panic!("cannot read {}: {error}", packed.display()));
    fs::create_dir(to).unwrap_or_else(|error| panic!("cannot make {}: {error}", to.display()));
    let mut rest = bytes.as_slice();
    let mut file = None;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, after) = rest.split_at(end);
        rest = after.get(1..).unwrap_or_default();
        let line = std::str::from_utf8(line).expect("a packed folder's lines are text");
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["folder", path] => fs::create_dir(to.join(path)).expect("a folder comes before what is in it"),
            ["file", path, length] => {
                let made = File::create_new(to.join(path)).expect("a packed folder has each file once");
                made.set_len(number(length)).expect("a file can be as long as it was");
                file = Some(made);
            }
            ["part", offset, length] => {
                let length = usize::try_from(number(length)).expect("a part fits the memory");
                let (part, after) = rest.split_at(length);
                let file = file.as_ref().expect("a part comes after its file");
                file.write_all_at(part, number(offset)).expect("a test's own files can be written");
                rest = after.get(1..).unwrap_or_default();
            }
            _ => panic!("{} is no packed folder: {line:?}", packed.display()),
        }
    }
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
}
