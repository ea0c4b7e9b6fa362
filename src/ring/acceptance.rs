//! What is left to do for a key that its record does not refuse.

/// How a key is accepted that its record does not refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Acceptance {
    AsItIs,
    /// After a question about its owner, or with notes on its uses.
    Otherwise,
}

impl Acceptance {
    pub(super) const fn of(has_more_to_do: bool) -> Self {
        if has_more_to_do {
            Self::Otherwise
        } else {
            Self::AsItIs
        }
    }
}
