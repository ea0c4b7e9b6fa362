//! What must not compile, and what the compiler says to whoever tries.
//!
//! The messages in `tests/ui` are those of one compiler; `TRYBUILD=overwrite` writes them anew.
//!
//! It is a test binary of its own, because the compiler takes the whole machine for a minute, and
//! other tests count seconds.

use std::path::Path;

#[test]
#[cfg_attr(
    not(feature = "serde"),
    ignore = "some of the cases need `--features serde`; the run with all features has every case"
)]
fn misuse_is_refused_by_the_compiler() {
    let cases = trybuild::TestCases::new();
    // trybuild passes if a pattern matches no file.
    for folder in ["ui", "ui/serde"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let files = std::fs::read_dir(&folder).unwrap();
        let mut paths = files.map(|file| file.unwrap().path());
        assert!(
            paths.any(|path| path.extension().is_some_and(|ext| ext == "rs")),
            "no case in {folder:?}"
        );
        cases.compile_fail(folder.join("*.rs"));
    }
}
