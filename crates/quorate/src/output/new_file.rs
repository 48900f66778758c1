//! Files that a command writes to a path given by the user. An existing file is replaced only where the user allows
//! it.

use std::{
    fs::{self, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};

use super::{Failure, confirm};

/// `--force` of commands that write a file or a context.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(crate) struct ForceArgs {
    /// Replace what exists already, without asking.
    #[arg(long)]
    force: bool,
}

impl ForceArgs {
    /// Whether `what`, which exists already, may be replaced: with `--force`, or after a confirmation at the
    /// terminal.
    pub(crate) fn allow_replacing(self, what: &str) -> Result<(), Failure> {
        if self.force {
            Ok(())
        } else if confirm::can_ask() {
            confirm::ask(&format!("{what} exists already. Replace it? [y/N] "))
        } else {
            Err(anyhow!(
                "{what} exists already and was not changed: choose another name, or re-run with --force to replace it"
            )
            .into())
        }
    }
}

/// Which accounts may read a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// The owner alone, for files that hold host keys.
    Owner,
    /// As the process's umask allows, for files that hold public data.
    Umask,
}

/// A file that a command is going to write.
#[derive(Debug)]
pub(crate) struct NewFile {
    path: PathBuf,
    kind: Kind,
}

/// What exists at the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// There is no file.
    Absent,
    /// A regular file that may be replaced.
    Replaceable,
    /// A device or a pipe, such as `/dev/stdout`: its content is written, and the file is not replaced.
    Stream,
}

impl NewFile {
    /// Prepares the file before the command starts its work: where the path exists, asks whether to replace it, or
    /// refuses.
    pub(crate) fn at(path: &Path, force: ForceArgs) -> Result<Self, Failure> {
        let cannot = || format!("cannot write {}", path.display());
        let kind = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Kind::Absent,
            Err(error) => return Err(anyhow::Error::from(error).context(cannot()).into()),
            Ok(_) if fs::metadata(path).is_ok_and(|target| !target.is_file() && !target.is_dir()) => Kind::Stream,
            Ok(_) => {
                force.allow_replacing(&path.display().to_string())?;
                Kind::Replaceable
            }
        };
        Ok(Self { path: path.to_owned(), kind })
    }

    /// Writes the whole file or nothing, and returns after it is on the disk. A file that was created at the path
    /// since [`Self::at`] is not changed.
    pub(crate) fn write(self, content: &[u8], readers: Readers) -> Result<(), Failure> {
        let Self { path, kind } = self;
        let written = match kind {
            Kind::Stream => OpenOptions::new().write(true).open(&path).and_then(|mut file| file.write_all(content)),
            Kind::Absent | Kind::Replaceable => put(&path, content, readers, kind == Kind::Replaceable),
        };
        Ok(written.with_context(|| format!("cannot write {}", path.display()))?)
    }
}

fn put(path: &Path, content: &[u8], readers: Readers, may_replace: bool) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mode = match readers {
        Readers::Owner => 0o600,
        Readers::Umask => 0o666,
    };
    let mut file = tempfile::Builder::new().permissions(Permissions::from_mode(mode)).tempfile_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    let kept = if may_replace { file.persist(path) } else { file.persist_noclobber(path) };
    kept.map_err(|error| error.error)?;
    storage::durable::sync_folder(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORCE: ForceArgs = ForceArgs { force: true };
    // Under nextest, a test's standard input is not a terminal.
    const ASK: ForceArgs = ForceArgs { force: false };

    #[test]
    fn a_file_that_is_there_is_replaced_with_force_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backup");
        NewFile::at(&path, ASK).unwrap().write(b"first", Readers::Owner).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let refused = NewFile::at(&path, ASK).unwrap_err().reason();
        assert!(refused.contains(path.to_str().unwrap()) && refused.contains("--force"), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), b"first");
        NewFile::at(&path, FORCE).unwrap().write(b"second", Readers::Owner).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
    }

    #[test]
    fn what_came_to_be_there_meanwhile_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backup");
        let new = NewFile::at(&path, FORCE).unwrap();
        fs::write(&path, b"another command's").unwrap();
        new.write(b"mine", Readers::Owner).unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"another command's");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left over");
    }

    #[test]
    fn a_link_that_leads_nowhere_counts_as_something_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("link");
        std::os::unix::fs::symlink("nowhere", &path).unwrap();
        NewFile::at(&path, ASK).unwrap_err();
    }

    #[test]
    fn a_device_is_written_to_and_stays() {
        let device = Path::new("/dev/null");
        NewFile::at(device, ASK).unwrap().write(b"content", Readers::Umask).unwrap();
        assert!(!fs::metadata(device).unwrap().is_file());
    }
}
