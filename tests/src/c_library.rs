//! The client's library for C, as cargo has made it for the tests.

use std::{env, path::PathBuf};

/// Which of its forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CLibrary {
    /// Linked when the program starts.
    Shared,
    /// Linked into the program.
    Static,
}

/// Where it is: cargo makes what a test depends on beside the test's own program.
///
/// # Panics
/// When it is not there.
pub fn c_library(form: CLibrary) -> PathBuf {
    let name = match form {
        CLibrary::Shared => "libquorate_client.so",
        CLibrary::Static => "libquorate_client.a",
    };
    let program = env::current_exe().expect("a program knows where it is");
    let library = program.with_file_name(name);
    assert!(library.is_file(), "{} is not there: the test's package depends on quorate-client-c", library.display());
    library
}
