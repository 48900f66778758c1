//! Every file of the fuzz corpus holds under the function that the fuzz target calls.

use std::path::Path;

use crate::stream;

#[test]
fn every_stream_of_the_fuzz_corpus_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/association");
    let mut files = 0;
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        stream::check(&std::fs::read(&path).unwrap());
        files += 1;
    }
    assert!(files >= 10, "only {files} files in {}", folder.display());
}
