//! The client library for C, as cargo built it for the tests.

use std::{env, path::PathBuf};

/// A form of the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CLibrary {
    /// Linked when the program starts (a shared library).
    Shared,
    /// Linked into the program (a static library).
    Static,
}

/// Path of the library. cargo builds what a test depends on beside the test's own program.
///
/// # Panics
/// When the library does not exist.
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
