//! Files that the account of this process alone may read.

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path};

use rustix::{fs::Mode, process::umask};

/// The rights that new files had before [`of_this_account`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct RightsBefore(Mode);

/// From now on what this process creates is readable by its own account alone, whatever mask it was started with.
pub(crate) fn of_this_account() -> RightsBefore {
    RightsBefore(umask(Mode::RWXG | Mode::RWXO))
}

impl RightsBefore {
    /// Gives a file that holds no secret the rights that the mask of the start gives to new files.
    pub(crate) fn share(self, path: &Path) -> io::Result<()> {
        fs::set_permissions(path, fs::Permissions::from_mode(0o666 & !self.0.bits()))
    }
}
