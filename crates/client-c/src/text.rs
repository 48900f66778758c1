//! Texts that come in as C's strings and go out into buffers of a fixed size.

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

/// `text` with a zero at its end. What does not fit is left out, whole characters at a time.
pub(crate) fn buffer<const BYTES: usize>(text: &str) -> [c_char; BYTES] {
    let mut buffer = [0; BYTES];
    let end = text.floor_char_boundary(BYTES.saturating_sub(1).min(text.len()));
    // A zero inside would end the text for its reader.
    let bytes = text.bytes().take(end).take_while(|byte| *byte != 0);
    for (place, byte) in buffer.iter_mut().zip(bytes) {
        *place = c_char::from_ne_bytes([byte]);
    }
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_too_long_ends_with_a_whole_character() {
        let bytes = |text| buffer::<6>(text).map(|byte| byte.to_ne_bytes()[0]);
        for (text, kept) in [
            ("", *b"\0\0\0\0\0\0"),
            ("host", *b"host\0\0"),
            ("hosts", *b"hosts\0"),
            ("hosts.", *b"hosts\0"),
            ("hos\u{e9}", [b'h', b'o', b's', 0xC3, 0xA9, 0]),
            ("host\u{e9}", *b"host\0\0"),
            ("a\0b", *b"a\0\0\0\0\0"),
        ] {
            assert_eq!(bytes(text), kept, "{text:?}");
        }
    }
}
