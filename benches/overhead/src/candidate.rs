//! The measured services.

use http::StatusCode;

use crate::request::Presented;

/// A measured service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Candidate {
    /// The inner service alone.
    Bare,
    /// The header out, one SHA-256, one map, one extension. No check.
    Floor,
    /// The floor and the two headers of the response cache guard.
    FloorGuard,
    /// The strongest rival on tower-http's `ValidateRequestHeaderLayer::custom`.
    ByHand,
    /// The same rival, with the refusals of the layer: five headers, a problem, and the reason in the extensions.
    ByHandAlike,
    /// The layer without its response cache guard.
    Layer,
    /// The layer with its defaults.
    Default,
    /// The layer without its guard, which requires all scopes of a key.
    AllScopes,
    /// The layer with its defaults, and a table of routes instead of one requirement.
    Routed,
    /// The layer with its defaults, over a ring that tracks last uses.
    Tracked,
    /// The layer with its defaults, over a ring with an observer that does nothing.
    Observed,
    /// The layer with its defaults, which says in the response who called.
    Named,
    /// The layer with its defaults, which records three fields in the span of the request. The span and the subscriber
    /// are there for every candidate.
    Traced,
    /// The inner service, which records the same three fields as a service would by itself: what `tracing` takes.
    TracedByHand,
    /// The layer with its defaults, over a ring whose outcomes are counted by a recorder of atomics.
    Measured,
    /// The layer with its defaults, over a copy of the records that proves its age, as a replica does.
    Replica,
}

impl Candidate {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Bare,
        Self::Floor,
        Self::FloorGuard,
        Self::ByHand,
        Self::ByHandAlike,
        Self::Layer,
        Self::Default,
        Self::AllScopes,
        Self::Routed,
        Self::Tracked,
        Self::Observed,
        Self::Named,
        Self::Traced,
        Self::TracedByHand,
        Self::Measured,
        Self::Replica,
    ];

    /// A name for the reader.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Floor => "floor",
            Self::FloorGuard => "floor + 2 headers",
            Self::ByHand => "hand-written",
            Self::ByHandAlike => "hand-written, same refusal",
            Self::Layer => "layer without guard",
            Self::Default => "layer",
            Self::AllScopes => "layer, all scopes",
            Self::Routed => "layer, routes",
            Self::Tracked => "layer, last use tracked",
            Self::Observed => "layer, observer",
            Self::Named => "layer, caller in response",
            Self::Traced => "layer, span",
            Self::TracedByHand => "span by hand",
            Self::Measured => "layer, metrics",
            Self::Replica => "layer, replica",
        }
    }

    /// The status of its response. `None` for a request that it cannot serve: the floor panics without a
    /// key that it knows.
    pub const fn status(self, presented: Presented) -> Option<StatusCode> {
        match (self, presented) {
            (Self::Bare | Self::TracedByHand, _) | (_, Presented::Valid) => Some(StatusCode::OK),
            (Self::Floor | Self::FloorGuard, _) => None,
            _ => Some(StatusCode::UNAUTHORIZED),
        }
    }
}
