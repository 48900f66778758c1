//! The files of offline activation in the forms in which they are shown and read: bytes, lines of phone text, QR
//! codes on the terminal.
//!
//! A QR code holds some of the lines unchanged, so that scanned text can be pasted where lines would be typed.

use std::{
    fs::File,
    io::{self, IsTerminal, Read},
    path::Path,
};

use activation::{
    host_activation::FILE_BYTES_MAX,
    phone_text::{self, PhoneTextKind},
};
use anyhow::{Context, anyhow};
use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};
use serde_json::{Map, Value, json};

use super::{Failure, Output};

/// Argument that stands for standard input, or for no output file.
pub(crate) const DASH: &str = "-";

/// Lines in one QR code: at most 420 bytes, so that the code with its margin fits a terminal of 80 columns.
const CODE_LINES_MAX: usize = 12;
/// How many bytes of a file are read, at most. Lines of text are longer than the bytes that they encode.
const TEXT_BYTES_MAX: u64 = 8 * FILE_BYTES_MAX as u64;

/// In which other forms a file is shown, besides being written.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(crate) struct PhoneTextArgs {
    /// Also print the file as phone text: lines to read out and type, with check characters in each line.
    #[arg(long)]
    text: bool,
    /// Also print the lines as QR codes on the terminal.
    #[arg(long)]
    qr: bool,
}

impl PhoneTextArgs {
    /// Whether any form is to be printed.
    pub(crate) fn is_any(self) -> bool {
        self.text || self.qr
    }

    /// The text to print, and the same as JSON fields: `lines`, and `codes` (the lines in each QR code).
    pub(crate) fn show(self, of: PhoneTextKind, file: &[u8]) -> Result<(String, Map<String, Value>), Failure> {
        let (mut text, mut fields) = (String::new(), Map::new());
        if !self.is_any() {
            return Ok((text, fields));
        }
        let lines = phone_text::lines(of, file)?;
        if self.text {
            text = lines.join("\n");
            fields.insert("lines".into(), json!(lines));
        }
        if self.qr {
            let codes: Vec<String> = lines.chunks(CODE_LINES_MAX).map(|lines| lines.join("\n")).collect();
            for (index, code) in codes.iter().enumerate() {
                text += &format!("\ncode {} of {}\n{}", index + 1, codes.len(), drawn(code)?);
            }
            fields.insert("codes".into(), json!(codes));
        }
        Ok((text.trim_start_matches('\n').to_owned(), fields))
    }
}

impl PhoneTextArgs {
    /// Prints the result of a command that shows a file. Only the lines go to standard output, so that it can be
    /// redirected into a file of lines; the `remark` goes to standard error.
    pub(crate) fn print(self, output: &Output, fields: &Map<String, Value>, text: &str, remark: &str) {
        if self.is_any() {
            output.result(fields, text);
            output.aside(remark);
        } else {
            output.result(fields, remark);
        }
    }
}

/// Draws a QR code with characters for the light modules and spaces for the dark ones. The crate calls the drawn
/// modules dark, so its settings for light and dark are swapped. On a terminal the code sets its own colours,
/// whatever colours the terminal has.
fn drawn(code: &str) -> Result<String, Failure> {
    let code = QrCode::with_error_correction_level(code, EcLevel::L).context("the lines do not fit a QR code")?;
    let rows = code.render().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).quiet_zone(true).build();
    let in_colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let row = |row: &str| if in_colour { format!("\x1b[97;40m{row}\x1b[0m\n") } else { format!("{row}\n") };
    Ok(rows.lines().map(row).collect())
}

/// Reads a file as bytes, whether it was written, typed or scanned; `-` is standard input. Lines of text are
/// recognised and decoded.
pub(crate) fn read(path: &Path, wanted: PhoneTextKind) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = if path.as_os_str() == DASH {
        io::stdin().lock().take(TEXT_BYTES_MAX + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(TEXT_BYTES_MAX + 1).read_to_end(&mut bytes))
    };
    let name = if path.as_os_str() == DASH { "standard input".to_owned() } else { path.display().to_string() };
    read.with_context(|| format!("cannot read {name}")).map_err(Failure::usage)?;
    if bytes.len() as u64 > TEXT_BYTES_MAX {
        return Err(Failure::usage(anyhow!("{name} is longer than {TEXT_BYTES_MAX} bytes")));
    }
    from_either(bytes, wanted).with_context(|| name).map_err(Failure::usage)
}

fn from_either(bytes: Vec<u8>, wanted: PhoneTextKind) -> anyhow::Result<Vec<u8>> {
    // A file begins with its format number in protobuf, a control character that no line contains.
    let is_text = |text: &&str| !text.chars().any(|c| c.is_control() && !c.is_whitespace());
    let Some(text) = std::str::from_utf8(&bytes).ok().filter(is_text) else { return Ok(bytes) };
    let (of, file) = phone_text::read(text)?;
    if of != wanted {
        return Err(anyhow!("these lines are phone text of {of}, but {wanted} is needed here"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Vec<u8> {
        [8, 1].into_iter().chain((0..600_u32).map(|byte| byte.to_le_bytes()[0])).collect()
    }

    #[test]
    fn a_file_is_read_from_bytes_from_lines_and_from_codes_in_any_order() {
        let args = PhoneTextArgs { text: true, qr: true };
        let (_, fields) = args.show(PhoneTextKind::Requests, &file()).unwrap();
        let texts = |name: &str| -> Vec<String> {
            fields[name].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
        };
        let (lines, mut codes) = (texts("lines"), texts("codes"));
        assert_eq!(codes.len(), lines.len().div_ceil(CODE_LINES_MAX));
        codes.reverse();
        for typed in [file(), lines.join("\r\n").into_bytes(), codes.join("\n").into_bytes()] {
            assert_eq!(from_either(typed, PhoneTextKind::Requests).unwrap(), file());
        }
    }

    #[test]
    fn lines_of_the_wrong_kind_and_mistyped_ones_are_named() {
        let lines = phone_text::lines(PhoneTextKind::Answers, &file()).unwrap();
        let says = |text: &str| from_either(text.as_bytes().to_vec(), PhoneTextKind::Requests).unwrap_err().to_string();
        assert!(
            says(&lines.join("\n")).contains("phone text of an answer, but a request is needed"),
            "{}",
            says(&lines[0])
        );
        assert!(says("1: HELLO").contains("line 1"), "{}", says("1: HELLO"));
    }

    #[test]
    fn a_code_with_its_margin_fits_a_terminal_of_80_columns() {
        let longest = ["841: XXXXX-XXXXX-XXXXX-XXXXX-XXXXX"; CODE_LINES_MAX].join("\n");
        let drawn = drawn(&longest).unwrap();
        let widths: Vec<_> = drawn.lines().map(|row| row.chars().count()).collect();
        assert!(widths.iter().all(|width| *width <= 80), "{widths:?}");
        assert!(drawn.lines().count() <= 40, "{}", drawn.lines().count());
    }
}
