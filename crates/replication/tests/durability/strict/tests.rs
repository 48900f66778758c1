//! What survives a power cut, tested on the tree and with the calls of a program.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::Command,
};

use fuser::Errno;
use tempfile::TempDir;

use crate::{
    strict::{
        Mounted, StrictFileSystem,
        tree::{Inode, ROOT, Tree},
    },
    writer::tool,
};

fn name(text: &str) -> &OsStr {
    OsStr::new(text)
}

/// Creates a file with this content; nothing is synced.
fn file(tree: &mut Tree, folder: Inode, called: &str, content: &[u8]) -> Inode {
    let inode = tree.create_file(folder, name(called), 0o644).unwrap();
    tree.content_mut(inode).unwrap().write(0, content);
    inode
}

/// All files, as `PATH=CONTENT`, and all empty folders, as `PATH/`.
fn shown(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    show(tree, ROOT, "", &mut found);
    found
}

fn show(tree: &Tree, folder: Inode, path: &str, found: &mut Vec<String>) {
    for (name, status) in tree.list(folder).unwrap() {
        let path = format!("{path}{}", name.display());
        if status.len.is_some() {
            let content = tree.content(status.inode).unwrap();
            found.push(format!("{path}={}", String::from_utf8_lossy(content.read(0, usize::MAX))));
        } else if tree.list(status.inode).unwrap().is_empty() {
            found.push(format!("{path}/"));
        } else {
            show(tree, status.inode, &format!("{path}/"), found);
        }
    }
}

fn survivors(tree: &Tree) -> Vec<String> {
    shown(&tree.after_power_cut())
}

/// A tree with the synced file `a`, whose content is `old`.
fn with_a() -> (Tree, Inode) {
    let mut tree = Tree::empty();
    let a = file(&mut tree, ROOT, "a", b"old");
    tree.sync(a).unwrap();
    tree.sync(ROOT).unwrap();
    (tree, a)
}

#[test]
fn a_file_survives_when_both_its_content_and_its_name_are_synced() {
    let mut tree = Tree::empty();
    let a = file(&mut tree, ROOT, "a", b"1");
    assert!(survivors(&tree).is_empty(), "neither");
    tree.sync(a).unwrap();
    assert!(survivors(&tree).is_empty(), "the content alone");
    file(&mut tree, ROOT, "b", b"2");
    tree.sync(ROOT).unwrap();
    assert_eq!(survivors(&tree), ["a=1", "b="], "of b the name alone");
}

#[test]
fn names_in_a_folder_survive_only_where_every_folder_above_has_its_name_synced() {
    let mut tree = Tree::empty();
    let outer = tree.create_folder(ROOT, name("outer"), 0o755).unwrap();
    let inner = tree.create_folder(outer, name("inner"), 0o755).unwrap();
    let a = file(&mut tree, inner, "a", b"1");
    for inode in [a, inner] {
        tree.sync(inode).unwrap();
    }
    assert!(survivors(&tree).is_empty());
    tree.sync(ROOT).unwrap();
    assert_eq!(survivors(&tree), ["outer/"]);
    tree.sync(outer).unwrap();
    assert_eq!(survivors(&tree), ["outer/inner/a=1"]);
}

#[test]
fn a_removed_name_is_back_until_its_folder_is_synced() {
    let (mut tree, a) = with_a();
    tree.remove_file(ROOT, name("a")).unwrap();
    tree.content_mut(a).unwrap().write(0, b"new");
    tree.sync(a).unwrap();
    assert_eq!((shown(&tree), survivors(&tree)), (vec![], vec!["a=new".to_owned()]));
    tree.sync(ROOT).unwrap();
    assert!(survivors(&tree).is_empty());
}

#[test]
fn a_rename_over_a_file_is_undone_until_the_folder_is_synced() {
    let (mut tree, _) = with_a();
    let new = file(&mut tree, ROOT, "a.new", b"new");
    tree.rename(ROOT, name("a.new"), ROOT, name("a")).unwrap();
    assert_eq!((shown(&tree), survivors(&tree)), (vec!["a=new".to_owned()], vec!["a=old".to_owned()]));
    let mut unsynced = tree.after_power_cut();
    unsynced.sync(ROOT).unwrap();
    assert_eq!(survivors(&unsynced), ["a=old"]);

    tree.sync(ROOT).unwrap();
    assert_eq!(survivors(&tree), ["a="], "renamed before its content was synced");
    tree.sync(new).unwrap();
    assert_eq!(survivors(&tree), ["a=new"]);
}

