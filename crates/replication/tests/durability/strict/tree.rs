//! Files and folders, as programs see them and as they are after a power cut.
//!
//! The rule, stricter than any real file system: a file has the content of its last `fsync` or `fdatasync`, and a
//! folder has the names of its own last `fsync`. Therefore the creation, renaming or removal of a name is undone if
//! its folder was not synced; a file is empty if its name was synced but not its content; and a file that was moved
//! from a synced folder to one that was not synced is lost. Modes are not data: they survive.

use std::{collections::BTreeMap, ffi::OsStr};

use fuser::Errno;

use crate::strict::content::Content;

/// The number of a file or folder. It is never reused, because a tree lives only as long as one test.
pub(crate) type Inode = u64;

pub(crate) const ROOT: Inode = 1;

type Names = BTreeMap<Box<OsStr>, Inode>;

#[derive(Debug)]
enum Kind {
    File(Content),
    Folder { now: Names, synced: Names },
}

#[derive(Debug)]
struct Node {
    mode: u16,
    kind: Kind,
}

/// The result of `stat`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Status {
    pub(crate) inode: Inode,
    pub(crate) mode: u16,
    /// The length in bytes; `None` for a folder.
    pub(crate) len: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Tree {
    /// The node of inode N is at index N - 1.
    nodes: Vec<Node>,
}

impl Tree {
    /// A tree that contains only its root.
    pub(crate) fn empty() -> Self {
        Self { nodes: vec![Node { mode: 0o755, kind: folder() }] }
    }

    /// The tree that remains after a power cut: only what is durable.
    pub(crate) fn after_power_cut(&self) -> Self {
        let mut after = Self { nodes: Vec::new() };
        self.copy_synced(ROOT, &mut after);
        after
    }

    /// The recursion ends because a folder is never moved into another one.
    fn copy_synced(&self, inode: Inode, after: &mut Self) -> Inode {
        let node = &self.nodes[index(inode)];
        let copy = after.add(node.mode, folder());
        let kind = match &node.kind {
            Kind::File(content) => Kind::File(Content::durable(content.synced().to_vec())),
            Kind::Folder { synced, .. } => {
                let names = synced.iter().map(|(name, inode)| (name.clone(), self.copy_synced(*inode, after)));
                let now: Names = names.collect();
                Kind::Folder { synced: now.clone(), now }
            }
        };
        after.nodes[index(copy)].kind = kind;
        copy
    }

    pub(crate) fn look_up(&self, folder: Inode, name: &OsStr) -> Result<Inode, Errno> {
        self.names(folder)?.get(name).copied().ok_or(Errno::ENOENT)
    }

    pub(crate) fn status(&self, inode: Inode) -> Result<Status, Errno> {
        let Node { mode, kind } = self.node(inode)?;
        let len = match kind {
            Kind::File(content) => Some(content.len() as u64),
            Kind::Folder { .. } => None,
        };
        Ok(Status { inode, mode: *mode, len })
    }

    pub(crate) fn set_mode(&mut self, inode: Inode, mode: u16) -> Result<(), Errno> {
        self.node_mut(inode)?.mode = mode;
        Ok(())
    }

    /// The names in a folder, in their order.
    pub(crate) fn list(&self, folder: Inode) -> Result<Vec<(Box<OsStr>, Status)>, Errno> {
        self.names(folder)?.iter().map(|(name, inode)| Ok((name.clone(), self.status(*inode)?))).collect()
    }

    pub(crate) fn create_file(&mut self, folder: Inode, name: &OsStr, mode: u16) -> Result<Inode, Errno> {
        self.create(folder, name, mode, Kind::File(Content::default()))
    }

    pub(crate) fn create_folder(&mut self, parent: Inode, name: &OsStr, mode: u16) -> Result<Inode, Errno> {
        self.create(parent, name, mode, folder())
    }

    /// Removes the name of a file. Programs that have the file open can continue to use it.
    pub(crate) fn remove_file(&mut self, folder: Inode, name: &OsStr) -> Result<(), Errno> {
        if self.is_folder(self.look_up(folder, name)?)? {
            return Err(Errno::EISDIR);
        }
        self.names_mut(folder)?.remove(name);
        Ok(())
    }

