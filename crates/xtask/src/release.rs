//! Builds the release: the program without debug information, and a file with the debug information beside it.
//!
//! A release has line tables, so that the backtrace of a crash names lines; they are nine tenths of the file.
//! Debuggers (gdb, addr2line) find the file beside the program by a link in the program.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{cargo::Workspace, output::say};

/// File extension of the debug information.
const DEBUG_EXTENSION: &str = "debug";

/// Builds the release, and moves its debug information into a file.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    run_tool("cargo", ["build", "--release", "--locked", "--package", "quorate"].map(OsStr::new), &workspace.root)?;
    let program = workspace.target.join("release/quorate");
    let debug = split(&program)?;
    for path in [&program, &debug] {
        let mebibytes = fs::metadata(path).with_context(|| path.display().to_string())?.len() >> 20;
        say(format_args!("{} ({mebibytes} MiB)", path.display()));
    }
    Ok(())
}

/// Moves the debug information of `program` into a file beside it, and returns the path of that file. Where the
/// program has no debug information any more, program and file stay as they are.
fn split(program: &Path) -> Result<PathBuf> {
    let debug = program.with_extension(DEBUG_EXTENSION);
    let folder = program.parent().context("a program is in a folder")?;
    let new = debug.with_extension("debug.new");
    objcopy(folder, &[OsStr::new("--only-keep-debug"), program.as_os_str(), new.as_os_str()])?;
    let link = format!("--add-gnu-debuglink={}", debug.display());
    if debug.exists() && fs::metadata(&new)?.len() < fs::metadata(&debug)?.len() / 2 {
        // The debug information was moved before, and cargo has built nothing since.
        fs::remove_file(&new)?;
        return Ok(debug);
    }
    fs::rename(&new, &debug)?;
    objcopy(folder, &[OsStr::new("--strip-all"), OsStr::new(&link), program.as_os_str()])?;
    Ok(debug)
}

fn objcopy(folder: &Path, words: &[&OsStr]) -> Result<()> {
    run_tool("objcopy", words.iter().copied(), folder)
}

fn run_tool<'a>(program: &str, words: impl IntoIterator<Item = &'a OsStr>, folder: &Path) -> Result<()> {
    let ran = Command::new(program).args(words).current_dir(folder).status();
    let ran = ran.with_context(|| format!("{program} does not run (Debian: binutils for objcopy)"))?;
    if !ran.success() {
        bail!("{program} failed: {ran}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_without_its_debug_information_is_smaller_runs_and_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        let before = fs::metadata(&program).unwrap().len();
        let debug = split(&program).unwrap();
        let after = fs::metadata(&program).unwrap().len();
        assert!(after < before && debug == folder.path().join("program.debug"), "{before} {after}");
        let bytes = fs::read(&program).unwrap();
        assert!(bytes.windows(13).any(|part| part == b"program.debug"), "the program names the file");
        assert!(Command::new(&program).arg("--list").output().unwrap().status.success());
        // A second time, with nothing built since.
        let kept = fs::metadata(&debug).unwrap().len();
        assert_eq!(split(&program).unwrap(), debug);
        assert_eq!(fs::metadata(&debug).unwrap().len(), kept);
    }
}
