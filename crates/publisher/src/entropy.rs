//! The one place where this crate draws random numbers: the operating system's.

/// `N` random bytes, fit for keys.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}
