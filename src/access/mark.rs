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

    /// The place at which a search for the text begins, modulo the number of places. A way is how many bits of the hash it does
    /// without.
    #[expect(clippy::cast_possible_truncation, reason = "a hash")]
    #[inline]
    pub(super) fn place(&self, way: u32) -> usize {
        (self.rest.get() >> way) as usize
    }

    /// That of no text.
    pub(super) const NONE: Self = Self {
        head: [0; 2],
        rest: NonZeroU64::MIN,
    };

    /// Whether this is [`NONE`](Self::NONE).
    #[inline]
    pub(super) fn is_none(&self) -> bool {
        self.rest == NonZeroU64::MIN
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

/// The mark of a text of which there is U+0000 at the end of its head. No other text has this head.
#[derive(Debug, Clone, Copy)]
pub(super) struct ShortMark {
    head: [u64; 2],
    hash: u32,
}

impl ShortMark {
    #[expect(clippy::cast_possible_truncation, reason = "a hash")]
    pub(super) fn of(mark: &Mark) -> Option<Self> {
        (mark.rest.get() >> 32 < HEAD_LEN).then_some(Self {
            head: mark.head,
            hash: mark.rest.get() as u32,
        })
    }

    /// As [`Mark::place`].
    #[inline]
    pub(super) fn place(&self, way: u32) -> usize {
        (self.hash >> way) as usize
    }

    /// 0 if this is the text of the mark.
    #[inline]
    pub(super) fn difference(&self, mark: &Mark) -> u64 {
        self.head[0] ^ mark.head[0] | self.head[1] ^ mark.head[1]
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

    #[test]
    fn r03_a_short_mark_is_that_of_one_text() {
        let texts = [
            "a",
            "ab",
            "b",
            "abcdefgh",
            "abcdefghi",
            "0123456789abcde",
            "0123456789abcdef",
            "0123456789abcdefg",
            "0123456789abcdE",
        ];
        for one in texts {
            let mark = Mark::of(one.as_bytes()).unwrap();
            let Some(short) = ShortMark::of(&mark) else {
                assert!(one.len() > 15, "{one}");
                continue;
            };
            assert!(one.len() <= 15, "{one}");
            assert_ne!(short.difference(&Mark::NONE), 0, "{one}");
            for other in texts {
                let difference = short.difference(&Mark::of(other.as_bytes()).unwrap());
                assert_eq!(difference == 0, one == other, "{one} {other}");
            }
            for way in 0..=26 {
                assert_eq!(short.place(way) % 64, mark.place(way) % 64, "{one}");
            }
        }
    }
}
