//! Draws random numbers from the operating system; no other module of this crate does.

/// Returns `N` random bytes that are suitable for keys.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}