#[test]
fn each_folder_syncs_its_own_side_of_a_move_between_folders() {
    let moved = |synced_first: bool| {
        let (mut tree, _) = with_a();
        let to = tree.create_folder(ROOT, name("to"), 0o755).unwrap();
        tree.sync(ROOT).unwrap();
        tree.rename(ROOT, name("a"), to, name("b")).unwrap();
        tree.sync(if synced_first { ROOT } else { to }).unwrap();
        survivors(&tree)
    };
    assert_eq!(moved(true), ["to/"]);
    assert_eq!(moved(false), ["a=old", "to/b=old"]);
}

#[test]
fn renames_that_would_lose_something_are_refused() {
    let (mut tree, _) = with_a();
    let [full, empty] = ["full", "empty"].map(|called| tree.create_folder(ROOT, name(called), 0o755).unwrap());
    file(&mut tree, full, "b", b"");
    let mut rename = |from, to, new| tree.rename(ROOT, name(from), to, name(new));
    assert_eq!(rename("missing", ROOT, "a"), Err(Errno::ENOENT));
    assert_eq!(rename("a", ROOT, "full"), Err(Errno::EISDIR));
    assert_eq!(rename("full", ROOT, "a"), Err(Errno::ENOTDIR));
    assert_eq!(rename("empty", ROOT, "full"), Err(Errno::ENOTEMPTY));
    assert_eq!(rename("full", empty, "full"), Err(Errno::EXDEV));
    assert_eq!(rename("a", ROOT, "a"), Ok(()));
    assert_eq!(rename("full", ROOT, "empty"), Ok(()));
    assert_eq!(tree.remove_folder(ROOT, name("empty")), Err(Errno::ENOTEMPTY));
    assert_eq!(tree.remove_file(ROOT, name("empty")), Err(Errno::EISDIR));
    assert_eq!(shown(&tree), ["a=old", "empty/b="]);
}

#[test]
fn data_that_survived_a_power_cut_survives_the_next_one() {
    let (tree, _) = with_a();
    let mut once = tree.after_power_cut();
    let a = once.look_up(ROOT, name("a")).unwrap();
    once.content_mut(a).unwrap().write(0, b"NEW");
    assert_eq!(survivors(&once), ["a=old"]);
    once.sync(a).unwrap();
    assert_eq!(survivors(&once), ["a=NEW"]);
}

/// A mounted file system, and where it is mounted.
struct World {
    files: StrictFileSystem,
    mounted: Mounted,
    _folder: TempDir,
}

impl World {
    fn new() -> Self {
        Self::of(StrictFileSystem::empty())
    }

    fn of(files: StrictFileSystem) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mounted = files.mount(&folder.path().join("mounted"));
        Self { files, mounted, _folder: folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.mounted.path().join(name)
    }

    fn sync_folder(&self) {
        File::open(self.mounted.path()).unwrap().sync_all().unwrap();
    }

    fn after_power_cut(self) -> Self {
        self.files.cut();
        Self::of(self.files.after_power_cut())
    }

    fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }
}

fn open(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap()
}

#[test]
fn soak_a_program_finds_what_it_synced_after_a_power_cut_and_nothing_else() {
    let world = World::new();
    for name in ["written", "synced", "closed"] {
        open(&world.path(name)).write_all(b"at first").unwrap();
    }
    let mut synced = open(&world.path("synced"));
    synced.set_len(3).unwrap();
    synced.sync_data().unwrap();
    synced.write_all(b"later on").unwrap();
    drop(synced);
    world.sync_folder();
    open(&world.path("closed")).sync_all().unwrap();
    open(&world.path("unnamed")).sync_all().unwrap();

    let world = world.after_power_cut();
    let found = ["written", "synced", "closed", "unnamed"].map(|name| world.read(name));
    assert_eq!(found.each_ref().map(Option::as_deref), [Some(""), Some("at "), Some("at first"), None]);
}

#[test]
fn soak_a_sync_covers_what_was_written_through_other_descriptors() {
    let world = World::new();
    let append = || OpenOptions::new().create(true).append(true).open(world.path("log")).unwrap();
    let (one, other) = (append(), append());
    for (number, mut file) in [&one, &other, &one, &other].into_iter().enumerate() {
        file.write_all(number.to_string().as_bytes()).unwrap();
    }
    open(&world.path("log")).sync_data().unwrap();
    world.sync_folder();
    (&one).write_all(b"not synced").unwrap();
    assert_eq!(world.read("log").unwrap(), "0123not synced");
    drop((one, other));
    assert_eq!(world.after_power_cut().read("log").unwrap(), "0123");
}

