//! Checks that the cluster recovers completely after the last fault.

use crate::run::Run;

impl Run<'_> {
    /// Describes what has not recovered yet: every member that has its disk must run and have applied the last entry.
    pub(crate) fn not_recovered(&self) -> Option<String> {
        let seen = self.world.seen();
        let last = self.world.oracle(|oracle| oracle.last_applied());
        let Some((_, newest)) = seen.iter().max_by_key(|(_, seen)| seen.applied) else {
            return Some("no node runs".into());
        };
        for member in newest.members.iter().filter(|member| !self.nodes.lost.contains(member)) {
            match seen.get(member) {
                None => return Some(format!("node {member} does not run")),
                Some(found) if found.applied != last => {
                    return Some(format!("node {member} has applied entry {} of {last}", found.applied));
                }
                Some(found) => {
                    let now = self.world.now();
                    self.world.oracle(|oracle| oracle.found(*member, found.applied, found.digest, now));
                }
            }
        }
        None
    }

    /// Asks every activated member as a machine does.
    pub(crate) fn probe(&self) {
        let seen = self.world.seen();
        let members =
            seen.values().max_by_key(|seen| seen.applied).map(|seen| seen.members.clone()).unwrap_or_default();
        let activated = self.world.oracle(|oracle| oracle.activated().clone());
        let asked = members.intersection(&activated).filter(|node| !self.nodes.lost.contains(node)).copied();
        self.world.want_probe(asked.collect());
    }
}
