//! Which build of the program runs, and which one is installed: after an upgrade of the package they differ until
//! the node is restarted.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use api::admin::v1::Build;
use serde::Deserialize;
use tokio::{io::AsyncReadExt, process::Command, time::timeout};

use crate::limits::{BUILD_TEXT_BYTES_MAX, BUILD_TIMEOUT};

/// The executable of this process, also where its file was replaced (proc(5)).
const RUNNING: &str = "/proc/self/exe";
/// The suffix that Linux appends to the path of a replaced file.
const REPLACED: &str = " (deleted)";

#[derive(Deserialize)]
struct Said {
    version: String,
    commit: String,
    built: String,
    formats: Vec<u32>,
}

/// The build of this process. Error: why it is not known.
pub(crate) async fn running() -> Result<Build, String> {
    ask(Path::new(RUNNING)).await
}

/// The build at the path from which this process was started. Error: why it is not known.
pub(crate) async fn installed() -> Result<Build, String> {
    let path =
        std::env::current_exe().map_err(|error| format!("the path of the program cannot be determined: {error}"))?;
    ask(&replaced_by(&path)).await
}

fn replaced_by(path: &Path) -> PathBuf {
    path.to_str().and_then(|text| text.strip_suffix(REPLACED)).map_or_else(|| path.to_owned(), PathBuf::from)
}

/// Runs `program` to get its build.
async fn ask(program: &Path) -> Result<Build, String> {
    let failed = |why: String| format!("{} does not report its build: {why}", program.display());
    let mut command = Command::new(program);
    command.args(["version", "--json"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.kill_on_drop(true).spawn().map_err(|error| failed(error.to_string()))?;
    let said = async {
        let mut text = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            stdout.take(BUILD_TEXT_BYTES_MAX).read_to_end(&mut text).await.map_err(|error| error.to_string())?;
        }
        let status = child.wait().await.map_err(|error| error.to_string())?;
        let said = serde_json::from_slice::<Said>(&text).map_err(|_| format!("it ended with {status}"))?;
        let Said { version, commit, built, formats } = said;
        Ok::<_, String>(Build { version, commit, built, formats })
    };
    timeout(BUILD_TIMEOUT, said).await.map_err(|_| failed("it does not exit".into()))?.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_replaced_program_is_that_of_its_replacement() {
        assert_eq!(replaced_by(Path::new("/usr/bin/quorate (deleted)")), Path::new("/usr/bin/quorate"));
        assert_eq!(replaced_by(Path::new("/usr/bin/quorate")), Path::new("/usr/bin/quorate"));
    }

    #[tokio::test]
    async fn a_program_that_is_missing_or_prints_something_else_has_no_build() {
        let folder = tempfile::tempdir().unwrap();
        let gone = ask(&folder.path().join("gone")).await.unwrap_err();
        assert!(gone.contains("No such file"), "{gone}");
        let other = ask(Path::new("/bin/true")).await.unwrap_err();
        assert!(other.contains("it ended with exit status: 0"), "{other}");
    }
}
