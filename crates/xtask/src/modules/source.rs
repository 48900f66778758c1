//! The modules of one crate, read from its source files: which names each module defines, imports and mentions.
//!
//! Code that is compiled only for tests (`#[cfg(test)]`) is left out.

use std::collections::BTreeMap;

use proc_macro2::{Ident, TokenStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Item, Meta, Token, UseTree, Visibility};

use super::tokens;

/// An index into [`Crate::modules`].
pub(crate) type ModuleId = usize;

/// The module that is the crate's root file.
pub(crate) const ROOT: ModuleId = 0;

/// Returns the text of a file by its path relative to the repository; `None` where there is no such file.
pub(crate) type ReadFile<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The segments of a path in code. The first is `::` where the code names another crate explicitly.
pub(crate) type CodePath = Vec<String>;

#[derive(Debug, Default)]
pub(crate) struct Crate {
    pub(crate) modules: Vec<Module>,
    /// Files that could not be read, with the reason.
    pub(crate) problems: Vec<(String, String)>,
}

#[derive(Debug)]
pub(crate) struct Module {
    /// The file that holds the module, relative to the repository. An inline module has the file of its parent.
    pub(crate) file: String,
    pub(crate) parent: Option<ModuleId>,
    /// The folder in which `mod x;` looks for `x.rs`.
    folder: String,
    /// What each name stands for. A list, because one name may be a function and a module at once.
    pub(crate) bindings: BTreeMap<String, Vec<Binding>>,
    /// The paths before `::*` in imports.
    pub(crate) globs: Vec<CodePath>,
    pub(crate) mentions: Vec<Mention>,
}

/// What a name stands for in a module.
#[derive(Debug)]
pub(crate) enum Binding {
    Defined,
    Child(ModuleId),
    Import(CodePath),
}

/// A use of a path in the code of a module.
#[derive(Debug)]
pub(crate) struct Mention {
    pub(crate) path: CodePath,
    /// Line number, counted from one.
    pub(crate) line: usize,
    /// Whether the mention is a `pub use`, also one with restricted visibility.
    pub(crate) re_export: bool,
}

impl Crate {
    /// Reads the crate whose root is the file `root` (`crates/host/src/lib.rs`), and all files of its module tree.
    pub(crate) fn read(root: &str, read: ReadFile<'_>) -> Self {
        let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut reader = Reader { read, found: Self::default(), current: ROOT, blocks: 0 };
        let id = reader.add(root.to_owned(), None, folder.to_owned());
        reader.read_file(id);
        reader.found
    }
}

struct Reader<'a> {
    read: ReadFile<'a>,
    found: Crate,
    current: ModuleId,
    /// Nesting depth of function bodies: what a body defines is no item of the module.
    blocks: usize,
}

