//! Ids by which the log entries of one administrator's request are applied at most once.
//!
//! The caller sends 16 random bytes with its request and repeats the request with the same bytes if the reply was
//! lost, to the same node or to another one. Each entry that the request makes gets an id derived from these bytes,
//! so that the repeated request finds the entries of the first one instead of making them again.

use std::sync::atomic::{AtomicU32, Ordering};

use activation::{
    coded::Code,
    state::{Act, Command, RequestId},
};
use admin::wire::REQUEST_ID_METADATA;
use sha2::{Digest, Sha256};
use tonic::{Status, metadata::MetadataMap};

/// The ids of the log entries that one request makes.
#[derive(Debug)]
pub(super) struct RequestIds {
    given: Option<RequestId>,
    entries: AtomicU32,
}

impl RequestIds {
    /// The ids of a request that is never repeated: none.
    pub(super) fn unrepeated() -> Self {
        Self { given: None, entries: AtomicU32::new(0) }
    }

    /// The ids of a request, from its metadata. Error: the value is not exactly one value of 16 bytes.
    pub(super) fn of(metadata: &MetadataMap) -> Result<Self, Status> {
        let malformed =
            || Status::invalid_argument(format!("{REQUEST_ID_METADATA}: one value of 16 bytes is expected"));
        let mut values = metadata.get_all_bin(REQUEST_ID_METADATA).iter();
        let given = match (values.next(), values.next()) {
            (None, _) => None,
            (Some(value), None) => {
                let bytes = value.to_bytes().map_err(|_| malformed())?;
                Some(bytes.as_ref().try_into().map_err(|_| malformed())?)
            }
            _ => return Err(malformed()),
        };
        Ok(Self { given, ..Self::unrepeated() })
    }

    /// The id of the request's next entry, which carries out `command` for the caller `who`; `None` where the caller
    /// sent no request id.
    ///
    /// The kind of the command is part of the id: a repeat that takes another course makes entries with other ids.
    pub(super) fn next(&self, who: &str, command: &Command) -> Option<RequestId> {
        let given = self.given?;
        let number = self.entries.fetch_add(1, Ordering::Relaxed);
        Some(derived("quorate/request/1", &given, &[who.as_bytes(), &number.to_be_bytes(), &kind(command)]))
    }

    /// A secret that is the same in every repeat of the request; `None` without a request id. It cannot be derived
    /// from the log or the state.
    pub(super) fn secret(&self, who: &str) -> Option<[u8; 16]> {
        self.given.map(|given| derived("quorate/request-secret/1", &given, &[who.as_bytes()]))
    }
}

fn derived(label: &str, given: &RequestId, parts: &[&[u8]]) -> [u8; 16] {
    let mut digest = Sha256::new();
    digest.update(label);
    digest.update(given);
    for part in parts {
        // Hash each part's length first, so that two different lists of parts never have the same bytes.
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let digest: [u8; 32] = digest.finalize().into();
    *digest.first_chunk().expect("32 bytes hold 16")
}

/// The kind of a command, without values that differ between two attempts, such as times.
fn kind(command: &Command) -> Vec<u8> {
    let number = |code: Code| (code as u32).to_be_bytes().to_vec();
    match command {
        Command::Audited { act: Act::Command(command), .. } => kind(command),
        Command::Audited { act: Act::Noted { what, refused }, .. } => {
            let mut kind = number(what.code);
            kind.extend(refused.unwrap_or(0).to_be_bytes());
            kind
        }
        command => number(command.act().code),
    }
}

#[cfg(test)]
mod tests {
    use activation::{audit::Origin, coded::Coded};
    use tonic::metadata::MetadataValue;

    use super::*;

    fn given(bytes: &[u8]) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        metadata.append_bin(REQUEST_ID_METADATA, MetadataValue::from_bytes(bytes));
        metadata
    }

    fn noted(code: Code, refused: Option<u32>, time_ms: u64) -> Command {
        let origin = Origin::new("Ada", "192.0.2.1", time_ms);
        Command::Audited { origin, act: Act::Noted { what: Coded::bare(code), refused } }
    }

    #[test]
    fn a_repeated_request_gives_its_entries_the_same_ids_at_another_time_too() {
        let ids = || RequestIds::of(&given(&[7; 16])).unwrap();
        let (first, again) = (ids(), ids());
        for (code, refused) in [(Code::BackUp, None), (Code::BackUp, Some(14)), (Code::SettleDns, None)] {
            let once = first.next("Ada", &noted(code, refused, 1)).unwrap();
            assert_eq!(again.next("Ada", &noted(code, refused, 2)), Some(once));
        }
        assert_eq!(first.secret("Ada"), again.secret("Ada"));
    }

    #[test]
    fn another_caller_another_entry_or_another_outcome_has_another_id() {
        let of = |bytes: u8, who: &str, command: &Command| {
            RequestIds::of(&given(&[bytes; 16])).unwrap().next(who, command).unwrap()
        };
        let command = noted(Code::BackUp, None, 1);
        let one = of(7, "Ada", &command);
        assert_ne!(of(8, "Ada", &command), one);
        assert_ne!(of(7, "Bob", &command), one);
        assert_ne!(of(7, "Ada", &noted(Code::BackUp, Some(14), 1)), one);
        assert_ne!(of(7, "Ada", &noted(Code::SettleDns, None, 1)), one);
        let ids = RequestIds::of(&given(&[7; 16])).unwrap();
        assert_eq!(ids.next("Ada", &command), Some(one));
        assert_ne!(ids.next("Ada", &command), Some(one));
        assert_ne!(ids.secret("Ada"), RequestIds::of(&given(&[8; 16])).unwrap().secret("Ada"));
    }

    #[test]
    fn a_request_without_an_id_has_none_and_a_malformed_id_is_refused() {
        let none = RequestIds::of(&MetadataMap::new()).unwrap();
        assert_eq!((none.next("Ada", &noted(Code::BackUp, None, 1)), none.secret("Ada")), (None, None));
        let mut two = given(&[1; 16]);
        two.append_bin(REQUEST_ID_METADATA, MetadataValue::from_bytes(&[2; 16]));
        for refused in [given(&[]), given(&[1; 15]), given(&[1; 17]), two] {
            assert!(RequestIds::of(&refused).is_err(), "{refused:?}");
        }
    }
}
