//! Events of each kind.

use std::sync::OnceLock;
use std::time::Duration;

use super::proof::realm;
use super::refusal::{alice, invalid_key, outage, refusal};
use crate::access::realm::Realm;
use crate::observe::event::{Event, EventKind};
use crate::record::RevocationReason;
use crate::store::StoreError;
use crate::time::Timestamp;
use crate::verdict::{InvalidCause, KeyPlace, Refusal, RejectionKind, VerifiedKey};

/// An event of this kind, as a ring, a layer or a store makes it. Its realm is `test`, and its key that of `alice`.
///
/// ```
/// use tower_api_key::{Event, EventKind, testing};
///
/// fn line(event: &Event<'_>) -> Option<String> {
///     let is_news = event.kind() == EventKind::Reuse;
///     is_news.then(|| format!("an old key of {} came back", event.subject().unwrap_or("nobody")))
/// }
///
/// let reuse = testing::event(EventKind::Reuse);
/// assert_eq!(line(&reuse).as_deref(), Some("an old key of alice came back"));
/// assert_eq!(line(&testing::event(EventKind::Issued)), None);
/// ```
///
/// # Panics
///
/// If no layer rejects a request with this kind and this cause: an invalid key has a cause, and no other kind has one.
#[track_caller]
pub fn event(kind: EventKind) -> Event<'static> {
    let sample = Sample::get();
    let about = || Event::about(kind, sample.key.record());
    let of_realm = || Event::without_record(kind, Some(&sample.realm), None);
    let of_store = || Event::without_record(kind, None, None);
    match kind {
        EventKind::Rejected { kind, cause } => sample.rejected(kind, cause),
        EventKind::KeyInUrl | EventKind::KeyMisplaced => sample.misplaced(kind),
        EventKind::Authenticated
        | EventKind::Reuse
        | EventKind::Issued
        | EventKind::Imported
        | EventKind::Moved
        | EventKind::Rotated { .. }
        | EventKind::Regranted { .. }
        | EventKind::Narrowed
        | EventKind::Described
        | EventKind::Revoked { .. }
        | EventKind::ExpiresSoon { .. }
        | EventKind::ReplicaDiverged => about(),
        EventKind::MoveFailed | EventKind::UpkeepFailed => {
            of_realm().because_of(Some(&sample.failure))
        }
        EventKind::StoreReloadFailed | EventKind::ReplicaStale => {
            of_store().because_of(Some(&sample.failure))
        }
        EventKind::StoreReloaded | EventKind::ReplicaFresh | EventKind::ReplicaReset => of_store(),
    }
}

/// An event of each kind, and of a refusal of each kind and cause: an observer is to cope with all of them.
///
/// ```
/// use tower_api_key::testing;
///
/// for event in testing::events() {
///     assert!(!event.kind().as_str().is_empty());
/// }
/// ```
pub fn events() -> impl Iterator<Item = Event<'static>> {
    let replaced = Sample::get().key.id();
    let reason = RevocationReason::KeyCompromise;
    let (expires_at, step) = (
        Timestamp::from_unix(1_800_000_000),
        Duration::from_secs(7 * 24 * 60 * 60),
    );
    let others = [
        EventKind::Authenticated,
        EventKind::KeyInUrl,
        EventKind::KeyMisplaced,
        EventKind::Reuse,
        EventKind::Issued,
        EventKind::Imported,
        EventKind::Moved,
        EventKind::MoveFailed,
        EventKind::Rotated { replaced },
        EventKind::Regranted { replaced },
        EventKind::Narrowed,
        EventKind::Described,
        EventKind::Revoked { reason },
        EventKind::ExpiresSoon { expires_at, step },
        EventKind::UpkeepFailed,
        EventKind::StoreReloaded,
        EventKind::StoreReloadFailed,
        EventKind::ReplicaFresh,
        EventKind::ReplicaStale,
        EventKind::ReplicaReset,
        EventKind::ReplicaDiverged,
    ];
    let kinds = KINDS.map(|kind| EventKind::Rejected { kind, cause: None });
    let causes = CAUSES.map(|cause| EventKind::Rejected {
        kind: RejectionKind::Invalid,
        cause: Some(cause),
    });
    others.into_iter().chain(kinds).chain(causes).map(event)
}

/// Those without a cause.
const KINDS: [RejectionKind; 8] = [
    RejectionKind::Missing,
    RejectionKind::Ambiguous,
    RejectionKind::KeyInUrl,
    RejectionKind::KeyMisplaced,
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

/// What the events are about, for as long as the process runs.
struct Sample {
    realm: Realm,
    key: VerifiedKey,
    failure: StoreError,
    refusals: Vec<Refusal>,
}

impl Sample {
    fn get() -> &'static Self {
        static SAMPLE: OnceLock<Sample> = OnceLock::new();
        SAMPLE.get_or_init(|| {
            let kinds = KINDS.into_iter().filter_map(refusal);
            Self {
                realm: realm(),
                key: alice(),
                failure: outage(),
                refusals: kinds.chain(CAUSES.map(invalid_key)).collect(),
            }
        })
    }

    #[track_caller]
    fn rejected(&self, kind: RejectionKind, cause: Option<InvalidCause>) -> Event<'_> {
        let wanted = EventKind::Rejected { kind, cause };
        let mut events = self.refusals.iter().map(|it| it.event(&self.realm));
        match events.find(|event| event.kind() == wanted) {
            Some(event) => event,
            // A guard without a layer reports it.
            None if (kind, cause) == (RejectionKind::NotAuthenticated, None) => {
                Event::without_record(wanted, None, None)
            }
            None => panic!("no layer rejects a request as {kind:?} with the cause {cause:?}"),
        }
    }

    fn misplaced(&self, kind: EventKind) -> Event<'_> {
        let place = match kind {
            EventKind::KeyInUrl => KeyPlace::Uri,
            _ => KeyPlace::Authorization,
        };
        Event::misplaced(kind, &self.realm, place, self.key.id())
    }
}
