//! The keys that will expire, and the steps that were claimed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::access::realm::Realm;
use crate::key::KeyId;
use crate::record::KeyRecord;
use crate::store::{ExpiryClaims, ExpiryLadder, ExpiryNotice};
use crate::time::Timestamp;

/// The claim of a key of which no step was claimed. No step is as wide.
const UNCLAIMED: Duration = Duration::MAX;

/// In the order of the narrowest step that was claimed, and then of the expiry: the due keys of each claim lie together.
type Due = BTreeSet<(Duration, Timestamp, KeyId)>;

/// The keys that are neither revoked nor replaced, and expire.
#[derive(Default)]
pub(super) struct Expiring {
    /// `None` until notices are claimed, so that a store without notices keeps nothing.
    realms: Option<BTreeMap<Realm, Due>>,
    claimed: BTreeMap<KeyId, Duration>,
}

impl Expiring {
    pub(super) fn put(&mut self, replaced: Option<&KeyRecord>, record: &KeyRecord) {
        if let Some(replaced) = replaced {
            self.take_out(replaced);
        }
        if let (Some(realms), Some(expires_at)) = (&mut self.realms, expiry_of(record)) {
            let claim = self.claimed.get(&record.id()).copied();
            let place = (claim.unwrap_or(UNCLAIMED), expires_at, record.id());
            realms
                .entry(record.realm().clone())
                .or_default()
                .insert(place);
        }
    }

    pub(super) fn remove(&mut self, record: &KeyRecord) {
        self.take_out(record);
        self.claimed.remove(&record.id());
    }

    fn take_out(&mut self, record: &KeyRecord) {
        let Some(realms) = &mut self.realms else {
            return;
        };
        if let (Some(due), Some(expires_at)) = (realms.get_mut(record.realm()), expiry_of(record)) {
            let claim = self.claimed.get(&record.id()).copied();
            due.remove(&(claim.unwrap_or(UNCLAIMED), expires_at, record.id()));
            if due.is_empty() {
                realms.remove(record.realm());
            }
        }
    }

    /// Claims what is due. `all` are the records, for the first call, and `get` finds one of them.
    pub(super) fn claim<'r>(
        &mut self,
        (realm, ladder): (&Realm, &ExpiryLadder),
        (now, limit): (Timestamp, usize),
        all: impl Iterator<Item = &'r Arc<KeyRecord>>,
        get: impl Fn(KeyId) -> Option<&'r Arc<KeyRecord>>,
    ) -> ExpiryClaims {
        if self.realms.is_none() {
            self.realms = Some(BTreeMap::new());
            for record in all {
                self.put(None, record);
            }
        }
        let realms = self.realms.as_mut();
        let Some(due) = realms.and_then(|realms| realms.get_mut(realm)) else {
            return ExpiryClaims::default();
        };
        let found = found(due, ladder, now, limit);
        let more = found.len() >= limit;
        let mut notices = Vec::new();
        for (place, step) in found {
            let (_, expires_at, id) = place;
            due.remove(&place);
            due.insert((step, expires_at, id));
            self.claimed.insert(id, step);
            let Some(record) = get(id) else { continue };
            if ExpiryLadder::counts(step, record.issued_at(), expires_at) {
                let subject = record.subject().to_string();
                notices.push(ExpiryNotice::new(id, Some(subject), expires_at, step));
            }
        }
        ExpiryClaims::new(notices, more)
    }

    #[cfg(test)]
    pub(super) fn sizes(&self) -> [usize; 2] {
        let places = self.realms.iter().flatten().map(|(_, due)| due.len());
        [places.sum(), self.claimed.len()]
    }
}

/// The expiry of a key that may get a notice.
fn expiry_of(record: &KeyRecord) -> Option<Timestamp> {
    let is_at_the_head = record.revocation().is_none() && record.grace_ends_at().is_none();
    record.expires_at().filter(|_| is_at_the_head)
}

/// Up to this many keys that are due, each with its nearest step.
fn found(
    due: &Due,
    ladder: &ExpiryLadder,
    now: Timestamp,
    limit: usize,
) -> Vec<((Duration, Timestamp, KeyId), Duration)> {
    let mut found = Vec::new();
    // A key is over at its expiry.
    let later = Timestamp::from_unix(now.as_unix().saturating_add(1));
    let mut next = Some(Duration::ZERO);
    while let Some(least) = next
        && found.len() < limit
    {
        // One descent for each claim that some key has: for as many as there are steps, and one.
        let claims = due.range((least, Timestamp::from_unix(0), KeyId::FIRST)..);
        let Some(&(claim, ..)) = claims.clone().next() else {
            break;
        };
        next = claim.checked_add(Duration::from_secs(1));
        let Some(below) = ladder.below(claim) else {
            continue;
        };
        let until = now.checked_add(below).unwrap_or(Timestamp::MAX);
        let places = due.range((claim, later, KeyId::FIRST)..);
        let places = places.take_while(|(of, expires_at, _)| *of == claim && *expires_at <= until);
        let stepped = places.filter_map(|place| Some((*place, ladder.nearest(place.1, now)?)));
        found.extend(stepped.take(limit - found.len()));
    }
    found
}
