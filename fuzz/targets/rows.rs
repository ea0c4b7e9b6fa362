//! Runs the target `rows`: under libFuzzer, or over the files that are named.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|input: &[u8]| tower_api_key_fuzz::rows(input));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    tower_api_key_fuzz::replay(tower_api_key_fuzz::rows)
}
