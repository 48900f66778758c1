//! Properties of the associations on generated streams.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::pdus::*;
use crate::stream;

/// PDUs of both sides, as one stream, mostly after a bind or a bind_ack.
fn conversations() -> impl Strategy<Value = Vec<u8>> {
    let opening = select(vec!["", BIND, BIND, BIND_BIG_ENDIAN, BIND_ACK, BIND_ACK]);
    let pdus = select(vec![
        BIND,
        REQUEST,
        REQUEST_BIG_ENDIAN,
        REQUEST_WITH_OBJECT,
        REQUEST_OF_NO_BYTES,
        REQUEST_SHORT_STUB,
        REQUEST_BAD_OPERATION,
        REQUEST_BAD_CONTEXT,
        REQUEST_WITH_VERIFIER,
        FRAGMENT_FIRST,
        FRAGMENT_MIDDLE,
        FRAGMENT_LAST,
        ALTER_CONTEXT,
        REQUEST_IN_CONTEXT_1,
        CO_CANCEL,
        ORPHANED,
        RESPONSE,
        FAULT_ACCESS,
        SHUTDOWN,
    ]);
    (opening, vec(pdus, 0..8)).prop_map(|(opening, pdus)| octets(&(opening.to_owned() + &pdus.concat())))
}

proptest! {
    #[test]
    fn any_split_of_the_stream_gives_the_same_events(stream in conversations(), cuts: Vec<Index>) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]).collect();
        prop_assert_eq!(stream::serve(&pieces), stream::serve(&[&stream]));
        prop_assert_eq!(stream::ask(&pieces), stream::ask(&[&stream]));
    }

    #[test]
    fn any_octets_are_survived(octets: Vec<u8>) {
        stream::check(&octets);
    }

    #[test]
    fn any_damage_to_a_conversation_is_survived(
        mut stream in conversations(),
        damage in vec((any::<Index>(), 0_u32..8), 1..12),
        cut: Index,
    ) {
        prop_assume!(!stream.is_empty());
        for (at, bit) in damage {
            let at = at.index(stream.len());
            stream[at] ^= 1 << bit;
        }
        stream::check(&stream);
        stream::check(&stream[..cut.index(stream.len())]);
    }

    #[test]
    fn any_run_of_fragments_stays_within_the_bound(sizes in vec(0_usize..4256, 1..40), tiny: bool) {
        let mut stream = octets(BIND);
        for (index, size) in sizes.iter().enumerate() {
            let size = if tiny { size % 3 } else { *size };
            let mut fragment = octets("05000000 10000000 0000 0000 01000000 | ffffffff 0000 0000");
            fragment[3] = u8::from(index == 0);
            fragment.splice(8..10, u16::try_from(24 + size).unwrap().to_le_bytes());
            fragment.resize(24 + size, 0);
            stream.extend(fragment);
        }
        // `serve` asserts the limit on held bytes after each piece.
        let pieces: Vec<&[u8]> = stream.chunks(1000).collect();
        stream::serve(&pieces);
    }
}
