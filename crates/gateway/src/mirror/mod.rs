//! Which requests of which associations mirrors get (G5), and the state of one association with a mirror. Pure.

pub(crate) mod budget;
pub(crate) mod session;
pub(crate) mod tap;
#[cfg(test)]
mod tests;
