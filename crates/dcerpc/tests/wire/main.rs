//! The crate from a peer's point of view: bytes against both associations, and against independent implementations.

#[cfg(test)]
mod behaviour;
#[cfg(test)]
mod client;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod echo;
#[cfg(test)]
mod impacket;
#[cfg(test)]
mod pdus;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod stream;
#[cfg(test)]
mod stubs;
#[cfg(test)]
mod tshark;
