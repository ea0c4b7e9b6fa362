//! The outcomes of requests, each a counter.

use metrics::{Counter, counter, describe_counter};

use crate::verdict::{InvalidCause, RejectionKind};

const REQUESTS: &str = "api_key_requests_total";

const KINDS: [RejectionKind; 9] = [
    RejectionKind::Missing,
    RejectionKind::Ambiguous,
    RejectionKind::KeyInUrl,
    RejectionKind::KeyMisplaced,
    RejectionKind::Invalid,
    RejectionKind::InsufficientScope,
    RejectionKind::UnknownRoute,
    RejectionKind::StoreUnavailable,
    RejectionKind::NotAuthenticated,
];

const CAUSES: [InvalidCause; 10] = [
    InvalidCause::Malformed,
    InvalidCause::Unknown,
    InvalidCause::OtherRealm,
    InvalidCause::NotYetValid,
    InvalidCause::Expired,
    InvalidCause::Replaced,
    InvalidCause::Revoked,
    InvalidCause::CaveatNotMet,
    InvalidCause::UnknownCaveat,
    InvalidCause::OwnerRefused,
];

/// The place of a kind. A new one does not compile until it is in the list.
const fn place_of(kind: RejectionKind) -> usize {
    match kind {
        RejectionKind::Missing => 0,
        RejectionKind::Ambiguous => 1,
        RejectionKind::KeyInUrl => 2,
        RejectionKind::KeyMisplaced => 3,
        RejectionKind::Invalid => 4,
        RejectionKind::InsufficientScope => 5,
        RejectionKind::UnknownRoute => 6,
        RejectionKind::StoreUnavailable => 7,
        RejectionKind::NotAuthenticated => 8,
    }
}

/// The place of a cause.
const fn place_of_cause(cause: InvalidCause) -> usize {
    match cause {
        InvalidCause::Malformed => 0,
        InvalidCause::Unknown => 1,
        InvalidCause::OtherRealm => 2,
        InvalidCause::NotYetValid => 3,
        InvalidCause::Expired => 4,
        InvalidCause::Replaced => 5,
        InvalidCause::Revoked => 6,
        InvalidCause::CaveatNotMet => 7,
        InvalidCause::UnknownCaveat => 8,
        InvalidCause::OwnerRefused => 9,
    }
}

const _: () = {
    let mut place = 0;
    while place < KINDS.len() {
        assert!(place_of(KINDS[place]) == place);
        place += 1;
    }
    let mut place = 0;
    while place < CAUSES.len() {
        assert!(place_of_cause(CAUSES[place]) == place);
        place += 1;
    }
};

/// A counter for each outcome.
pub(super) struct Outcomes {
    authenticated: Counter,
    /// Of a kind without a cause.
    kinds: [Counter; KINDS.len()],
    causes: [Counter; CAUSES.len()],
}

impl Outcomes {
    pub(super) fn new(realm: &str) -> Self {
        describe_counter!(
            REQUESTS,
            "Requests with or without a key, by their outcome."
        );
        let outcome = |outcome: &'static str, cause: &'static str| {
            let realm = realm.to_owned();
            counter!(REQUESTS, "realm" => realm, "outcome" => outcome, "cause" => cause)
        };
        Self {
            authenticated: outcome("authenticated", "none"),
            kinds: KINDS.map(|kind| outcome(kind.as_str(), "none")),
            causes: CAUSES.map(|cause| outcome(RejectionKind::Invalid.as_str(), cause.as_str())),
        }
    }

    pub(super) fn authenticated(&self) {
        self.authenticated.increment(1);
    }

    pub(super) fn rejected(&self, kind: RejectionKind, cause: Option<InvalidCause>) {
        match cause {
            Some(cause) => self.causes[place_of_cause(cause)].increment(1),
            None => self.kinds[place_of(kind)].increment(1),
        }
    }
}
