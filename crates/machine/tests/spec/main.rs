//! Machines that are laid out in folders, and their descriptions.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(test)]
mod descriptions;
#[cfg(test)]
mod identities;
#[cfg(test)]
mod laid_out;
