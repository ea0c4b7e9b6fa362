//! The keys as a ring shows them: in pages, by id, and with their last use.

use proptest::prelude::*;
use tower_api_key::store::ListQuery;
use tower_api_key::{KeyRecordParts, Timestamp};

use super::run::Run;
use super::{Check, now};

impl Run<'_> {
    pub(super) fn look(&mut self, ring: usize, page: usize) -> Check {
        let code = &self.world.rings[ring];
        let keys = &self.reference.keys;
        let known = |key: &usize| self.reference.knows(ring, *key);
        let mut expected: Vec<&KeyRecordParts> = (0..keys.len())
            .filter(known)
            .map(|key| &keys[key].parts)
            .collect();
        expected.sort_by_key(|parts| parts.id);
        let mut shown = Vec::new();
        let mut query = ListQuery::new().limit(page);
        loop {
            let records = now(code.list(&query)).unwrap();
            prop_assert!(records.len() <= page, "a page of {}", records.len());
            shown.extend(records.iter().map(|record| record.to_parts()));
            let Some(next) = records.next() else { break };
            query = query.after(next);
        }
        prop_assert_eq!(shown.iter().collect::<Vec<_>>(), expected, "the pages");
        for (key, expected) in keys.iter().enumerate() {
            let id = expected.parts.id;
            let parts = known(&key).then(|| expected.parts.clone());
            let record = now(code.get(id)).unwrap();
            prop_assert_eq!(record.map(|record| record.to_parts()), parts);
            let used = self.reference.last_uses.get(&id);
            let used = used.filter(|_| known(&key)).copied();
            let last = now(code.last_used(id)).unwrap();
            prop_assert_eq!(last.map(Timestamp::as_unix), used, "the last use of {}", id);
        }
        self.count("look");
        Ok(())
    }
}
