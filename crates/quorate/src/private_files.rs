//! Files that the account of this process alone may read.

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path};

use rustix::{fs::Mode, process::umask};

/// The umask that was in effect before [`of_this_account`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct RightsBefore(Mode);

/// Sets the umask, so that files that this process creates are readable by its own account alone.
pub(crate) fn of_this_account() -> RightsBefore {
    RightsBefore(umask(Mode::RWXG | Mode::RWXO))
}

impl RightsBefore {
    /// Gives a file that holds no secret the rights that new files had under the earlier umask.
    pub(crate) fn share(self, path: &Path) -> io::Result<()> {
        fs::set_permissions(path, fs::Permissions::from_mode(0o666 & !self.0.bits()))
    }
}
