//! Tests on small crates given as texts: which arrows and which cycles they have.

use std::collections::BTreeMap;

use super::cycles::Arrows;
use super::source::Crate;
use super::*;

/// A crate of files below `src/`, given as (name, text); the first is its root.
struct Sources(Vec<(String, String)>);

fn sources(files: &[(&str, &str)]) -> Sources {
    Sources(files.iter().map(|(name, text)| (format!("src/{name}"), (*text).to_owned())).collect())
}

impl Sources {
    fn text(&self, path: &str) -> Option<String> {
        self.0.iter().find(|(name, _)| name == path).map(|(_, text)| text.clone())
    }

    fn found(&self) -> Modules {
        let root = self.0[0].0.clone();
        check_crate("", &BTreeSet::from([root]), &|path| self.text(path))
    }

    /// The files of each cycle, without folder and file extension.
    fn cycles(&self) -> Vec<Vec<String>> {
        let read = Crate::read(&self.0[0].0, &|path| self.text(path));
        assert_eq!(read.problems, []);
        let short = |file: String| file.trim_start_matches("src/").trim_end_matches(".rs").to_owned();
        Arrows::of(&read).cycles().into_iter().map(|cycle| cycle.files.into_iter().map(short).collect()).collect()
    }
}

/// The cycles of a crate with two sibling modules, `a` and `b`, which the root declares.
fn pair(a: &str, b: &str) -> Vec<Vec<String>> {
    sources(&[("lib.rs", "mod a; mod b;"), ("a.rs", a), ("b.rs", b)]).cycles()
}

const USES_A: &str = "use crate::a::A; pub struct B(A); pub fn make() {}";

#[test]
fn arrows_in_one_direction_are_no_cycle() {
    assert_eq!(pair("pub struct A;", USES_A), Vec::<Vec<String>>::new());
}

#[test]
fn each_way_to_name_an_item_of_another_file_is_an_arrow() {
    let ways = [
        "use crate::b::B;",
        "use super::b::{self, B as Other};",
        "fn f() -> crate::b::B { crate::b::make() }",
        "use crate::b; fn f() { b::make() }",
        "use crate::b::*; fn f() { make() }",
        "fn f() { use super::b::make; make() }",
        "impl crate::b::Trait for u8 {}",
        "fn f<T: crate::b::Trait>(x: Vec<crate::b::B>) {}",
        "const X: u8 = crate::b::X;",
        "fn f(x: u8) { match x { crate::b::X => {} _ => {} } }",
        "fn f() { println!(\"{}\", crate::b::make()) }",
        "use crate::b; fn f() { assert!(b::B::is_well()) }",
        "macro_rules! m { () => { $crate::b::make() } }",
        "#[serde(with = \"crate::b\", default = \"crate::b::make\")] pub struct S;",
        "#[derive(crate::b::Derive)] struct S;",
        "mod inner { use super::super::b::B; }",
        "mod inner { pub use crate::b::B; }",
        "pub(crate) use crate::b::B;",
    ];
    for way in ways {
        assert_eq!(pair(&format!("{way}\npub struct A;"), USES_A), [["a", "b"]], "{way}");
    }
}

#[test]
fn what_is_no_arrow() {
    let ways = [
        "",
        "use crate::b;",
        "#[cfg(test)] use crate::b::B;",
        "#[cfg(test)] mod tests { use crate::b::B; }",
        "#[cfg(all(test, unix))] fn f() { crate::b::make() }",
        "/// Like [`crate::b::B`].\nfn f() {}",
        "use ::b::B;",
        "use b::B;",
        "fn f(b: u8) -> u8 { b + x.b }",
        "pub(in crate::b) fn f() {}",
        "fn f() { println!(\"crate::b::make\") }",
    ];
    for way in ways {
        assert_eq!(pair(&format!("{way}\npub struct A;"), USES_A), Vec::<Vec<String>>::new(), "{way}");
    }
    assert_eq!(pair("#[cfg(any(test, unix))] use crate::b::B; pub struct A;", USES_A), [["a", "b"]]);
}