    pub(crate) fn remove_folder(&mut self, parent: Inode, name: &OsStr) -> Result<(), Errno> {
        if !self.names(self.look_up(parent, name)?)?.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        self.names_mut(parent)?.remove(name);
        Ok(())
    }

    /// Renames a file, or a folder within its parent. A file that had the new name loses it.
    pub(crate) fn rename(&mut self, from: Inode, name: &OsStr, to: Inode, new_name: &OsStr) -> Result<(), Errno> {
        let inode = self.look_up(from, name)?;
        let is_folder = self.is_folder(inode)?;
        if is_folder && from != to {
            return Err(Errno::EXDEV);
        }
        match self.look_up(to, new_name) {
            Ok(replaced) if replaced == inode => return Ok(()),
            Ok(replaced) => match (is_folder, self.is_folder(replaced)?) {
                (true, true) if self.names(replaced)?.is_empty() => {}
                (true, true) => return Err(Errno::ENOTEMPTY),
                (true, false) => return Err(Errno::ENOTDIR),
                (false, true) => return Err(Errno::EISDIR),
                (false, false) => {}
            },
            Err(_) => {}
        }
        self.names_mut(to)?.insert(new_name.into(), inode);
        self.names_mut(from)?.remove(name);
        Ok(())
    }

    pub(crate) fn content(&self, file: Inode) -> Result<&Content, Errno> {
        match &self.node(file)?.kind {
            Kind::File(content) => Ok(content),
            Kind::Folder { .. } => Err(Errno::EISDIR),
        }
    }

    pub(crate) fn content_mut(&mut self, file: Inode) -> Result<&mut Content, Errno> {
        match &mut self.node_mut(file)?.kind {
            Kind::File(content) => Ok(content),
            Kind::Folder { .. } => Err(Errno::EISDIR),
        }
    }

    /// Makes durable the content of a file, or the names in a folder.
    pub(crate) fn sync(&mut self, inode: Inode) -> Result<(), Errno> {
        match &mut self.node_mut(inode)?.kind {
            Kind::File(content) => content.sync(),
            Kind::Folder { now, synced } => synced.clone_from(now),
        }
        Ok(())
    }

    /// Fails a sync of a file that was written; returns `false` if nothing was written, or for a folder.
    pub(crate) fn fail_sync(&mut self, inode: Inode) -> Result<bool, Errno> {
        match &mut self.node_mut(inode)?.kind {
            Kind::File(content) => Ok(content.fail_sync()),
            Kind::Folder { .. } => Ok(false),
        }
    }

    fn create(&mut self, folder: Inode, name: &OsStr, mode: u16, kind: Kind) -> Result<Inode, Errno> {
        if self.look_up(folder, name).is_ok() {
            return Err(Errno::EEXIST);
        }
        self.names(folder)?;
        let inode = self.add(mode, kind);
        self.names_mut(folder)?.insert(name.into(), inode);
        Ok(inode)
    }

    fn add(&mut self, mode: u16, kind: Kind) -> Inode {
        self.nodes.push(Node { mode, kind });
        self.nodes.len() as Inode
    }

    fn node(&self, inode: Inode) -> Result<&Node, Errno> {
        self.nodes.get(index(inode)).ok_or(Errno::ENOENT)
    }

    fn node_mut(&mut self, inode: Inode) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(index(inode)).ok_or(Errno::ENOENT)
    }

    fn is_folder(&self, inode: Inode) -> Result<bool, Errno> {
        Ok(matches!(self.node(inode)?.kind, Kind::Folder { .. }))
    }

    fn names(&self, folder: Inode) -> Result<&Names, Errno> {
        match &self.node(folder)?.kind {
            Kind::Folder { now, .. } => Ok(now),
            Kind::File(_) => Err(Errno::ENOTDIR),
        }
    }

    fn names_mut(&mut self, folder: Inode) -> Result<&mut Names, Errno> {
        match &mut self.node_mut(folder)?.kind {
            Kind::Folder { now, .. } => Ok(now),
            Kind::File(_) => Err(Errno::ENOTDIR),
        }
    }
}

fn folder() -> Kind {
    Kind::Folder { now: Names::new(), synced: Names::new() }
}

fn index(inode: Inode) -> usize {
    usize::try_from(inode).unwrap() - 1
}
