//! Finds banned words in the sources and documents.
//!
//! clippy bans calls, because it resolves names. This check is for what clippy does not see: ignored tests,
//! unfinished work behind a disabled lint, paths that exist on one machine only.

use crate::finding::Finding;
use crate::tree::Tree;

struct Ban {
    words: &'static [&'static str],
    /// Prefixes of the paths in which the words are banned; empty: the whole repository.
    within: &'static [&'static str],
    /// Prefixes of paths that are exempt.
    except: &'static [&'static str],
    /// Endings of the file names in which the words are banned.
    endings: &'static [&'static str],
    /// Whether a line that is only a comment may contain the words.
    comments_may: bool,
    cure: &'static str,
}

const RUST: &[&str] = &[".rs"];
const TEXT: &[&str] = &[".json", ".md", ".proto", ".py", ".rs", ".sh", ".toml", ".yaml", ".yml", "/run"];

const BANS: &[Ban] = &[
    Ban {
        words: &["#[ignore"],
        within: &[],
        except: &[],
        endings: RUST,
        comments_may: true,
        cure: "a test that does not run proves nothing: repair it or take it out",
    },
    Ban {
        words: &["todo!", "unimplemented!"],
        within: &[],
        except: &[],
        endings: RUST,
        comments_may: true,
        cure: "finish it, or leave it out and say so in the issue",
    },
    Ban {
        words: &["thread::sleep"],
        within: &[],
        except: &[],
        endings: RUST,
        comments_may: true,
        cure: "wait for a condition with a deadline",
    },
    Ban {
        words: &["clippy::disallowed_methods"],
        within: &["crates/activation/src/", "crates/dcerpc/src/", "crates/replication/src/"],
        except: &[],
        endings: RUST,
        comments_may: false,
        cure: "take clock, randomness and network as parameters, so that tests can drive a cluster",
    },
    Ban {
        words: &["tokio::spawn(", "spawn_blocking(", "thread::spawn(", "thread::Builder::", "connections.spawn("],
        within: &["crates/host/src/", "crates/replication/src/"],
        except: &["crates/host/src/tasks/", "crates/replication/src/environment.rs"],
        endings: RUST,
        comments_may: true,
        cure: "start it through `tasks`, which gives it a name for the log in case of a panic",
    },
    Ban {
        words: &["/work/", "/root/", "/Users/", "/home/"],
        within: &[],
        except: &[],
        endings: TEXT,
        comments_may: false,
        cure: "a path of one machine: take it from the environment, or relative to the repository",
    },
    Ban {
        words: &["index.crates.io", "static.crates.io", "pypi.org", "pythonhosted.org", "deb.debian.org"],
        within: &[],
        except: &[],
        endings: TEXT,
        comments_may: false,
        cure: "let cargo, pip and apt use the registry that the machine is set up for",
    },
];

/// This file is exempt, because it lists the banned words.
const THIS_FILE: &str = file!();

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    tree.files()
        .filter(|path| *path != THIS_FILE)
        .filter(|path| BANS.iter().any(|ban| ban.covers(path)))
        .filter_map(|path| Some((path, tree.text(path)?)))
        .flat_map(|(path, text)| banned_words(path, &text))
        .collect()
}

fn banned_words(path: &str, text: &str) -> Vec<Finding> {
    let bans: Vec<_> = BANS.iter().filter(|ban| ban.covers(path)).collect();
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for ban in bans.iter().filter(|ban| !(ban.comments_may && is_comment(line))) {
            for word in ban.words.iter().filter(|word| has_word(line, word)) {
                findings.push(Finding::new(format!("{path}:{number}"), format!("contains `{word}`"), ban.cure));
            }
        }
    }
    findings
}

impl Ban {
    fn covers(&self, path: &str) -> bool {
        !self.except.iter().any(|beginning| path.starts_with(beginning))
            && (self.within.is_empty() || self.within.iter().any(|folder| path.starts_with(folder)))
            && self.endings.iter().any(|ending| path.ends_with(ending))
    }
}

fn is_comment(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("//") || line.starts_with("# ")
}

/// Whether `word` begins somewhere in `line` other than in the middle of a longer word or path.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|head| head.chars().next_back());
        !before.is_some_and(|before| before.is_alphanumeric() || matches!(before, '_' | '.' | '-' | '}' | '*'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_must_not_contain() {
        let table = [
            ("crates/host/src/lib.rs", "    #[ignore]", Some("#[ignore")),
            ("crates/host/src/lib.rs", "    #[ignore = \"slow\"]", Some("#[ignore")),
            ("tests/tests/a.rs", "todo!()", Some("todo!")),
            ("tests/tests/a.rs", "std::thread::sleep(d)", Some("thread::sleep")),
            ("tests/tests/a.rs", "my_thread::sleep(d)", None),
            ("tests/tests/a.rs", "// not thread::sleep: a condition", None),
            ("tests/tests/a.rs", "my_todo!()", None),
            ("docs/style.md", "never `thread::sleep`", None),
            ("crates/activation/src/a.rs", "#[expect(clippy::disallowed_methods)]", Some("clippy::disallowed_methods")),
            ("crates/host/src/a.rs", "#[expect(clippy::disallowed_methods)]", None),
            ("crates/host/src/a.rs", "    tokio::spawn(work);", Some("tokio::spawn(")),
            ("crates/host/src/a.rs", "    tokio::task::spawn_blocking(work)", Some("spawn_blocking(")),
            ("crates/host/src/tasks/mod.rs", "    tokio::spawn(work)", None),
            ("crates/client/src/a.rs", "    tokio::spawn(work)", None),
            ("docs/a.md", "cd /work/x", Some("/work/")),
            ("docs/a.md", "see deploy/work/x and $HOME/work/", None),
            ("crates/host/src/a.rs", "// as in /home/me/x", Some("/home/")),
            (".ci/run", "curl https://pypi.org/x", Some("pypi.org")),
            ("Cargo.lock", "/home/me", None),
        ];
        for (path, line, word) in table {
            let found = banned_words(path, &format!("first\n{line}\n"));
            let found: Vec<_> = found.iter().map(|finding| (finding.place.clone(), finding.what.clone())).collect();
            let expected: Vec<_> =
                word.map(|word| (format!("{path}:2"), format!("contains `{word}`"))).into_iter().collect();
            assert_eq!(found, expected, "{path}: {line}");
        }
    }

    #[test]
    fn only_this_file_may_spell_out_what_it_bans() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        assert!(root.join(THIS_FILE).is_file());
        assert!(!banned_words(THIS_FILE, &std::fs::read_to_string(root.join(THIS_FILE)).unwrap()).is_empty());
    }
}