#[test]
fn a_child_that_uses_its_parent_is_a_cycle_only_where_the_parent_uses_the_child() {
    let child = ("a.rs", "use super::Root; pub struct A(Root);");
    let table = [
        ("pub struct Root; mod a;", false),
        ("pub struct Root; pub mod a; pub use a::A;", false),
        ("pub struct Root; mod a; pub use a::*;", false),
        ("pub struct Root; mod a; use a::A;", true),
        ("pub struct Root; mod a; fn f() -> a::A {}", true),
        ("pub struct Root; mod a; pub use a::A; fn f() -> A {}", true),
        ("pub struct Root; mod a; pub use a::*; fn f() -> A {}", true),
    ];
    for (root, cyclic) in table {
        let expected: &[[&str; 2]] = if cyclic { &[["a", "lib"]] } else { &[] };
        assert_eq!(sources(&[("lib.rs", root), child]).cycles(), expected, "{root}");
    }
}

#[test]
fn importing_through_a_re_export_points_at_the_definition() {
    let root = "mod a; mod b; mod c; pub use c::C; fn f(c: C) {}";
    let c = ("c/mod.rs", "mod deep; pub use self::deep::C;");
    let files = [("lib.rs", root), ("a.rs", "use crate::C;"), ("b.rs", ""), c, ("c/deep.rs", "pub struct C;")];
    assert_eq!(sources(&files).cycles(), Vec::<Vec<String>>::new());
    // The two modules depend on each other through the root.
    let deep = ("c/deep.rs", "use crate::a::A; pub struct C;");
    let files = [("lib.rs", root), ("a.rs", "use crate::c::C; pub struct A;"), ("b.rs", ""), c, deep];
    assert_eq!(sources(&files).cycles(), [["a", "c/deep"]]);
}

#[test]
fn what_comes_from_another_crate_through_a_module_is_that_modules() {
    let types = "use crate::a::A; pub use openraft::Vote;";
    assert_eq!(pair("use crate::b::Vote; pub struct A;", types), [["a", "b"]]);
    // An import that only the file itself uses is no arrow, and an import of its own name does not recurse without
    // end.
    assert_eq!(pair("use std::fmt; fn f() -> fmt::Result {} pub struct A;", USES_A), Vec::<Vec<String>>::new());
    let files = [("lib.rs", "mod a; pub use a::a;"), ("a.rs", "pub fn a() { crate::a() }")];
    assert_eq!(sources(&files).cycles(), Vec::<Vec<String>>::new());
}

#[test]
fn what_a_macro_defines_belongs_to_the_module_it_is_looked_for_in() {
    let generated = "include!(\"generated.rs\"); use crate::a::A;";
    assert_eq!(pair("fn f(x: crate::b::Made) {} pub struct A;", generated), [["a", "b"]]);
}

#[test]
fn files_are_found_where_the_compiler_looks() {
    let root = "mod a; mod b { pub mod c; } #[path = \"other/d.rs\"] mod d; use a::deep::X; use b::c::C; use d::e::E;";
    let files = [
        ("lib.rs", root),
        ("a.rs", "pub mod deep;"),
        ("a/deep.rs", "use crate::root; pub struct X;"),
        ("b/c.rs", "use crate::root; pub struct C;"),
        ("other/d.rs", "pub mod e;"),
        ("other/e.rs", "use crate::root; pub struct E;"),
    ];
    assert_eq!(sources(&files).cycles(), [["a/deep", "b/c", "lib", "other/e"]]);
}

#[test]
fn a_finding_names_the_files_and_the_items_with_their_lines() {
    let a = "use crate::b::B;\nfn f() {\n    crate::b::make();\n    crate::b::make()\n}\npub struct A;";
    let found = sources(&[("lib.rs", "mod a; mod b;"), ("a.rs", a), ("b.rs", USES_A)]).found();
    assert_eq!(found.cycles, 1);
    let expected = "2 files form a module cycle: src/a.rs, src/b.rs\n      \
        src/a.rs -> src/b.rs: B (line 1), make (line 3)\n      \
        src/b.rs -> src/a.rs: A (line 1)";
    assert_eq!(found.findings.iter().map(|finding| finding.what.as_str()).collect::<Vec<_>>(), [expected]);
}

#[test]
fn what_cannot_be_read_is_found() {
    let found = sources(&[("lib.rs", "mod gone; mod broken;"), ("broken.rs", "\nfn (")]).found();
    let places: BTreeMap<_, _> = found.findings.iter().map(|one| (one.place.as_str(), one.what.as_str())).collect();
    assert!(places["src/gone.rs"].contains("cannot be read"));
    assert!(places["src/broken.rs:2"].contains("is not understood"));
}
