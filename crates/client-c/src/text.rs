//! Texts for buffers of a fixed size.

use std::ffi::c_char;

/// `text`, zero-terminated. Whole characters that do not fit are dropped.
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
