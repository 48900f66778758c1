//! Lengths of time, as people write them.

/// `90s`, `10m`, `1h`, `7d`.
pub(crate) fn seconds(text: &str) -> Result<u64, String> {
    let factor = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 86_400,
        _ => 0,
    };
    let number = text.get(..text.len().saturating_sub(1)).and_then(|number| number.parse::<u64>().ok());
    let seconds = number.and_then(|number| number.checked_mul(factor)).filter(|seconds| *seconds > 0);
    seconds.ok_or_else(|| "give a number with s, m, h or d, as in 90s, 10m, 1h or 7d".into())
}

/// The time that long ago, by this machine's clock, in milliseconds since 1970.
pub(crate) fn ago_ms(seconds: u64) -> u64 {
    client::time_ms().saturating_sub(seconds.saturating_mul(1000))
}
