//! Golden files: files that an older commit wrote, with their state hashes, for tests that replay them with today's
//! code.
//!
//! The source of the recorder is kept in `tests/golden/recorder/`. It is placed into that commit's crates as
//! examples, because it uses that commit's public API. Its two files `main.rs` describe what it writes.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Subcommand;

use crate::cargo::Workspace;
use crate::previous::{self, Previous};
use crate::say;

/// `cargo xtask golden ...`
#[derive(Subcommand)]
pub(crate) enum Golden {
    /// Have a commit write golden files: a log, a snapshot, stores and backups, with their state hashes
    #[command(after_help = "Example:\n  \
        cargo xtask golden record bd99c00    check that commit out below target/previous/, build it there, and write\n  \
        \u{20}                                   tests/golden/bd99c00/\n\n\
        The recorder, tests/golden/recorder/, uses that commit's public API, and records the newest format, which is 3:\n\
        a later commit needs a recorder that fits it. The one that wrote formats 1 and 2 at aa5b105 is in the history of\n\
        that folder, before bd99c00 was recorded.")]
    Record {
        /// The commit whose code writes the files
        commit: String,
    },
    /// Build the recorded version, from which the scenarios of `cargo xtask test cluster` upgrade and to which they
    /// downgrade
    Build,
}

const FILES: &str = "tests/golden";

/// The recorder's programs: folder in the recorder, crate in which the program becomes an example, name of the
/// example.
const RECORDERS: [(&str, &str, &str); 2] =
    [("log", "activation", "golden_log"), ("store", "replication", "golden_store")];

/// The format that the recorded commit writes.
const FORMAT: &str = "3";

/// Two stores: one with all its entries, and one whose log is purged after a snapshot at this entry.
const STORES: [(&str, Option<&str>); 2] = [("store", None), ("purged", Some("60"))];

/// Runs the command.
pub(crate) fn run(workspace: &Workspace, command: &Golden) -> Result<()> {
    match command {
        Golden::Record { commit } => record(workspace, commit),
        Golden::Build => {
            say(format_args!("golden: built {}", previous::build(workspace)?.display()));
            Ok(())
        }
    }
}

fn record(workspace: &Workspace, commit: &str) -> Result<()> {
    let previous = Previous::checked_out(workspace, commit)?;
    let [(_, _, log_recorder), (_, _, store_recorder)] = RECORDERS;
    for (part, package, example) in RECORDERS {
        let to = previous.tree().join("crates").join(package).join("examples").join(example);
        replace_folder(&workspace.root.join(FILES).join("recorder").join(part), &to)?;
        previous.cargo(workspace, &["build", "--package", package, "--example", example])?;
    }
    let folder = workspace.root.join(FILES).join(previous.short());
    emptied(&folder)?;
    recorder(&previous, log_recorder, &[folder.as_os_str()])?;
    let scratch = workspace.target.join("previous").join("recording");
    let log = folder.join("log.txt");
    for (kind, entries) in STORES {
        let name = format!("{kind}-{FORMAT}");
        let to = scratch.join(&name);
        emptied(&to)?;
        let mut arguments: Vec<&OsStr> = vec![log.as_ref(), FORMAT.as_ref(), to.as_ref()];
        arguments.extend(entries.map(OsStr::new));
        recorder(&previous, store_recorder, &arguments)?;
        write(&folder.join(format!("{name}.folder")), &packed(&to)?)?;
    }
    write(&folder.join("commit.txt"), format!("{}\n", previous.commit).as_bytes())?;
    let sizes = fs::read_dir(&folder)?.map(|entry| Ok(entry?.metadata()?.len())).collect::<Result<Vec<u64>>>()?;
    let bytes: u64 = sizes.iter().sum();
    let folder = workspace.relative(&folder).display();
    say(format_args!("golden: {} files, {} KiB, in {folder}", sizes.len(), bytes / 1024));
    Ok(())
}

/// Runs one of the recorder's programs and shows its output.
fn recorder(previous: &Previous, example: &str, arguments: &[&OsStr]) -> Result<()> {
    let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
    say(format_args!("golden: {example} {} ...", words.join(" ")));
    let program = previous.program(&format!("examples/{example}"));
    let status = Command::new(&program).args(arguments).status().with_context(|| program.display().to_string())?;
    if !status.success() {
        bail!("the recorder {example} failed ({status}), see its output above");
    }
    Ok(())
}

/// Size of the pieces that a packed file leaves out where all of their bytes are zero.
const PAGE_BYTES: usize = 512;

/// All files of a folder in one, without pieces of zeros, because a store's segments are mostly zeros.
///
/// ```text
/// folder PATH\n
/// file PATH LENGTH\n
/// part OFFSET LENGTH\n   of the file above, followed by LENGTH bytes and \n; bytes outside all parts are zero
/// ```
fn packed(folder: &Path) -> Result<Vec<u8>> {
    let mut packed = Vec::new();
    pack(folder, "", &mut packed)?;
    Ok(packed)
}

fn pack(folder: &Path, below: &str, to: &mut Vec<u8>) -> Result<()> {
    let mut names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>>>()?;
    names.sort();
    for name in names {
        let path = folder.join(&name);
        let name = name.to_str().context("a recorded file's name is not UTF-8")?;
        let relative = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
        if path.is_dir() {
            writeln!(to, "folder {relative}")?;
            pack(&path, &relative, to)?;
        } else {
            let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
            writeln!(to, "file {relative} {}", bytes.len())?;
            pack_parts(&bytes, to)?;
        }
    }
    Ok(())
}

fn pack_parts(bytes: &[u8], to: &mut Vec<u8>) -> Result<()> {
    let is_hole = |page: &&[u8]| page.iter().all(|byte| *byte == 0);
    let pages: Vec<_> = bytes.chunks(PAGE_BYTES).collect();
    let mut at = 0;
    for run in pages.chunk_by(|before, next| is_hole(before) == is_hole(next)) {
        let length: usize = run.iter().map(|page| page.len()).sum();
        if !run.first().is_some_and(is_hole) {
            writeln!(to, "part {at} {length}")?;
            run.iter().for_each(|page| to.extend_from_slice(page));
            to.push(b'\n');
        }
        at += length;
    }
    Ok(())
}

fn replace_folder(from: &Path, to: &Path) -> Result<()> {
    emptied(to)?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name())).with_context(|| entry.path().display().to_string())?;
    }
    Ok(())
}

fn emptied(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_zeros_are_left_out_wherever_they_are() {
        let mut file = vec![0; 3 * PAGE_BYTES];
        file[PAGE_BYTES] = b'x';
        file.extend(b"end");
        let mut packed = Vec::new();
        pack_parts(&file, &mut packed).unwrap();
        let expected = format!(
            "part {PAGE_BYTES} {PAGE_BYTES}\nx{}\npart {} 3\nend\n",
            "\0".repeat(PAGE_BYTES - 1),
            3 * PAGE_BYTES
        );
        assert_eq!(String::from_utf8(packed).unwrap(), expected);
        let mut nothing = Vec::new();
        pack_parts(&[0; 2000], &mut nothing).unwrap();
        assert!(nothing.is_empty());
    }
}
