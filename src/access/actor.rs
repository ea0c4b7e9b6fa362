//! Who changes keys.

use std::fmt;
use std::str::FromStr;

use ecow::EcoString;

use super::text::is_plain;
use crate::error::{Error, ErrorKind};
use crate::key::shape::find_key;

/// The name of the person or the program that changes keys, for events and the history: 1 to 256 bytes without
/// control characters, format characters (bidirectional controls among them), `=` at the start, and texts in the shape
/// of a key.
///
/// It is a statement of the caller, and proves nothing. See [`KeyRing::acting_as`](crate::KeyRing::acting_as).
///
/// ```
/// use tower_api_key::{Actor, ErrorKind};
///
/// let actor: Actor = "ops@example.com".parse()?;
/// assert_eq!(actor, "ops@example.com");
/// assert_eq!(Actor::new("").unwrap_err().kind(), ErrorKind::InvalidActor);
/// # Ok::<(), tower_api_key::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Actor(EcoString);

impl Actor {
    /// The longest actor, in bytes.
    pub const MAX_LEN: usize = 256;

    /// Parses an actor.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidActor`] for a text that names none.
    pub fn new(text: &str) -> Result<Self, Error> {
        if (1..=Self::MAX_LEN).contains(&text.len())
            && is_plain(text)
            && find_key(text.as_bytes()).is_none()
        {
            Ok(Self(text.into()))
        } else {
            Err(ErrorKind::InvalidActor.into())
        }
    }

    /// The actor as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Actor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::new(text)
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

crate::text_type!(Actor);
crate::borrowed_text!(Actor);
crate::compared_text!(Actor);
#[cfg(feature = "serde")]
crate::serde_text!(Actor);
