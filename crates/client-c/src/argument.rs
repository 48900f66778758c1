//! Arguments of calls: C's strings as texts and paths.

use std::ffi::{CStr, OsStr, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::failure::Failure;

/// The text at `pointer`; none at NULL.
///
/// # Safety
///
/// `pointer` is NULL or points to bytes that end with a zero and stay as they are during `'a`.
#[expect(unsafe_code, reason = "a C string is read where it is")]
pub(crate) unsafe fn given<'a>(pointer: *const c_char) -> Option<&'a CStr> {
    // SAFETY: it is not NULL; the rest is the caller's promise.
    (!pointer.is_null()).then(|| unsafe { CStr::from_ptr(pointer) })
}

/// What has to be there.
pub(crate) fn required<'a>(name: &str, text: Option<&'a CStr>) -> Result<&'a CStr, Failure> {
    text.ok_or_else(|| Failure::argument(format!("`{name}` is NULL")))
}

/// Everything but paths is UTF-8.
pub(crate) fn utf8<'a>(name: &str, text: &'a CStr) -> Result<&'a str, Failure> {
    text.to_str().map_err(|_| Failure::argument(format!("`{name}` is not UTF-8")))
}

/// A path is what the system takes for one.
pub(crate) fn path(text: &CStr) -> &Path {
    Path::new(OsStr::from_bytes(text.to_bytes()))
}
