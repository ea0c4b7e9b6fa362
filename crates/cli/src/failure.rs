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
    Findings = 8,
}

pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done; for check: the key is accepted
  1  refused, because of the policy or the state of the key; for check: the
     key is not accepted
  2  the arguments, or the text on standard input, are invalid
  3  the realm has no such key, or the subject has no key
  4  conflict: another writer changed the record first, or the store already
     has the key
  5  the store cannot be used: it is unreachable, busy, read-only, damaged or
     of another version
  6  standard output cannot be written to; a new key was not made, or was
     revoked
  7  some lines of a batch were not imported, or some records were not copied;
     all others were
  8  audit has findings";

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
                (Exit::Refused, Some("use --max-lifetime to raise the limit"))
            }
            ErrorKind::GraceTooLong { .. } => {
                (Exit::Refused, Some("use --max-grace to raise the limit"))
            }
            ErrorKind::ScopeNotGrantable => {
                (Exit::Refused, Some("use --grantable-scope to add a scope"))
            }
            ErrorKind::TooManyKeys { .. } => (
                Exit::Refused,
                Some("use --max-keys-per-subject to raise the limit"),
            ),
            ErrorKind::EmptyScopes
            | ErrorKind::WouldWiden
            | ErrorKind::InGrace
            | ErrorKind::KeyExpired
            | ErrorKind::KeyReplaced
            | ErrorKind::KeyRevoked
            | ErrorKind::ImportRefused
            | ErrorKind::OwnerRefused
            | ErrorKind::WeakPlaintext => (Exit::Refused, None),
            ErrorKind::ImportDiffers => {
                (Exit::Conflict, Some("revoke that key, or remove the line"))
            }
            ErrorKind::NotFound => (
                Exit::NotFound,
                Some("use list to see its keys, or --realm to choose another realm"),
            ),
            ErrorKind::Conflict => (Exit::Conflict, None),
            ErrorKind::Duplicate => (
                Exit::Conflict,
                Some("nothing was imported, because a key can be imported only once"),
            ),
            ErrorKind::Store | ErrorKind::Generator | ErrorKind::Clock => (Exit::Store, None),
            _ => (Exit::Usage, None),
        };
        let failure = match (error.kind(), error.source()) {
            // Where the library's words name its methods, the command line has its own.
            (ErrorKind::InGrace, _) => Self::new(
                exit,
                "rotation in progress: a key of the lineage is in its grace period; wait until \
                 the period ends, or rotate the newest key with --now",
            ),
            (ErrorKind::InvalidGrace, _) => Self::new(
                exit,
                "invalid grace period: use at least 1s, or --now for none",
            ),
            (ErrorKind::WeakPlaintext, _) => Self::new(
                exit,
                "weak key: under 128 bits by length and alphabet, so it can be guessed; issue a \
                 new key instead, or use --insecure",
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
            Self::Findings => "findings",
        }
    }
}
