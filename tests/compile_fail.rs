//! What must not compile, and what the compiler says to whoever tries.
//!
//! The messages in `tests/ui` are those of one compiler; `TRYBUILD=overwrite` writes them anew.
//!
//! It is a test binary of its own, because the compiler takes the whole machine for a minute, and
//! other tests count seconds.

#[test]
#[cfg_attr(
    not(feature = "serde"),
    ignore = "some of the cases need `--features serde`; the run with all features has every case"
)]
fn misuse_is_refused_by_the_compiler() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
    cases.compile_fail("tests/ui/serde/*.rs");
}
