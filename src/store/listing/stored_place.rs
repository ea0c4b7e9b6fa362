//! A place in a list that is in the order in which its store keeps the keys.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};

/// Between two keys, in the order in which a store keeps them. Of the values by which that order goes it has the fewest
/// bits that part the two, because a store may keep its keys by their digests, which no text shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct StoredPlace(u64);

/// What its text begins with. No id is as short.
const BEGIN: &str = "any-";

impl StoredPlace {
    #[cfg(feature = "sql")]
    pub(crate) const fn as_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// The place with the fewest bits that comes after one value and before another. `None` if none does.
    #[cfg(feature = "sql")]
    pub(crate) fn between(one: &[u8], other: &[u8]) -> Option<Self> {
        let (before, after) = (first_bytes(one), first_bytes(other));
        let parting = 63_u32.checked_sub((before ^ after).leading_zeros())?;
        let place = Self(after >> parting << parting);
        (one < &place.as_bytes()[..] && &place.as_bytes()[..] < other).then_some(place)
    }

    /// How much it says of the values beside it.
    #[cfg(feature = "sql")]
    pub(crate) const fn bits(self) -> u32 {
        64 - self.0.trailing_zeros()
    }
}

#[cfg(feature = "sql")]
fn first_bytes(value: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(value) {
        *to = *from;
    }
    u64::from_be_bytes(bytes)
}

impl FromStr for StoredPlace {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let number = text.strip_prefix(BEGIN).filter(|number| {
            let is_digit = |it: u8| matches!(it, b'0'..=b'9' | b'a'..=b'f');
            number.len() == 16 && number.bytes().all(is_digit)
        });
        let number = number.and_then(|number| u64::from_str_radix(number, 16).ok());
        number
            .map(Self)
            .ok_or_else(|| ErrorKind::InvalidCursor.into())
    }
}

impl fmt::Display for StoredPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{BEGIN}{:016x}", self.0)
    }
}

#[cfg(all(test, feature = "sql"))]
mod tests {
    use super::StoredPlace;

    #[test]
    fn a_place_is_between_the_two_values_that_it_parts() {
        for (one, other, place) in [
            (
                &[0x00; 32][..],
                &[0xff; 32][..],
                Some("any-8000000000000000"),
            ),
            (
                &[0x12, 0x34],
                &[0x12, 0x36, 0x01],
                Some("any-1236000000000000"),
            ),
            (&[0x12, 0x34], &[0x12, 0x36], None),
            (&[], &[0x00, 0x01, 0xff], Some("any-0001000000000000")),
            (&[], &[], None),
            (&[0x12], &[0x12, 0x00], None),
            (&[0x12, 0xff], &[0x12, 0x00], None),
            // Alike as far as a place reaches.
            (&[0x77; 9], &[0x77; 10], None),
            // The value would be the place itself, so that it was not after it.
            (&[0; 8], &[0, 0, 0, 0, 0, 0, 0, 1], None),
            (
                &[0; 8],
                &[0, 0, 0, 0, 0, 0, 0, 1, 0],
                Some("any-0000000000000001"),
            ),
        ] {
            let found = StoredPlace::between(one, other);
            assert_eq!(found.map(|it| it.to_string()).as_deref(), place);
            if let Some(found) = found {
                assert!(one < &found.as_bytes()[..] && &found.as_bytes()[..] < other);
                assert_eq!(found.to_string().parse::<StoredPlace>().unwrap(), found);
            }
        }
    }
}
