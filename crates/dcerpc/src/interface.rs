//! The interface of an association: its identifier and version.

use uuid::Uuid;

use crate::pdu::bind::SyntaxId;

/// The interface that a server offers, or that a client requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Interface identifier.
    pub uuid: Uuid,
    /// Major version; must be equal on both sides.
    pub major: u16,
    /// Minor version; a server accepts its own and lower ones.
    pub minor: u16,
    /// Number of operations. A request for this number or above is answered with a fault. Not used on a client.
    pub operations: u16,
}

impl Interface {
    pub(crate) fn syntax(&self) -> SyntaxId {
        SyntaxId { uuid: self.uuid, major: self.major, minor: self.minor }
    }

    pub(crate) fn serves(&self, asked: SyntaxId) -> bool {
        asked.uuid == self.uuid && asked.major == self.major && asked.minor <= self.minor
    }
}
