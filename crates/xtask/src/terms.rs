//! Finds words that the project does not use, each with its replacement.
//!
//! `docs/glossary.md` has one word for one thing. The list here is short: it has the words of which every use is
//! wrong, so that a finding never needs an exception. Of Rust files only comments and literals are read, and of tests
//! only comments, because their literals are data. Names of items are not checked. A phrase is found also where it
//! continues on the next line.

use std::ops::Range;
use std::str::FromStr;
use std::sync::LazyLock;

use proc_macro2::{Span, TokenStream, TokenTree};
use regex::Regex;

use crate::finding::Finding;
use crate::tree::Tree;

struct Term {
    /// A regular expression of whole words in lower case; a space stands for any gap between two words.
    wrong: &'static str,
    /// What to write instead.
    right: &'static str,
}

const TERMS: &[Term] = &[
    Term { wrong: "nobody", right: "name the actor: no node, no client, no caller" },
    Term { wrong: "somebody|anybody|everybody", right: "name the actor: a caller, any client, every node" },
    Term { wrong: "whoever", right: "name the actor: the caller that, a client that" },
    Term { wrong: "who asks|machines? that asks?", right: "client, client machine" },
    Term { wrong: "what it was told", right: "the response" },
    Term { wrong: "what became of", right: "the result of, the outcome of" },
    Term { wrong: "as wanted", right: "unchanged, up to date" },
    Term { wrong: "needs? you", right: "Degraded: N problems" },
    Term { wrong: "more may fail", right: "tolerates N failures" },
    Term { wrong: "(?:is|are) sure in", right: "fsync latency" },
    Term { wrong: "in good time", right: "the limit, with its unit" },
    Term { wrong: "as it goes", right: "if the client machines of the last 7 days renew" },
    Term { wrong: "how far it is", right: "progress, lag" },
    Term { wrong: "the way back", right: "downgrade" },
    Term { wrong: "of before", right: "previous, earlier" },
    Term { wrong: "(?:is|are|was|were|be|been) let in", right: "is admitted" },
    Term { wrong: "from afar", right: "remote, remotely" },
    Term { wrong: "vouch(?:es|ed|ing)? for", right: "certify, sign" },
    Term { wrong: "mend(?:s|ed|ing)?", right: "fix, repair" },
    Term { wrong: "patience", right: "timeouts" },
    Term { wrong: "inquir(?:y|ies)", right: "node request, node service" },
    Term { wrong: "the house", right: "the architecture" },
];

/// Prefixes of paths that are exempt, each with the reason.
const EXEMPT: &[(&str, &str)] = &[
    (THIS_FILE, "lists the words"),
    ("crates/activation/src/state/frozen_text.rs", "texts of formats 1 and 2 are part of the state hash"),
    ("tests/golden/", "was recorded by older versions"),
];

const THIS_FILE: &str = file!();

/// Folders and files with texts, as prefixes of their paths.
const WITHIN: &[&str] = &[".github/", "README.md", "crates/", "deploy/", "docs/", "proto/", "tests/"];

/// Endings of the files with texts. In all of them but Rust's, every line is read.
const ENDINGS: &[&str] =
    &[".c", ".css", ".h", ".html", ".js", ".json", ".md", ".proto", ".py", ".rs", ".service", ".toml", ".yml"];

/// What may stand between two words of a phrase: blanks, or a line's end and the mark of a comment.
const GAP: &str = r"(?:[ \t]+|[ \t]*\r?\n[ \t]*(?:///?|//!|\*|#)?[ \t]*)";

/// Each list entry with its expression.
static SEARCHES: LazyLock<Vec<(&Term, Regex)>> = LazyLock::new(|| {
    let search = |term: &'static Term| {
        let words = term.wrong.replace(' ', GAP);
        let search = Regex::new(&format!(r"(?i)\b(?:{words})\b")).expect("the list has regular expressions");
        (term, search)
    };
    TERMS.iter().map(search).collect()
});

/// All words in one expression: most files have none of them.
static ANY: LazyLock<Regex> = LazyLock::new(|| {
    let words: Vec<_> = TERMS.iter().map(|term| term.wrong.replace(' ', GAP)).collect();
    Regex::new(&format!(r"(?i)\b(?:{})\b", words.join("|"))).expect("the list has regular expressions")
});

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    tree.files()
        .filter(|path| is_read(path))
        .filter_map(|path| Some((path, tree.text(path)?)))
        .flat_map(|(path, text)| wrong_terms(path, &text))
        .collect()
}

fn is_read(path: &str) -> bool {
    WITHIN.iter().any(|beginning| path.starts_with(beginning))
        && ENDINGS.iter().any(|ending| path.ends_with(ending))
        && !EXEMPT.iter().any(|(beginning, _)| path.starts_with(beginning))
}

fn wrong_terms(path: &str, text: &str) -> Vec<Finding> {
    if !ANY.is_match(text) {
        return Vec::new();
    }
    let names = if path.ends_with(".rs") { unread(text, is_test(path)) } else { Vec::new() };
    let mut found: Vec<_> = SEARCHES
        .iter()
        .flat_map(|(term, search)| search.find_iter(text).map(move |at| (term, at)))
        .filter(|(_, at)| !names.iter().any(|name| name.start < at.end() && at.start() < name.end))
        .map(|(term, at)| (line(text, at.start()), at.as_str().split_whitespace().collect::<Vec<_>>(), term))
        .collect();
    found.sort_by_key(|(line, ..)| *line);
    let finding = |(line, words, term): (usize, Vec<&str>, &&Term)| {
        let words: Vec<_> = words.into_iter().filter(|word| word.starts_with(char::is_alphanumeric)).collect();
        Finding::new(format!("{path}:{line}"), format!("\"{}\" -> {}", words.join(" "), term.right), CURE)
    };
    found.into_iter().map(finding).collect()
}

