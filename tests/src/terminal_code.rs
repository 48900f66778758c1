//! QR codes as a camera in front of the terminal sees them.

use rqrr::PreparedImage;

/// Pixels of one module.
const SCALE: usize = 4;

/// The texts of the codes that are drawn in a command's output, one after the other.
///
/// # Panics
/// When one of them cannot be read.
pub fn read_all(printed: &str) -> Vec<String> {
    let is_drawn = |line: &&str| !line.is_empty() && line.chars().all(|c| matches!(c, ' ' | '█' | '▀' | '▄'));
    let mut codes: Vec<Vec<&str>> = vec![Vec::new()];
    for line in printed.lines() {
        match codes.last_mut() {
            Some(code) if is_drawn(&line) => code.push(line),
            Some(code) if code.is_empty() => {}
            _ => codes.push(Vec::new()),
        }
    }
    codes.iter().filter(|code| !code.is_empty()).map(|code| read(code)).collect()
}

/// Each character is two modules, one above the other; what is drawn is light.
fn read(rows: &[&str]) -> String {
    let light: Vec<Vec<bool>> = rows
        .iter()
        .flat_map(|row| {
            let upper = row.chars().map(|c| matches!(c, '█' | '▀')).collect();
            let lower = row.chars().map(|c| matches!(c, '█' | '▄')).collect();
            [upper, lower]
        })
        .collect();
    let width = light.iter().map(Vec::len).max().unwrap_or_default();
    let is_light = |x: usize, y: usize| light.get(y).and_then(|row| row.get(x)).copied().unwrap_or_default();
    let mut image = PreparedImage::prepare_from_greyscale(width * SCALE, light.len() * SCALE, |x, y| {
        if is_light(x / SCALE, y / SCALE) { 255 } else { 0 }
    });
    let grids = image.detect_grids();
    assert_eq!(grids.len(), 1, "one code is drawn:\n{}", rows.join("\n"));
    let (_, text) = grids.first().expect("there is one").decode().expect("the code is whole");
    text
}
