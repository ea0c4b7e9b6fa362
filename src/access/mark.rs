//! What two texts are compared by before they are read.

use std::num::NonZeroU64;

use crate::support::mixing::mixed;

/// The first sixteen bytes of a text and its length, which are the whole text of most scopes, and a hash
/// of all of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    head: [u64; 2],
    /// The length above the hash. Never 0, so that an optional mark takes no more room.
    rest: NonZeroU64,
}

/// The longest text that its mark says in full. No scope has U+0000, with which a head is filled up.
const HEAD_LEN: u64 = 16;

impl Mark {
    /// `None` for the empty text, which is no scope.
    #[inline]
    pub(super) fn of(text: &[u8]) -> Option<Self> {
        let len = u64::from(u32::try_from(text.len()).unwrap_or(u32::MAX));
        let (words, last) = text.as_chunks::<8>();
        let mut words = words
            .iter()
            .map(|&word| u64::from_le_bytes(word))
            .chain((!last.is_empty()).then(|| word(last)));
        let head = [0; 2].map(|_: u64| words.next().unwrap_or(0));
        let start = mixed(mixed(0, head[0]), head[1]);
        let hash = words.fold(start, mixed);
        if len == 0 {
            return None;
        }
        Some(Self {
            head,
            // The upper half of the hash, which every bit of the text has reached.
            rest: NonZeroU64::new(len << 32 | hash >> 32)?,
        })
    }

    /// The place at which a search for the text begins, modulo the number of places.
    #[expect(clippy::cast_possible_truncation, reason = "a hash")]
    #[inline]
    pub(super) fn place(&self) -> usize {
        // The length is above all numbers of places.
        self.rest.get() as usize
    }

    /// Whether two texts with this mark are the same without being read.
    #[inline]
    pub(super) fn is_whole(&self) -> bool {
        self.rest.get() >> 32 <= HEAD_LEN
    }
}

/// Word by word: the derived comparison takes three instructions more for each scope.
impl PartialEq for Mark {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        let [first, second] = [0, 1].map(|at| self.head[at] ^ other.head[at]);
        let rest = self.rest.get() ^ other.rest.get();
        first | second | rest == 0
    }
}

/// Up to eight bytes as one number, filled up with zeros.
#[inline]
fn word(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |word, &byte| word << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r03_texts_with_one_mark_that_is_whole_are_the_same() {
        let texts = [
            "a",
            "b",
            "aa",
            "ab",
            "ba",
            "abcdefgh",
            "abcdefghi",
            "bcdefgha",
        ];
        let mark = |text: &str| Mark::of(text.as_bytes());
        for one in texts {
            for other in texts {
                assert_eq!(mark(one) == mark(other), one == other);
            }
        }
        let is_whole = |text| mark(text).is_some_and(|mark| mark.is_whole());
        assert!(texts.into_iter().all(is_whole));
        assert!(is_whole("0123456789abcdef"));
        assert!(!is_whole("0123456789abcdefg"));
        assert_eq!(mark(""), None);
    }
}
