//! The start gate: a node whose disk went back in time, or that is a copy of another one, takes no part.
//!
//! What a voter promised must be on its disk. A disk that was restored from an older image has forgotten promises, and a
//! copied data folder makes them twice. Neither can be seen on the disk itself, so the other members remember each start of
//! a node ([`incarnation`]), and a node asks them before it takes part ([`admission`]).

pub(crate) mod admission;
pub(crate) mod hello;
pub(crate) mod incarnation;
pub(crate) mod state;
