//! Reads QR codes from a command's output, as a camera in front of the terminal does.

use rqrr::PreparedImage;

/// Width of one module, in pixels.
const SCALE: usize = 4;

/// The texts of the QR codes in a command's output, in order.
///
/// # Panics
/// When one of the codes cannot be read.
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

/// Reads one code. Each character is two modules, one above the other; drawn modules are light.
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
