//! Every seed, and a number of changed ones: the same in every run, except for the keys in them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed, in its helpers too"
)]

use std::fs;
use std::path::Path;

/// Numbers that look drawn, and are the same every time (xorshift64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % end.max(1)
    }

    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length);
        // Most changes are small.
        let longest = [1, 4, 16, length][self.below(4)].min(length - start);
        start..start + self.below(longest + 1)
    }

    fn one_of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }
}

/// What parsers stumble over.
const TOKENS: [&[u8]; 24] = [
    b"\"",
    b"\\",
    b",",
    b";",
    b":",
    b" ",
    b"\t",
    b"\n",
    b"=",
    b"_",
    b"%5F",
    b"$KEY",
    b"$DEAD",
    b"$CERT",
    b"\x80",
    b"\0",
    b"0",
    b"-1",
    b"18446744073709551616",
    b"NULL",
    b"/0",
    b"::",
    b"[]",
    b"===",
];

/// One change of an input: a range is removed, doubled, or replaced by a part of another seed, by a token or by bytes.
fn change(input: &mut Vec<u8>, seeds: &[&[u8]], numbers: &mut Numbers) {
    let range = numbers.range(input.len());
    let new: Vec<u8> = match numbers.below(6) {
        0 => Vec::new(),
        1 => input[range.clone()].repeat(2),
        2 => {
            let other = numbers.one_of(seeds);
            other[numbers.range(other.len())].to_vec()
        }
        3 => numbers.one_of(&TOKENS).to_vec(),
        4 => vec![u8::try_from(numbers.below(256)).unwrap()],
        // A line of another seed in the place of a line.
        _ => {
            let lines = |text: &[u8]| {
                text.split(|it| *it == b'\n')
                    .map(<[u8]>::to_vec)
                    .collect::<Vec<_>>()
            };
            let mut own = lines(input);
            let (at, others) = (numbers.below(own.len()), lines(numbers.one_of(seeds)));
            own[at].clone_from(&others[numbers.below(others.len())]);
            *input = own.join(&b'\n');
            return;
        }
    };
    input.splice(range, new);
}

/// Runs a target over its seeds, and over changed ones.
fn run(name: &str, target: fn(&[u8]), rounds: usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(name);
    let files = fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    let seeds: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
    assert!(seeds.len() > 8, "{name}: the seeds are missing");
    for seed in &seeds {
        target(seed);
    }

    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for _ in 0..rounds {
        let mut input = numbers.one_of(&seeds).to_vec();
        for _ in 0..=numbers.below(3) {
            change(&mut input, &seeds, &mut numbers);
        }
        let shown = input.clone();
        let found = std::panic::catch_unwind(|| target(&input));
        assert!(found.is_ok(), "{name}: found by\n{}", shown.escape_ascii());
    }
}

#[test]
fn nobody_gets_in_without_the_key() {
    run("head", tower_api_key_fuzz::head, 20_000);
}

#[test]
fn a_client_does_not_choose_the_facts() {
    run("clients", tower_api_key_fuzz::clients, 20_000);
}

#[test]
fn what_is_parsed_is_what_is_shown() {
    run("texts", tower_api_key_fuzz::texts, 20_000);
}

#[test]
fn no_keys_file_widens_a_key() {
    run("documents", tower_api_key_fuzz::documents, 5_000);
}

#[test]
fn a_row_is_a_record_or_none() {
    run("rows", tower_api_key_fuzz::rows, 20_000);
}
