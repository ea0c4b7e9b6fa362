//! The names of the caveats.

use std::fmt;

/// The name of a [`Caveat`](crate::Caveat), and so the fact that it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CaveatKind {
    /// `net`, which needs the client's address.
    Net,
    /// `cnf`, which needs the thumbprint of the client's certificate.
    Confirmation,
}

impl CaveatKind {
    /// The kinds that this version knows.
    pub const ALL: [Self; 2] = [Self::Net, Self::Confirmation];

    /// The name, as it stands before the `=`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Net => "net",
            Self::Confirmation => "cnf",
        }
    }
}

impl fmt::Display for CaveatKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

crate::shown_text!(CaveatKind);
