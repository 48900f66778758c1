//! Which members vote: one, three or five, preferably members that answer.
//!
//! With an even number of members one is a learner: it holds the whole state and replaces a voter that is lost. An
//! even number of voters would need one more vote for a majority, and would tolerate no more failures.

use std::collections::{BTreeMap, BTreeSet};

/// A member, as the leader observes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seat {
    /// Whether the member votes now.
    pub(crate) votes: bool,
    /// Whether the member leads now.
    pub(crate) leads: bool,
    /// For a voter: it answers, or is absent for a short time only. For a learner: it answers and has caught up.
    pub(crate) is_fit: bool,
}

/// The number of voters for a number of members.
pub(crate) fn votes(members: usize) -> usize {
    members.saturating_sub(1) | 1
}

/// The members that must vote. A learner that is not fit is never promoted, and a voter keeps its vote unless
/// another member is needed instead.
pub(crate) fn elect(seats: &BTreeMap<u64, Seat>) -> BTreeSet<u64> {
    let mut eligible: Vec<_> = seats.iter().filter(|(_, seat)| seat.votes || seat.is_fit).collect();
    eligible.sort_by_key(|(node, seat)| (!seat.leads, !seat.is_fit, !seat.votes, **node));
    let most = eligible.len().min(votes(seats.len()));
    // One fewer if the number would be even.
    eligible.truncate(votes(most).min(most));
    eligible.into_iter().map(|(node, _)| *node).collect()
}

/// Whether the fit members among `voters` are a majority of them.
pub(crate) fn can_agree(voters: &BTreeSet<u64>, seats: &BTreeMap<u64, Seat>) -> bool {
    let fit = voters.iter().filter(|voter| seats.get(voter).is_some_and(|seat| seat.is_fit)).count();
    fit > voters.len() / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `L`: leader; `V`: voter; `v`: voter that does not answer; `l`: learner; `x`: learner that does not answer or
    /// lags; `-`: number not used. Numbered from 1.
    fn seats(text: &str) -> BTreeMap<u64, Seat> {
        let seat = |letter| match letter {
            'L' => Seat { votes: true, leads: true, is_fit: true },
            'V' => Seat { votes: true, leads: false, is_fit: true },
            'v' => Seat { votes: true, leads: false, is_fit: false },
            'l' => Seat { votes: false, leads: false, is_fit: true },
            'x' => Seat::default(),
            '-' => unreachable!("left out below"),
            other => panic!("{other}?"),
        };
        let numbered = (1..).zip(text.chars()).filter(|(_, letter)| *letter != '-');
        numbered.map(|(node, letter)| (node, seat(letter))).collect()
    }

    #[test]
    fn one_three_or_five_nodes_are_voters_and_one_more_is_a_learner() {
        assert_eq!([1, 2, 3, 4, 5, 6].map(votes), [1, 1, 3, 3, 5, 5]);
        let cases: [(&str, &[u64]); 19] = [
            ("L", &[1]),
            // Growth: the second, fourth and sixth member stay learners until the third and fifth are there.
            ("Ll", &[1]),
            ("Lll", &[1, 2, 3]),
            ("LVVl", &[1, 2, 3]),
            ("LVVll", &[1, 2, 3, 4, 5]),
            ("LVVVVl", &[1, 2, 3, 4, 5]),
            // A member that does not keep up is not promoted, and the number of voters stays odd.
            ("Llx", &[1]),
            ("LVVlx", &[1, 2, 3]),
            // A voter that does not answer loses its vote to the learner; without a learner it keeps the vote.
            ("LVvl", &[1, 2, 4]),
            ("LVv", &[1, 2, 3]),
            ("LVvx", &[1, 2, 3]),
            ("LvVvVl", &[1, 3, 5, 6, 2]),
            // Shrinking: another member replaces the removed voter, or one more voter loses its vote.
            ("LVVV-", &[1, 2, 3]),
            ("LVV-l", &[1, 2, 3]),
            ("LV-l", &[1, 2, 4]),
            ("LV-x", &[1]),
            ("LV", &[1]),
            ("VL", &[2]),
            ("-l", &[2]),
        ];
        for (text, voters) in cases {
            assert_eq!(elect(&seats(text)), voters.iter().copied().collect(), "{text}");
        }
    }

    #[test]
    fn the_chosen_voters_are_odd_in_number_stable_and_include_no_unfit_node() {
        // Checks every combination of up to six members.
        for members in 1..=6_u32 {
            for code in 0..5_usize.pow(members) {
                let letters = (0..members).map(|place| b"LVvlx"[code / 5_usize.pow(place) % 5] as char);
                let text: String = letters.collect();
                if text.matches('L').count() != 1 {
                    continue;
                }
                let before = seats(&text);
                let voters = elect(&before);
                assert!(voters.len() % 2 == 1 && voters.len() <= votes(before.len()), "{text}: {voters:?}");
                assert!(voters.iter().all(|voter| before[voter].votes || before[voter].is_fit), "{text}: {voters:?}");
                let mut after = before.clone();
                after.iter_mut().for_each(|(node, seat)| seat.votes = voters.contains(node));
                assert_eq!(elect(&after), voters, "{text}: the next evaluation chooses others");
                let was: BTreeSet<_> = before.iter().filter(|(_, seat)| seat.votes).map(|(node, _)| *node).collect();
                if can_agree(&was, &before) {
                    assert!(can_agree(&voters, &before), "{text}: {voters:?} cannot agree, {was:?} could");
                }
            }
        }
    }
}