impl Reader<'_> {
    fn add(&mut self, file: String, parent: Option<ModuleId>, folder: String) -> ModuleId {
        self.found.modules.push(Module {
            file,
            parent,
            folder,
            bindings: BTreeMap::new(),
            globs: Vec::new(),
            mentions: Vec::new(),
        });
        self.found.modules.len() - 1
    }

    fn module(&mut self, id: ModuleId) -> &mut Module {
        self.found.modules.get_mut(id).expect("ids are made by `add` only, and no module is taken out")
    }

    fn bind(&mut self, name: &Ident, binding: Binding) {
        let current = self.current;
        self.module(current).bindings.entry(name.to_string()).or_default().push(binding);
    }

    fn mention(&mut self, path: CodePath, line: usize, re_export: bool) {
        let current = self.current;
        self.module(current).mentions.push(Mention { path, line, re_export });
    }

    /// Reads the file of a module that `add` created.
    fn read_file(&mut self, id: ModuleId) {
        let file = self.module(id).file.clone();
        let Some(text) = (self.read)(&file) else {
            self.found.problems.push((file, "is declared as a module, but cannot be read".to_owned()));
            return;
        };
        match syn::parse_file(&text) {
            Ok(syntax) => self.within(id, |reader| reader.visit_file(&syntax)),
            Err(error) => {
                let line = error.span().start().line;
                self.found.problems.push((format!("{file}:{line}"), format!("is not understood: {error}")));
            }
        }
    }

    fn within(&mut self, id: ModuleId, visit: impl FnOnce(&mut Self)) {
        let outer = (self.current, self.blocks);
        (self.current, self.blocks) = (id, 0);
        visit(self);
        (self.current, self.blocks) = outer;
    }

    /// The file of `mod name;`, and the folder of that module's own children.
    fn file_of(&mut self, name: &str, attributes: &[Attribute]) -> (String, String) {
        let current = self.current;
        let folder = self.module(current).folder.clone();
        if let Some(path) = path_attribute(attributes) {
            // The path is relative to the folder of the current file, and the named file counts as a `mod.rs`.
            let file = self.module(current).file.clone();
            let beside = file.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
            let file = joined(&beside, &path);
            let below = file.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
            return (file, below);
        }
        let own_folder = joined(&folder, name);
        let nested = joined(&own_folder, "mod.rs");
        let file = if (self.read)(&nested).is_some() { nested } else { format!("{own_folder}.rs") };
        (file, own_folder)
    }

    fn import(&mut self, tree: &UseTree, before: &[String], re_export: bool) {
        let extended = |name: &Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.import(&path.tree, &extended(&path.ident), re_export),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, before, re_export);
                }
            }
            // `use a::{self}` imports `a`.
            UseTree::Name(name) if name.ident == "self" && !before.is_empty() => {
                self.import_as(before.to_vec(), None, name.ident.span().start().line, re_export);
            }
            UseTree::Name(name) => {
                self.import_as(extended(&name.ident), Some(&name.ident), name.ident.span().start().line, re_export);
            }
            UseTree::Rename(rename) => {
                let path = if rename.ident == "self" { before.to_vec() } else { extended(&rename.ident) };
                self.import_as(path, Some(&rename.rename), rename.ident.span().start().line, re_export);
            }
            UseTree::Glob(glob) => {
                let current = self.current;
                self.module(current).globs.push(before.to_vec());
                self.mention(before.to_vec(), glob.span().start().line, re_export);
            }
        }
    }

    fn import_as(&mut self, path: CodePath, name: Option<&Ident>, line: usize, re_export: bool) {
        let name = name.map(Ident::to_string).or_else(|| path.last().cloned());
        let current = self.current;
        if let Some(name) = name.filter(|name| name != "_") {
            self.module(current).bindings.entry(name).or_default().push(Binding::Import(path.clone()));
        }
        self.mention(path, line, re_export);
    }

    fn mention_tokens(&mut self, stream: TokenStream, with_texts: bool) {
        for (path, line) in tokens::paths(stream, with_texts) {
            self.mention(path, line, false);
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_file(&mut self, file: &'ast syn::File) {
        if !only_for_tests(&file.attrs) {
            visit::visit_file(self, file);
        }
    }

    fn visit_item(&mut self, item: &'ast Item) {
        let (attributes, name) = head(item);
        if only_for_tests(attributes) {
            return;
        }
        if let Some(name) = name.filter(|_| self.blocks == 0) {
            self.bind(name, Binding::Defined);
        }
        visit::visit_item(self, item);
    }

    fn visit_foreign_item_fn(&mut self, function: &'ast syn::ForeignItemFn) {
        self.bind(&function.sig.ident, Binding::Defined);
        visit::visit_foreign_item_fn(self, function);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let name = item.ident.to_string();
        let parent = self.current;
        for attribute in &item.attrs {
            self.visit_attribute(attribute);
        }
        if let Some((_, items)) = &item.content {
            let (file, folder) = (self.module(parent).file.clone(), joined(&self.module(parent).folder.clone(), &name));
            let id = self.add(file, Some(parent), folder);
            self.bind(&item.ident, Binding::Child(id));
            self.within(id, |reader| items.iter().for_each(|item| reader.visit_item(item)));
        } else {
            let (file, folder) = self.file_of(&name, &item.attrs);
            let id = self.add(file, Some(parent), folder);
            self.bind(&item.ident, Binding::Child(id));
            self.read_file(id);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let before: &[String] = if item.leading_colon.is_some() { &["::".to_owned()] } else { &[] };
        self.import(&item.tree, before, !matches!(item.vis, Visibility::Inherited));
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !only_for_tests(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if !only_for_tests(&local.attrs) {
            visit::visit_local(self, local);
        }
    }

    fn visit_block(&mut self, block: &'ast syn::Block) {
        self.blocks += 1;
        visit::visit_block(self, block);
        self.blocks -= 1;
    }

    /// `pub(in crate::a)` names a module but uses nothing of it.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            let segments = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.mention(segments, path.span().start().line, false);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.mention_tokens(call.tokens.clone(), false);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        match &attribute.meta {
            Meta::List(list) => self.mention_tokens(list.tokens.clone(), true),
            Meta::NameValue(pair) if !pair.path.is_ident("doc") => visit::visit_expr(self, &pair.value),
            Meta::Path(_) | Meta::NameValue(_) => {}
        }
    }
}

/// The attributes of an item, and the name that it defines in its module. Modules and imports are handled elsewhere.
fn head(item: &Item) -> (&[Attribute], Option<&Ident>) {
    match item {
        Item::Const(item) => (&item.attrs, Some(&item.ident)),
        Item::Enum(item) => (&item.attrs, Some(&item.ident)),
        Item::Fn(item) => (&item.attrs, Some(&item.sig.ident)),
        Item::Macro(item) => (&item.attrs, item.ident.as_ref()),
        Item::Static(item) => (&item.attrs, Some(&item.ident)),
        Item::Struct(item) => (&item.attrs, Some(&item.ident)),
        Item::Trait(item) => (&item.attrs, Some(&item.ident)),
        Item::TraitAlias(item) => (&item.attrs, Some(&item.ident)),
        Item::Type(item) => (&item.attrs, Some(&item.ident)),
        Item::Union(item) => (&item.attrs, Some(&item.ident)),
        Item::ExternCrate(item) => (&item.attrs, None),
        Item::ForeignMod(item) => (&item.attrs, None),
        Item::Impl(item) => (&item.attrs, None),
        Item::Mod(item) => (&item.attrs, None),
        Item::Use(item) => (&item.attrs, None),
        _ => (&[], None),
    }
}

fn only_for_tests(attributes: &[Attribute]) -> bool {
    let conditions = attributes.iter().filter(|attribute| attribute.path().is_ident("cfg"));
    conditions.filter_map(|attribute| attribute.parse_args::<Meta>().ok()).any(|condition| needs_test(&condition))
}

/// Whether a condition of `cfg` is true in test builds only.
fn needs_test(condition: &Meta) -> bool {
    let Meta::List(list) = condition else { return condition.path().is_ident("test") };
    let parts = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).unwrap_or_default();
    (list.path.is_ident("all") && parts.iter().any(needs_test))
        || (list.path.is_ident("any") && !parts.is_empty() && parts.iter().all(needs_test))
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    })
}

fn joined(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "." | "" => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}
