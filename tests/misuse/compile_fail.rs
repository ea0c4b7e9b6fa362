//! What must not compile, and what the compiler says to whoever tries.
//!
//! The messages in `ui` are those of one compiler; `TRYBUILD=overwrite` writes them anew.
//!
//! It is a package of its own, because the compiler takes the whole machine for as long as it checks what the package
//! depends on, and other tests count seconds.

use std::path::Path;

#[test]
fn misuse_is_refused_by_the_compiler() {
    let cases = trybuild::TestCases::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("ui");
    // trybuild passes if a pattern matches no file.
    let files = std::fs::read_dir(&folder).unwrap();
    let mut paths = files.map(|file| file.unwrap().path());
    assert!(
        paths.any(|path| path.extension().is_some_and(|it| it == "rs")),
        "no case in {folder:?}"
    );
    cases.compile_fail(folder.join("*.rs"));
}
