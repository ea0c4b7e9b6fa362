//! The classes of an error.

use std::fmt;

/// The class of an [`Error`](crate::Error): who has to act on it, with the HTTP status.
///
/// ```
/// use tower_api_key::{ErrorClass, ErrorKind};
///
/// assert_eq!(ErrorKind::KeyRevoked.class(), ErrorClass::State);
/// assert_eq!(ErrorClass::State.status(), 409);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorClass {
    /// The request is not well formed: the caller sends another one. 400.
    Input,
    /// The request is beyond the limits of the ring. 422.
    Policy,
    /// The key is in a state in which this cannot be done to it. 409.
    State,
    /// No such key. 404.
    NotFound,
    /// Another writer was first: the caller reads again, and may try again. 409.
    Conflict,
    /// The store or the operating system failed: the caller may try again later. 503.
    Store,
}

impl ErrorClass {
    /// The class as a `snake_case` word, for logs and metrics. The words are stable: a change of one is
    /// a breaking change.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Policy => "policy",
            Self::State => "state",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Store => "store",
        }
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
