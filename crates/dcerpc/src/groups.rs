//! Association groups of one node (C706 section 12.6.4.3).
//!
//! Connections of one client may share a group by sending its number in their bind. A group exists as long as an
//! association holds it. Numbers come from a counter and are never 0, which on the wire means "a new group".

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limits::ASSOCIATION_GROUPS_MAX;

/// The groups of all connections of a node; clones share one table.
#[derive(Clone, Debug, Default)]
pub struct AssociationGroups {
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    last_id: u32,
    members: BTreeMap<u32, u32>,
}

/// Why an association cannot join a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoGroup {
    Unknown,
    TableFull,
}

impl AssociationGroups {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Joins group `id`, or creates a group where `id` is 0.
    pub(crate) fn join(&self, id: u32) -> Result<Membership, NoGroup> {
        let mut table = self.lock();
        let id = if id == 0 { table.open()? } else { id };
        let members = table.members.get_mut(&id).ok_or(NoGroup::Unknown)?;
        *members += 1;
        Ok(Membership { groups: self.clone(), id })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Every change to the table is complete before the lock is released, also where a panic releases it.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn open(&mut self) -> Result<u32, NoGroup> {
        if self.members.len() >= ASSOCIATION_GROUPS_MAX {
            return Err(NoGroup::TableFull);
        }
        // The loop ends, because there are fewer groups than numbers.
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            if self.last_id != 0 && !self.members.contains_key(&self.last_id) {
                self.members.insert(self.last_id, 0);
                return Ok(self.last_id);
            }
        }
    }
}

/// One association's membership in its group, which ends on drop.
#[derive(Debug)]
pub(crate) struct Membership {
    groups: AssociationGroups,
    id: u32,
}

impl Membership {
    pub(crate) fn id(&self) -> u32 {
        self.id
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut table = self.groups.lock();
        if let Some(members) = table.members.get_mut(&self.id) {
            *members -= 1;
            if *members == 0 {
                table.members.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_lives_while_an_association_holds_it() {
        let groups = AssociationGroups::new();
        let founder = groups.join(0).unwrap();
        let id = founder.id();
        let second = groups.clone().join(id).unwrap();
        drop(founder);
        assert_eq!(groups.join(id).unwrap().id(), id);
        drop(second);
        assert_eq!(groups.join(id).unwrap_err(), NoGroup::Unknown);
    }

    #[test]
    fn numbers_wrap_around_zero_and_around_groups_in_use() {
        let groups = AssociationGroups::new();
        let first = groups.join(0).unwrap();
        groups.lock().last_id = u32::MAX - 1;
        let highest = groups.join(0).unwrap();
        let next = groups.join(0).unwrap();
        assert_eq!((first.id(), highest.id(), next.id()), (1, u32::MAX, 2));
    }

    #[test]
    fn a_full_table_refuses_new_groups_and_still_lets_others_join() {
        let groups = AssociationGroups::new();
        let held: Vec<_> = (0..ASSOCIATION_GROUPS_MAX).map(|_| groups.join(0).unwrap()).collect();
        assert_eq!(groups.join(0).unwrap_err(), NoGroup::TableFull);
        assert!(groups.join(held[0].id()).is_ok());
    }
}
