//! The state of a record at a time.

use std::fmt;

/// The state of a record at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum KeyState {
    /// It authenticates.
    Live,
    /// Its not-before lies ahead.
    NotYetValid,
    /// Its lifetime is over.
    Expired,
    /// A rotation has replaced it, and its grace period is over. A key that was replaced without a grace
    /// period is [`Revoked`](Self::Revoked).
    Replaced,
    /// It was revoked.
    Revoked,
}

impl KeyState {
    /// The state as a `snake_case` word, for logs and JSON. The words are stable: a change of one is a
    /// breaking change.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::NotYetValid => "not_yet_valid",
            Self::Expired => "expired",
            Self::Replaced => "replaced",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

crate::shown_text!(KeyState);
