//! Arguments that several commands take.

use anyhow::Context as _;

/// Parses a length of time, `90s`, `10m`, `1h` or `7d`; the result is in seconds.
pub(crate) fn seconds(text: &str) -> anyhow::Result<u64> {
    let factor = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 86_400,
        _ => 0,
    };
    let number = text.get(..text.len().saturating_sub(1)).and_then(|number| number.parse::<u64>().ok());
    let seconds = number.and_then(|number| number.checked_mul(factor)).filter(|seconds| *seconds > 0);
    seconds.context("expected a number with the unit s, m, h or d, for example 90s, 10m, 1h or 7d")
}

/// The time `seconds` ago, in milliseconds since 1970.
pub(crate) fn ago_ms(seconds: u64) -> u64 {
    client::time_ms().saturating_sub(seconds.saturating_mul(1000))
}

/// How long a node that is drained waits after it withdrew its DNS records.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct DrainWait {
    /// How long the node keeps answering after it withdrew its SRV record, in seconds. Default: the time until
    /// resolvers have forgotten the record, at most the node's drain.wait_s.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(..=86_400))]
    pub(crate) wait: Option<u32>,
}
