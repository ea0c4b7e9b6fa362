//! What must not compile, and what the compiler says to whoever tries.
//!
//! The messages in `tests/ui` are those of one compiler; `TRYBUILD=overwrite` writes them anew.

#[test]
fn misuse_is_refused_by_the_compiler() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
    #[cfg(feature = "serde")]
    cases.compile_fail("tests/ui/serde/*.rs");
}
