//! HRESULTs for failures on this machine: `HRESULT_FROM_WIN32` of the system error with the same meaning, for
//! failures that have no code of volume activation ([`crate::status`]).

use std::io;

use crate::status::Status;

/// `ERROR_PATH_NOT_FOUND`.
pub const PATH_NOT_FOUND: Status = Status(0x8007_0003);
/// `ERROR_INVALID_DATA`: a file differs from what was written, or an answer from what was agreed.
pub const INVALID_DATA: Status = Status(0x8007_000D);
/// `ERROR_WRITE_PROTECT`.
pub const WRITE_PROTECTED: Status = Status(0x8007_0013);
/// `ERROR_SHARING_VIOLATION`: another process uses the folder, or it belongs to another owner.
pub const IN_USE: Status = Status(0x8007_0020);
/// `ERROR_INVALID_PARAMETER`.
pub const INVALID_ARGUMENT: Status = Status(0x8007_0057);
/// `ERROR_DISK_FULL`.
pub const DISK_FULL: Status = Status(0x8007_0070);
/// `ERROR_IO_DEVICE`: the system refused a read or a write for another reason.
pub const IO: Status = Status(0x8007_045D);
/// `ERROR_NOT_FOUND`: what the call needs was never installed.
pub const NOT_INSTALLED: Status = Status(0x8007_0490);
/// `ERROR_REVISION_MISMATCH`: a newer version wrote the file.
pub const NEWER_FORMAT: Status = Status(0x8007_051A);
/// `WSAEADDRINUSE`: another process listens on the address.
pub const ADDRESS_IN_USE: Status = Status(0x8007_2740);
/// `WSAEADDRNOTAVAIL`: this machine has no such address.
pub const ADDRESS_NOT_AVAILABLE: Status = Status(0x8007_2741);
/// `CERT_E_EXPIRED`: a certificate is not valid now.
pub const CERTIFICATE_EXPIRED: Status = Status(0x800B_0101);
/// `ERROR_NOT_ENOUGH_QUOTA`: no rearm is left.
pub const NO_REARM_LEFT: Status = Status(0x8007_0718);
/// `ERROR_INVALID_STATE`: not possible in the state in which the machine or the node is.
pub const WRONG_STATE: Status = Status(0x8007_139F);
/// `NTE_FAIL`: the system gave no random bytes.
pub const NO_ENTROPY: Status = Status(0x8009_0020);

/// The status of a file that could not be read or written, or of an address that could not be used.
#[must_use]
pub fn of_io(error: &io::Error) -> Status {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Status::ACCESS_DENIED,
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => PATH_NOT_FOUND,
        io::ErrorKind::ReadOnlyFilesystem => WRITE_PROTECTED,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DISK_FULL,
        io::ErrorKind::InvalidData => INVALID_DATA,
        io::ErrorKind::AddrInUse => ADDRESS_IN_USE,
        io::ErrorKind::AddrNotAvailable => ADDRESS_NOT_AVAILABLE,
        _ => IO,
    }
}
