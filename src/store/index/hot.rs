//! The keys that a thread serves most.
//!
//! A verdict counts a reference to its record. If threads serve one key at once, they write one count, and wait
//! for its cache line. So each thread keeps a reference of its own to the records that it finds most, and
//! counts that one. It never decides what a look-up finds: the index does, and what is kept here only has
//! another count.

use std::cell::RefCell;
use std::sync::Arc;

use crate::record::{Held, KeyRecord};
use crate::support::apart::Apart;

/// A key is hot if it is more than half of what its slot has seen, by this many look-ups.
const HOT: u8 = 16;
const SLOTS: usize = 16;

/// Keys whose digests begin alike, of which one may be hot.
struct Slot {
    /// The record that leads, by its address, and by how many look-ups it does: the vote of Boyer and Moore.
    leader: usize,
    lead: u8,
    hot: Option<Arc<Apart<Arc<KeyRecord>>>>,
}

thread_local! {
    static OF_THREAD: RefCell<[Slot; SLOTS]> =
        const { RefCell::new([const { Slot { leader: 0, lead: 0, hot: None } }; SLOTS]) };
}

/// A reference to a record that was found, by the count that the fewest threads write.
#[inline]
pub(super) fn held(record: &Arc<KeyRecord>) -> Held {
    let hot = OF_THREAD.try_with(|slots| {
        let mut slots = slots.try_borrow_mut().ok()?;
        let slot = usize::from(record.digest().as_bytes()[0]) % SLOTS;
        slots[slot].hot(record)
    });
    // A thread that ends has none.
    match hot {
        Ok(Some(hot)) => Held::Hot(hot),
        _ => Held::Shared(Arc::clone(record)),
    }
}

impl Slot {
    #[inline]
    fn hot(&mut self, record: &Arc<KeyRecord>) -> Option<Arc<Apart<Arc<KeyRecord>>>> {
        if let Some(hot) = &self.hot
            && Arc::ptr_eq(&hot.0, record)
        {
            // Its vote is against the leader, which would take its place.
            self.lead = self.lead.saturating_sub(1);
            return Some(Arc::clone(hot));
        }
        let address = Arc::as_ptr(record).addr();
        if self.leader == address {
            self.lead += 1;
            if self.lead >= HOT {
                return Some(self.promote(record));
            }
        } else if self.lead > 0 {
            self.lead -= 1;
        } else {
            self.leader = address;
        }
        None
    }

    #[cold]
    fn promote(&mut self, record: &Arc<KeyRecord>) -> Arc<Apart<Arc<KeyRecord>>> {
        self.lead = 0;
        let hot = Arc::new(Apart(Arc::clone(record)));
        self.hot = Some(Arc::clone(&hot));
        hot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{KeyRecordParts, Revocation, RevocationReason};
    use crate::store::{Freshness, Index};
    use crate::{KeyDigest, KeyId, Realm, Timestamp};

    fn parts(key: u8) -> KeyRecordParts {
        // All of them in one slot.
        let digest = KeyDigest::from_bytes([7, key].repeat(16).try_into().unwrap());
        let realm = Realm::new("acme").unwrap();
        let id = KeyId::from_hash([key; 16]);
        KeyRecordParts::new(
            id,
            realm,
            digest,
            "alice".parse().unwrap(),
            Timestamp::from_unix(9),
        )
    }

    fn answer(index: &Index, parts: &KeyRecordParts) -> Option<Held> {
        let proof = index.proof().expect("it is fresh");
        index.look_up(&proof, &parts.realm, &parts.digest)
    }

    #[track_caller]
    fn found(index: &Index, parts: &KeyRecordParts) -> Held {
        answer(index, parts).expect("the index holds it")
    }

    #[test]
    fn a_key_that_leads_its_slot_is_hot() {
        let index = Index::new(Freshness::always());
        let (often, seldom) = (parts(1), parts(2));
        index.put(KeyRecord::from(often.clone()));
        index.put(KeyRecord::from(seldom.clone()));
        let is_hot = |parts| matches!(found(&index, parts), Held::Hot(_));

        for _ in 0..usize::from(HOT) * 4 {
            assert!(!is_hot(&often) && !is_hot(&seldom));
        }
        for _ in 0..2 * HOT {
            is_hot(&often);
        }
        for _ in 0..usize::from(HOT) * 4 {
            assert!(is_hot(&often) && !is_hot(&seldom));
        }
        assert_eq!(found(&index, &often).id(), often.id);
        assert_eq!(found(&index, &seldom).id(), seldom.id);
    }

    #[test]
    fn r32_what_a_thread_keeps_never_answers_in_the_place_of_the_index() {
        let index = Index::new(Freshness::always());
        let mut parts = parts(3);
        index.put(KeyRecord::from(parts.clone()));
        for _ in 0..2 * HOT {
            assert_eq!(found(&index, &parts).revocation(), None);
        }
        assert!(matches!(found(&index, &parts), Held::Hot(_)));

        parts.version += 1;
        parts.revocation = Some(Revocation::new(
            Timestamp::from_unix(10),
            RevocationReason::KeyCompromise,
        ));
        index.put(KeyRecord::from(parts.clone()));
        assert_eq!(found(&index, &parts).revocation(), parts.revocation);

        assert!(index.remove(&parts.digest, parts.version));
        assert!(answer(&index, &parts).is_none());
    }
}
