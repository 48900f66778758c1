//! HRESULTs for failures on this machine, before or without a host: `HRESULT_FROM_WIN32` of the system error that means the
//! same, where the codes of volume activation (`activation::status`) have none.

use std::io;

use activation::status::Status;

/// `ERROR_PATH_NOT_FOUND`.
pub(crate) const PATH_NOT_FOUND: Status = Status(0x8007_0003);
/// `ERROR_INVALID_DATA`: a file or an answer is not as it was written or agreed.
pub(crate) const INVALID_DATA: Status = Status(0x8007_000D);
/// `ERROR_WRITE_PROTECT`.
pub(crate) const WRITE_PROTECTED: Status = Status(0x8007_0013);
/// `ERROR_SHARING_VIOLATION`: another process uses the folder.
pub(crate) const IN_USE: Status = Status(0x8007_0020);
/// `ERROR_INVALID_PARAMETER`.
pub(crate) const INVALID_ARGUMENT: Status = Status(0x8007_0057);
/// `ERROR_DISK_FULL`.
pub(crate) const DISK_FULL: Status = Status(0x8007_0070);
/// `ERROR_IO_DEVICE`: the system refused a read or a write for another reason.
pub(crate) const IO: Status = Status(0x8007_045D);
/// `ERROR_NOT_FOUND`: what the call needs was never installed.
pub(crate) const NOT_INSTALLED: Status = Status(0x8007_0490);
/// `ERROR_REVISION_MISMATCH`: written by a newer version.
pub(crate) const NEWER_FORMAT: Status = Status(0x8007_051A);
/// `ERROR_NOT_ENOUGH_QUOTA`: no rearm is left.
pub(crate) const NO_REARM_LEFT: Status = Status(0x8007_0718);
/// `ERROR_INVALID_STATE`: the machine must be activated first.
pub(crate) const NOT_ACTIVATED_YET: Status = Status(0x8007_139F);
/// `NTE_FAIL`: the system gave no random bytes.
pub(crate) const NO_ENTROPY: Status = Status(0x8009_0020);

/// The status of a file that could not be read or written.
pub(crate) fn of_io(error: &io::Error) -> Status {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Status::ACCESS_DENIED,
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => PATH_NOT_FOUND,
        io::ErrorKind::ReadOnlyFilesystem => WRITE_PROTECTED,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DISK_FULL,
        io::ErrorKind::InvalidData => INVALID_DATA,
        _ => IO,
    }
}
