//! The start gate: a node whose disk went back in time, or whose data folder was copied, must not take part.
//!
//! Everything that a voter promised must be on its disk. A disk that was restored from an older image lacks
//! promises, and a copied data folder makes every promise twice. A node cannot detect either from its own disk.
//! Therefore the other members remember each start of a node ([`incarnation`]), and a node asks them before it
//! takes part ([`admission`]).

pub(crate) mod admission;
pub(crate) mod hello;
pub(crate) mod incarnation;
pub(crate) mod state;