#[test]
fn soak_a_removed_file_that_is_open_can_be_used_and_is_gone_after_a_power_cut() {
    let world = World::new();
    let mut file = open(&world.path("removed"));
    file.write_all(b"still ").unwrap();
    fs::remove_file(world.path("removed")).unwrap();
    file.write_all(b"there").unwrap();
    file.sync_all().unwrap();
    assert_eq!(file.metadata().unwrap().len(), 11);
    let mut beginning = [0; 5];
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut beginning, 0).unwrap();
    assert_eq!((&beginning, world.read("removed")), (b"still", None));
    world.sync_folder();
    drop(file);
    assert_eq!(world.after_power_cut().read("removed"), None);
}

#[test]
fn soak_a_file_that_is_replaced_whole_is_the_old_one_or_the_new_one() {
    let world = World::new();
    let replace = |content: &str| {
        fs::write(world.path("file.new"), content).unwrap();
        open(&world.path("file.new")).sync_all().unwrap();
        fs::rename(world.path("file.new"), world.path("file")).unwrap();
    };
    replace("old");
    world.sync_folder();
    replace("new");
    assert_eq!(world.read("file").unwrap(), "new");
    assert_eq!(World::of(world.files.after_power_cut()).read("file").unwrap(), "old");
    world.sync_folder();
    assert_eq!(world.after_power_cut().read("file").unwrap(), "new");
}

#[test]
fn soak_folders_are_listed_copied_and_removed_with_what_is_in_them() {
    let world = World::new();
    let folder = world.path("folder");
    fs::create_dir_all(folder.join("inner")).unwrap();
    let names: Vec<_> = (0..700).map(|number| format!("a rather long name of a file, {number:03}")).collect();
    for name in &names {
        fs::write(folder.join("inner").join(name), name).unwrap();
    }
    let listed = fs::read_dir(folder.join("inner")).unwrap();
    let listed: Vec<_> = listed.map(|item| item.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(listed, names);
    fs::write(world.path("large"), vec![7; 3 << 20]).unwrap();
    fs::copy(world.path("large"), world.path("copy")).unwrap();
    assert!(fs::read(world.path("copy")).unwrap() == vec![7; 3 << 20]);
    fs::remove_dir_all(&folder).unwrap();
    assert!(!folder.exists());
}

#[test]
fn soak_the_file_system_has_locks_and_free_space() {
    let world = World::new();
    let (holder, other) = (open(&world.path("lock")), open(&world.path("lock")));
    holder.try_lock().unwrap();
    assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
    drop(holder);
    other.try_lock().unwrap();
    let free = tool("stat", Command::new("stat").args(["-f", "-c", "%a"]).arg(world.mounted.path())).stdout;
    assert!(String::from_utf8(free).unwrap().trim().parse::<u64>().unwrap() > 1 << 20);
}

#[test]
fn soak_after_the_cut_every_call_is_refused() {
    let world = World::new();
    let mut file = open(&world.path("file"));
    file.write_all(b"1").unwrap();
    file.sync_all().unwrap();
    world.files.cut();
    let refused: [(&str, io::Result<()>); 8] = [
        ("read", file.read(&mut [0]).map(drop)),
        ("write", file.write(b"2").map(drop)),
        ("sync", file.sync_data()),
        ("set_len", file.set_len(0)),
        ("open", File::open(world.path("file")).map(drop)),
        ("create", File::create(world.path("other")).map(drop)),
        ("rename", fs::rename(world.path("file"), world.path("other"))),
        ("list", fs::read_dir(world.mounted.path()).map(drop)),
    ];
    for (call, result) in refused {
        let errno = result.expect_err(call).raw_os_error();
        assert_eq!(errno, Some(Errno::EIO.code()), "{call}");
    }
    assert!(world.files.wait_for_refusal());
}

#[test]
fn soak_the_power_is_cut_after_as_many_syncs_as_were_asked_for() {
    let world = World::new();
    world.files.cut_after_syncs(2);
    let mut file = open(&world.path("file"));
    file.write_all(b"1").unwrap();
    file.sync_all().unwrap();
    world.sync_folder();
    assert!(file.write_all(b"2").is_err());
    drop(file);
    assert_eq!(world.files.syncs(), 2);
    assert_eq!(world.after_power_cut().read("file").unwrap(), "1");
}
