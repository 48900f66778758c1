//! Resolves a path in the code to the module that defines what the path names.

use super::source::{Binding, Crate, ModuleId, ROOT};

/// What a path resolves to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Module(ModuleId),
    /// An item, with the module that defines it, or that imports it from another crate.
    Item(ModuleId, String),
}

/// The imports that are being followed, so that `use a::a` does not recurse without end.
type Followed<'a> = Vec<(ModuleId, &'a str, usize)>;

/// Everything that `path` may mean in the module `scope`; empty where it is another crate's or a local variable.
///
/// A name whose definition is not found in a module (because a macro makes it) counts as defined in that module. What
/// follows a type, as in `Type::new`, resolves to the module of the type.
pub(crate) fn resolve(of: &Crate, scope: ModuleId, path: &[String]) -> Vec<Target> {
    follow(of, scope, path, &mut Vec::new())
}

fn follow<'a>(of: &'a Crate, scope: ModuleId, path: &'a [String], followed: &mut Followed<'a>) -> Vec<Target> {
    let Some((first, mut rest)) = path.split_first() else { return Vec::new() };
    let mut targets = match first.as_str() {
        "crate" => vec![Target::Module(ROOT)],
        "self" => vec![Target::Module(scope)],
        "super" => {
            let mut module = parent(of, scope);
            while let Some((_, after)) = rest.split_first().filter(|(next, _)| *next == "super") {
                module = module.and_then(|module| parent(of, module));
                rest = after;
            }
            module.map(Target::Module).into_iter().collect()
        }
        name => look_up(of, scope, name, followed),
    };
    for segment in rest {
        // Where a module and a function have the same name, only the module can contain the rest of the path.
        if targets.iter().any(|target| matches!(target, Target::Module(_))) {
            targets.retain(|target| matches!(target, Target::Module(_)));
        }
        let step = |target| match target {
            Target::Item(..) => vec![target],
            Target::Module(module) => {
                let found = look_up(of, module, segment, followed);
                if found.is_empty() { vec![Target::Item(module, segment.clone())] } else { found }
            }
        };
        targets = targets.into_iter().flat_map(step).collect();
    }
    targets
}

fn parent(of: &Crate, module: ModuleId) -> Option<ModuleId> {
    of.modules.get(module)?.parent
}

fn look_up<'a>(of: &'a Crate, module: ModuleId, name: &'a str, followed: &mut Followed<'a>) -> Vec<Target> {
    let Some(looked_in) = of.modules.get(module) else { return Vec::new() };
    let mut targets = Vec::new();
    for (index, binding) in looked_in.bindings.get(name).into_iter().flatten().enumerate() {
        match binding {
            Binding::Defined => targets.push(Target::Item(module, name.to_owned())),
            Binding::Child(child) => targets.push(Target::Module(*child)),
            Binding::Import(path) => {
                let step = (module, name, index);
                if followed.contains(&step) {
                    continue;
                }
                followed.push(step);
                let found = follow(of, module, path, followed);
                followed.pop();
                if found.is_empty() {
                    targets.push(Target::Item(module, name.to_owned()));
                }
                targets.extend(found);
            }
        }
    }
    if !targets.is_empty() {
        return targets;
    }
    for (index, path) in looked_in.globs.iter().enumerate() {
        // Globs are numbered from the end, so that they do not clash with imports by name, which are numbered from
        // the start.
        let step = (module, name, usize::MAX - index);
        if followed.contains(&step) {
            continue;
        }
        followed.push(step);
        for target in follow(of, module, path, followed) {
            if let Target::Module(other) = target {
                targets.extend(look_up(of, other, name, followed));
            }
        }
        followed.pop();
    }
    targets
}