const CURE: &str = "write what docs/glossary.md has for it";

/// The number of the line, counted from one, in which a byte is.
fn line(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// Whether a Rust file has only tests and benchmarks.
fn is_test(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "tests" | "benches" | "fuzz"))
}

/// The bytes of a Rust file that are not read: names, and the literals too where they are data. None where the file
/// cannot be read as Rust: all of it is then checked.
fn unread(text: &str, literals_are_data: bool) -> Vec<Range<usize>> {
    let mut unread = Vec::new();
    if let Ok(stream) = TokenStream::from_str(text) {
        collect(stream, literals_are_data, &mut |span| {
            // A comment of documentation is read as an attribute whose parts all have the comment's position.
            let bytes = span.byte_range();
            if !text.get(bytes.clone()).is_some_and(|source| source.starts_with("//") || source.starts_with("/*")) {
                unread.push(bytes);
            }
        });
    }
    unread
}

fn collect(stream: TokenStream, with_literals: bool, found: &mut impl FnMut(Span)) {
    for token in stream {
        match token {
            TokenTree::Group(group) => collect(group.stream(), with_literals, found),
            TokenTree::Ident(name) => found(name.span()),
            TokenTree::Literal(literal) if with_literals => found(literal.span()),
            TokenTree::Literal(_) | TokenTree::Punct(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        wrong_terms(path, text).iter().map(|finding| format!("{}: {}", finding.place, finding.what)).collect()
    }

    #[test]
    fn a_word_in_a_comment_a_text_or_a_document_is_found_with_its_replacement() {
        let table = [
            (
                "a.rs",
                "/// Nobody waits.\nfn a() {}",
                "a.rs:1: \"Nobody\" -> name the actor: no node, no client, no caller",
            ),
            ("a.rs", "fn a() {\n    // mended\n}", "a.rs:2: \"mended\" -> fix, repair"),
            ("a.rs", "/* ä: mended */ fn a() {}", "a.rs:1: \"mended\" -> fix, repair"),
            ("a.rs", "const A: &str = \"2 things need you\";", "a.rs:1: \"need you\" -> Degraded: N problems"),
            ("a.rs", "const A: &str = r#\"from afar\"#;", "a.rs:1: \"from afar\" -> remote, remotely"),
            ("a.rs", "fn is no Rust( // patience", "a.rs:1: \"patience\" -> timeouts"),
            ("a.md", "# The house\n", "a.md:1: \"The house\" -> the architecture"),
            (
                "a.js",
                "let a = `as it goes`;",
                "a.js:1: \"as it goes\" -> if the client machines of the last 7 days renew",
            ),
        ];
        for (path, text, finding) in table {
            assert_eq!(found(path, text), [finding], "{text}");
        }
    }

    #[test]
    fn a_phrase_is_found_across_the_end_of_a_line() {
        let finding = ["a.rs:2: \"what became of\" -> the result of, the outcome of"];
        assert_eq!(found("a.rs", "//! First.\n/// Says what became\n    /// of it.\nfn a() {}"), finding);
        assert_eq!(
            found("a.md", "It says what\nbecame of it.\n"),
            ["a.md:1: \"what became of\" -> the result of, the outcome of"]
        );
    }

    #[test]
    fn names_of_items_and_parts_of_other_words_are_no_finding() {
        for text in [
            "struct Patience;\nfn whoever(patience: Patience) { patience.mended() }",
            "/// A command that amends or recommends.\nstruct A;",
            "// `nobody_is_told` is a test.\nfn nobody() {}",
        ] {
            assert_eq!(found("a.rs", text), [""; 0], "{text}");
        }
    }

    #[test]
    fn literals_of_tests_are_data_and_their_comments_are_read() {
        let text = "// Nobody.\n/// Whoever.\nconst A: &str = \"nobody@example.test\";";
        let lines = |path| wrong_terms(path, text).into_iter().map(|finding| finding.place).collect::<Vec<_>>();
        assert_eq!(lines("tests/tests/dns.rs"), ["tests/tests/dns.rs:1", "tests/tests/dns.rs:2"]);
        assert_eq!(lines("crates/a/tests/b.rs").len(), 2);
        assert_eq!(lines("crates/a/src/tests.rs").len(), 3);
    }

    #[test]
    fn findings_are_in_the_order_of_lines() {
        let found = found("a.md", "mend\nnobody\nmends nobody\n");
        let lines: Vec<_> = found.iter().filter_map(|finding| finding.split(' ').next()).collect();
        assert_eq!(lines, ["a.md:1:", "a.md:2:", "a.md:3:", "a.md:3:"]);
    }

    #[test]
    fn frozen_texts_and_other_files_are_not_read() {
        for (path, read) in [
            ("crates/host/src/lib.rs", true),
            ("crates/client-c/include/quorate_client.h", true),
            ("docs/dns.md", true),
            ("README.md", true),
            ("crates/activation/src/state/frozen_text.rs", false),
            ("tests/golden/aa5b105/log.txt", false),
            ("crates/xtask/src/terms.rs", false),
            ("LICENSE", false),
        ] {
            assert_eq!(is_read(path), read, "{path}");
        }
    }

    #[test]
    fn each_exempt_path_exists() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for (path, reason) in EXEMPT {
            assert!(root.join(path).exists() && !reason.is_empty(), "{path}");
        }
    }
}
