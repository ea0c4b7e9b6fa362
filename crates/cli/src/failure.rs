//! How a command fails: one line, and an exit code.

use std::error::Error as StdError;
use std::fmt;

use tower_api_key::store::StoreError;
use tower_api_key::{Error, ErrorKind, VerifyError};

use crate::text::one_line;

/// What the exit code tells; 0 is success. The texts are in [`EXIT_CODES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Refused = 1,
    Usage = 2,
    NotFound = 3,
    Conflict = 4,
    Store = 5,
    Output = 6,
    Partial = 7,
}

pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done; for check: the key is accepted
  1  refused: by the policy, or because of the key's state; for check: the key
     is not accepted
  2  the arguments, or what was read from standard input, make no sense
  3  there is no such key in the realm, or no key of the subject
  4  conflict: another writer was first, or the key is in the store already
  5  the store cannot be used: unreachable, busy, read-only, of another
     version, or damaged
  6  standard output cannot be written to; a new key is then revoked, or was
     not made
  7  some lines of a batch, or records of a copy, were passed over; the others
     were imported or copied";

/// A line for standard error.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    text: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self {
            exit,
            text: text.into(),
        }
    }

    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::new(Exit::Usage, text)
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// The line, without what it must not repeat.
    pub(crate) fn message(&self) -> String {
        one_line(&self.text)
    }

    /// The same, with what to do about it.
    pub(crate) fn advise(mut self, advice: &str) -> Self {
        self.text = format!("{}; {advice}", self.text);
        self
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (exit, advice) = match error.kind() {
            ErrorKind::LifetimeTooLong { .. } => {
                (Exit::Refused, Some("--max-lifetime raises the limit"))
            }
            ErrorKind::GraceTooLong { .. } => (Exit::Refused, Some("--max-grace raises the limit")),
            ErrorKind::ScopeNotGrantable => (Exit::Refused, Some("--grantable-scope adds one")),
            ErrorKind::TooManyKeys { .. } => (
                Exit::Refused,
                Some("--max-keys-per-subject raises the limit"),
            ),
            ErrorKind::EmptyScopes
            | ErrorKind::WouldWiden
            | ErrorKind::InGrace
            | ErrorKind::KeyExpired
            | ErrorKind::KeyRetired
            | ErrorKind::KeyRevoked
            | ErrorKind::ImportRefused
            | ErrorKind::WeakPlaintext => (Exit::Refused, None),
            ErrorKind::ImportDiffers => (
                Exit::Conflict,
                Some("revoke that key, or take the line out"),
            ),
            ErrorKind::NotFound => (
                Exit::NotFound,
                Some("list shows its keys, --realm chooses another realm"),
            ),
            ErrorKind::Conflict => (Exit::Conflict, None),
            ErrorKind::Duplicate => (
                Exit::Conflict,
                Some("nothing was imported; a key is imported once"),
            ),
            ErrorKind::Store | ErrorKind::Generator => (Exit::Store, None),
            _ => (Exit::Usage, None),
        };
        let failure = match (error.kind(), error.source()) {
            // Where the library's words name its methods, the command line has its own.
            (ErrorKind::InGrace, _) => Self::new(
                exit,
                "rotation in progress: a key of the lineage is in its grace; wait for its end, or \
                 rotate the newest key with --at-once",
            ),
            (ErrorKind::InvalidGrace, _) => Self::new(
                exit,
                "invalid grace: use at least 1s, or --at-once for none",
            ),
            (ErrorKind::WeakPlaintext, _) => Self::new(
                exit,
                "weak key: under 128 bits by length and alphabet; issue a new one instead, or say \
                 --insecure",
            ),
            (ErrorKind::ImportRefused, _) => Self::new(
                exit,
                "a digest cannot be imported into a ring with a pepper; import the key itself",
            ),
            // The store says itself that it failed.
            (ErrorKind::Store, Some(source)) => Self::new(exit, chain(source)),
            (ErrorKind::Duplicate | ErrorKind::Conflict, _) => Self::new(exit, error.to_string()),
            _ => Self::new(exit, chain(&error)),
        };
        match advice {
            Some(advice) => failure.advise(advice),
            None => failure,
        }
    }
}

/// No verdict; the store says itself that it failed.
impl From<&VerifyError> for Failure {
    fn from(error: &VerifyError) -> Self {
        Self::new(Exit::Store, chain(error.source().unwrap_or(error)))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(Exit::Store, chain(&error))
    }
}

/// An error and all its sources.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    text
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tower-api-key: {}", self.message())
    }
}

impl Exit {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Usage => "usage",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Store => "store",
            Self::Output => "output",
            Self::Partial => "partial",
        }
    }
}
