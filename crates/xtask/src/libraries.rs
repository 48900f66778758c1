//! System libraries that the workspace needs with all its features, and the Debian packages that contain them.
//!
//! This looks in the folders where the bindings' build scripts look, so that a missing library is named; a build
//! script would panic.

use std::fs;
use std::path::{Path, PathBuf};

use crate::finding::Finding;

struct Library {
    name: &'static str,
    /// Environment variable that names another folder of the library. Where it is set, the library is not looked for.
    elsewhere: &'static str,
    /// Folders below the root; a `*` stands for any one folder.
    folders: &'static [&'static str],
    is_file: fn(&str) -> bool,
    package: &'static str,
}

const LIBRARIES: &[Library] = &[
    Library {
        name: "the headers of MIT Kerberos (gssapi/gssapi_ext.h)",
        elsewhere: "LIBGSSAPI_PREFIX",
        folders: &["usr/include/gssapi", "usr/include/*/gssapi", "usr/local/include/gssapi"],
        is_file: |file| file == "gssapi_ext.h",
        package: "libkrb5-dev",
    },
    Library {
        name: "libclang, which reads those headers",
        elsewhere: "LIBCLANG_PATH",
        folders: &["usr/lib", "usr/lib/*", "usr/lib/*/lib", "usr/lib64", "usr/lib64/*/lib", "usr/local/lib"],
        is_file: |file| {
            file.starts_with("libclang.so")
                || file.starts_with("libclang-") && !file.starts_with("libclang-cpp") && file.contains(".so")
        },
        package: "libclang-dev",
    },
];

/// The libraries that are missing on the machine whose files are below `root`. `is_set` says whether an environment
/// variable is set.
pub(crate) fn missing(root: &Path, is_set: impl Fn(&str) -> bool) -> Vec<Finding> {
    let absent = |library: &&Library| !is_set(library.elsewhere) && !library.is_below(root);
    let finding = |library: &Library| {
        Finding::new(
            "all features",
            format!("{} not found: the feature gss-tsig needs it, so nothing was linted", library.name),
            format!("on Debian: sudo apt-get install {}; elsewhere: set {}", library.package, library.elsewhere),
        )
    };
    LIBRARIES.iter().filter(absent).map(finding).collect()
}

impl Library {
    fn is_below(&self, root: &Path) -> bool {
        self.folders.iter().flat_map(|pattern| folders(root, pattern)).any(|folder| {
            let files = fs::read_dir(folder).into_iter().flatten().flatten();
            files.into_iter().any(|file| (self.is_file)(&file.file_name().to_string_lossy()))
        })
    }
}

fn folders(root: &Path, pattern: &str) -> Vec<PathBuf> {
    let Some((above, below)) = pattern.split_once('*') else { return vec![root.join(pattern)] };
    let entries = fs::read_dir(root.join(above)).into_iter().flatten().flatten();
    entries.map(|entry| entry.path().join(below.trim_start_matches('/'))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The packages that are reported on a machine with these files and variables.
    fn packages(files: &[&str], set: &[&str]) -> Vec<&'static str> {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let findings = missing(root.path(), |variable| set.contains(&variable));
        let named =
            |package: &&str| findings.iter().any(|finding| finding.cure.contains(&format!("install {package};")));
        ["libkrb5-dev", "libclang-dev"].into_iter().filter(named).collect()
    }

    #[test]
    fn a_machine_without_the_libraries_is_told_the_packages() {
        const HEADER: &str = "usr/include/gssapi/gssapi_ext.h";
        let table: &[(&[&str], &[&str], &[&str])] = &[
            (&[], &[], &["libkrb5-dev", "libclang-dev"]),
            (
                &["usr/include/gssapi/gssapi.h", "usr/lib/x86_64-linux-gnu/libclang-cpp.so.19"],
                &[],
                &["libkrb5-dev", "libclang-dev"],
            ),
            (&[HEADER], &[], &["libclang-dev"]),
            (&[HEADER, "usr/lib/llvm-19/lib/libclang.so"], &[], &[]),
            (&[HEADER, "usr/lib/x86_64-linux-gnu/libclang-19.so.19"], &[], &[]),
            (&["usr/lib64/libclang.so.19"], &[], &["libkrb5-dev"]),
            (&[], &["LIBCLANG_PATH"], &["libkrb5-dev"]),
            (&[], &["LIBCLANG_PATH", "LIBGSSAPI_PREFIX"], &[]),
        ];
        for (files, set, expected) in table {
            assert_eq!(packages(files, set), *expected, "{files:?} {set:?}");
        }
    }
}
