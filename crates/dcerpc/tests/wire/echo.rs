//! A server without I/O whose one operation answers with the bytes of the request.

use dcerpc::{Association, AssociationGroups, ByteOrder, Event, Interface, Violation, ndr};
use uuid::{Uuid, uuid};

pub(crate) const ECHO: Interface =
    Interface { uuid: uuid!("3a5b7c9d-1e2f-4a6b-8c7d-9e0f1a2b3c4d"), major: 1, minor: 0, operations: 1 };

/// One observed event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Happening {
    Sent(Vec<u8>),
    Called { opnum: u16, object: Option<Uuid>, order: ByteOrder, stub: Vec<u8> },
    Closed(Violation),
}

pub(crate) struct Echo {
    pub(crate) association: Association,
}

impl Echo {
    pub(crate) fn new(groups: &AssociationGroups) -> Self {
        Self { association: Association::new(ECHO, groups.clone(), 1688) }
    }

    /// Passes one read of the socket to the association, and answers every call in it.
    pub(crate) fn feed(&mut self, mut input: &[u8]) -> Vec<Happening> {
        let mut seen = Vec::new();
        while let Some(event) = self.association.receive(&mut input) {
            match event {
                Event::Send(pdu) => seen.push(Happening::Sent(pdu)),
                Event::Close(why) => seen.push(Happening::Closed(why)),
                Event::Call(call) => {
                    let answer = match ndr::decode_request(&call.stub, call.order) {
                        Ok(data) => self.association.respond(call.handle, &ndr::encode_answer(data, 0)),
                        Err(bad) => self.association.fault(call.handle, bad.fault_status()),
                    };
                    seen.push(Happening::Called {
                        opnum: call.opnum,
                        object: call.object,
                        order: call.order,
                        stub: call.stub,
                    });
                    seen.push(Happening::Sent(answer));
                }
            }
        }
        assert!(input.is_empty(), "receive takes all of its input before it gives None");
        seen
    }
}
