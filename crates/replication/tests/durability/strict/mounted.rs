//! The file system at a mount point, through FUSE: system calls become calls of the tree.
//!
//! The kernel does not cache files (direct I/O), so `read` and `write` become calls at once, and `sync_file_range`
//! has nothing to do: it makes nothing durable here. Locks (`flock`, `fcntl`) are the kernel's, local to the mount.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use crate::strict::{StrictFileSystem, tree::Status};

/// Lifetime of the kernel's caches: none, because after a power cut every call must be refused.
const NEVER: Duration = Duration::ZERO;

const BLOCK_BYTES: u32 = 4096;

/// Far more blocks than any test writes.
const BLOCKS: u64 = 1 << 24;

/// The mounted file system. It is unmounted when dropped.
pub(crate) struct Mounted {
    session: Option<BackgroundSession>,
    at: PathBuf,
}

impl StrictFileSystem {
    /// Mounts the file system on the folder `at`, which is created.
    pub(crate) fn mount(&self, at: &Path) -> Mounted {
        Mounted::new(self.clone(), at)
    }
}

impl Mounted {
    fn new(files: StrictFileSystem, at: &Path) -> Self {
        fs::create_dir_all(at).unwrap();
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("strict".to_owned())];
        let session = fuser::spawn_mount(files, at, &config).unwrap_or_else(|error| {
            panic!("this test needs /dev/fuse (`modprobe fuse`) and root, or fusermount3: {error}")
        });
        Self { session: Some(session), at: at.to_owned() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.at
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = self.session.take().map(BackgroundSession::umount_and_join);
        if !matches!(unmounted, Some(Ok(()))) {
            let _lazily = Command::new("umount").arg("-l").arg(&self.at).status();
        }
    }
}

impl Status {
    fn attributes(self) -> FileAttr {
        let size = self.len.unwrap_or(0);
        FileAttr {
            ino: INodeNo(self.inode),
            size,
            blocks: size.div_ceil(512),
            atime: SystemTime::UNIX_EPOCH,
            mtime: SystemTime::UNIX_EPOCH,
            ctime: SystemTime::UNIX_EPOCH,
            crtime: SystemTime::UNIX_EPOCH,
            kind: self.file_type(),
            perm: self.mode,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: BLOCK_BYTES,
            flags: 0,
        }
    }

    fn file_type(self) -> FileType {
        if self.len.is_some() { FileType::RegularFile } else { FileType::Directory }
    }
}

/// The permission bits of a mode.
fn permissions(mode: u32) -> u16 {
    u16::try_from(mode & 0o7777).unwrap()
}

fn position(offset: u64) -> Result<usize, Errno> {
    usize::try_from(offset).map_err(|_| Errno::EFBIG)
}

fn entry(reply: ReplyEntry, found: Result<Status, Errno>) {
    match found {
        Ok(status) => reply.entry(&NEVER, &status.attributes(), Generation(0)),
        Err(errno) => reply.error(errno),
    }
}

fn attributes(reply: ReplyAttr, found: Result<Status, Errno>) {
    match found {
        Ok(status) => reply.attr(&NEVER, &status.attributes()),
        Err(errno) => reply.error(errno),
    }
}

fn empty(reply: ReplyEmpty, done: Result<(), Errno>) {
    match done {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(errno),
    }
}

impl Filesystem for StrictFileSystem {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        entry(reply, self.call(|state| state.tree.status(state.tree.look_up(parent.0, name)?)));
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        attributes(reply, self.call(|state| state.tree.status(inode.0)));
    }

    fn setattr(
        &self,
        _: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let set = self.call(|state| {
            if let Some(mode) = mode {
                state.tree.set_mode(inode.0, permissions(mode))?;
            }
            if let Some(size) = size {
                state.tree.content_mut(inode.0)?.set_len(position(size)?);
            }
            state.tree.status(inode.0)
        });
        attributes(reply, set);
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        let made = self.call(|state| {
            let inode = state.tree.create_folder(parent.0, name, permissions(mode & !umask))?;
            state.tree.status(inode)
        });
        entry(reply, made);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(reply, self.call(|state| state.tree.remove_file(parent.0, name)));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(reply, self.call(|state| state.tree.remove_folder(parent.0, name)));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let renamed = self.call(|state| {
            if flags.is_empty() {
                state.tree.rename(parent.0, name, new_parent.0, new_name)
            } else {
                Err(Errno::EINVAL)
            }
        });
        empty(reply, renamed);
    }

    fn create(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, _: i32, reply: ReplyCreate) {
        let created = self.call(|state| {
            let inode = state.tree.create_file(parent.0, name, permissions(mode & !umask))?;
            state.tree.status(inode)
        });
        match created {
            Ok(status) => {
                let flags = FopenFlags::FOPEN_DIRECT_IO;
                reply.created(&NEVER, &status.attributes(), Generation(0), FileHandle(0), flags);
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn open(&self, _: &Request, inode: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.call(|state| state.tree.content(inode.0).map(drop)) {
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO),
            Err(errno) => reply.error(errno),
        }
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let read = self.call(|state| {
            let content = state.tree.content(inode.0)?;
            Ok(content.read(position(offset)?, position(size.into())?).to_vec())
        });
        match read {
            Ok(bytes) => reply.data(&bytes),
            Err(errno) => reply.error(errno),
        }
    }

    /// With `O_APPEND` the kernel passes the end of the file as `offset`, if no other write is in progress.
    fn write(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let written = self.call(|state| {
            state.tree.content_mut(inode.0)?.write(position(offset)?, data);
            Ok(u32::try_from(data.len()).unwrap())
        });
        match written {
            Ok(bytes) => reply.written(bytes),
            Err(errno) => reply.error(errno),
        }
    }

    /// Closing a file makes nothing durable.
    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        empty(reply, self.call(|_| Ok(())));
    }

    fn fsync(&self, _: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let files = self.clone();
        // On a thread of its own, so that a sync that hangs does not block other calls.
        std::thread::spawn(move || {
            files.wait_while_it_hangs();
            empty(reply, files.sync(inode.0));
        });
    }

    fn fsyncdir(&self, _: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        empty(reply, self.sync(inode.0));
    }

    fn opendir(&self, _: &Request, inode: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.open_listing(inode.0) {
            Ok(listing) => reply.opened(FileHandle(listing), FopenFlags::empty()),
            Err(errno) => reply.error(errno),
        }
    }

    fn readdir(&self, _: &Request, _: INodeNo, listing: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let filled = self.call(|state| {
            let listing = state.listings.get(&listing.0).ok_or(Errno::EBADF)?;
            for (next, (name, status)) in (1..).zip(listing).skip(position(offset)?) {
                if reply.add(INodeNo(status.inode), next, status.file_type(), name) {
                    break;
                }
            }
            Ok(())
        });
        match filled {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }

    fn releasedir(&self, _: &Request, _: INodeNo, listing: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        let released = self.call(|state| {
            state.listings.remove(&listing.0);
            Ok(())
        });
        empty(reply, released);
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        match self.call(|_| Ok(())) {
            Ok(()) => reply.statfs(BLOCKS, BLOCKS, BLOCKS, BLOCKS, BLOCKS, BLOCK_BYTES, 255, BLOCK_BYTES),
            Err(errno) => reply.error(errno),
        }
    }
}
