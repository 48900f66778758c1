//! Arguments of calls: C strings as texts and paths.

use std::ffi::{CStr, OsStr, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::failure::Failure;

/// The text at `pointer`; `None` at NULL.
///
/// # Safety
///
/// `pointer` is NULL or points to zero-terminated bytes that do not change during `'a`.
#[expect(unsafe_code, reason = "a C string is read where it is")]
pub(crate) unsafe fn given<'a>(pointer: *const c_char) -> Option<&'a CStr> {
    // SAFETY: it is not NULL; the caller promises the rest.
    (!pointer.is_null()).then(|| unsafe { CStr::from_ptr(pointer) })
}

/// Returns the argument, or an error naming it where it is NULL.
pub(crate) fn required<'a>(name: &str, text: Option<&'a CStr>) -> Result<&'a CStr, Failure> {
    text.ok_or_else(|| Failure::argument(format!("`{name}` is NULL")))
}

/// The text as UTF-8; every argument except paths must be UTF-8.
pub(crate) fn utf8<'a>(name: &str, text: &'a CStr) -> Result<&'a str, Failure> {
    text.to_str().map_err(|_| Failure::argument(format!("`{name}` is not UTF-8")))
}

/// The bytes as a path, in any encoding.
pub(crate) fn path(text: &CStr) -> &Path {
    Path::new(OsStr::from_bytes(text.to_bytes()))
}
