//! Untrusted text (machine names, errors of other nodes), for terminals, pages and tables.

/// `text` with control characters, and characters that change the writing direction, replaced by U+FFFD.
#[must_use]
pub fn printable(text: &str) -> String {
    let turns =
        |character| matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown = |character: char| match character.is_control() || turns(character) {
        true => char::REPLACEMENT_CHARACTER,
        false => character,
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_text_is_left() {
        for (text, shown) in [
            ("desk-1 <b>", "desk-1 <b>"),
            ("a\nb\u{1b}[31m\0", "a\u{fffd}b\u{fffd}[31m\u{fffd}"),
            ("\u{202e}exe.\u{2066}", "\u{fffd}exe.\u{fffd}"),
        ] {
            assert_eq!(printable(text), shown);
        }
    }
}
