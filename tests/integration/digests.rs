//! Digests: their input, their comparison and their parsing, and that they are never shown.

use std::hash::{BuildHasher, RandomState};

use sha2::{Digest, Sha256};
use tower_api_key::{ErrorKind, KeyDigest};

#[test]
fn r07_debug_of_a_digest_reveals_nothing() {
    for byte in 0..=u8::MAX {
        let digest = KeyDigest::from_bytes([byte; 32]);
        assert_eq!(format!("{digest:?}"), "KeyDigest(…)");
        assert_eq!(format!("{digest:#?}"), "KeyDigest(…)");
    }
}

#[test]
fn r07_digests_are_equal_in_every_bit_or_not_at_all() {
    let state = RandomState::new();
    let bytes: [u8; 32] = Sha256::digest(b"a key").into();
    let digest = KeyDigest::from_bytes(bytes);
    assert_eq!(digest, KeyDigest::from_bytes(bytes));
    assert_eq!(
        state.hash_one(digest),
        state.hash_one(KeyDigest::from_bytes(bytes))
    );
    for at in 0..32 {
        for difference in 1..=u8::MAX {
            let mut other = bytes;
            other[at] ^= difference;
            assert_ne!(digest, KeyDigest::from_bytes(other), "byte {at}");
        }
        // Two differences that cancel each other out in a sum or in an exclusive or.
        let mut other = bytes;
        other[at % 8] ^= 0x80;
        let other = KeyDigest::from_bytes(other);
        assert_ne!(
            state.hash_one(digest),
            state.hash_one(other),
            "a flood in one bucket"
        );
        let mut other = bytes;
        other[at] ^= 0x80;
        other[(at + 8) % 32] ^= 0x80;
        assert_ne!(
            digest,
            KeyDigest::from_bytes(other),
            "bytes {at} and its like"
        );
    }
}

#[test]
fn a_digest_is_the_sha256_of_the_exact_bytes() {
    for length in 0..=200_u8 {
        let bytes: Vec<u8> = (0..length).map(|n| n.wrapping_mul(151) ^ length).collect();
        let expected: [u8; 32] = Sha256::digest(&bytes).into();
        assert_eq!(KeyDigest::sha256(&bytes).as_bytes(), &expected, "{length}");
    }
}

#[test]
fn a_digest_is_read_from_64_hexadecimal_digits() {
    // FIPS 180-2, appendix B.1.
    let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    for text in [text.to_owned(), text.to_uppercase()] {
        assert_eq!(
            text.parse::<KeyDigest>().unwrap(),
            KeyDigest::sha256(b"abc")
        );
    }
    for wrong in [
        String::new(),
        text[1..].to_owned(),
        format!("{text}0"),
        format!("{text}00"),
        format!(" {}", &text[1..]),
        format!("{}\n", &text[..63]),
        format!("0x{}", &text[2..]),
        format!("+{}", &text[1..]),
        format!("g{}", &text[1..]),
        format!("é{}", &text[2..]),
    ] {
        let error = wrong.parse::<KeyDigest>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidDigest, "{wrong:?}");
    }
}
