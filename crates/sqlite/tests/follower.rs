//! The change feed: what it tells, and what it refuses to go on from.

mod histories;
mod log;
mod processes;
mod replicas;
mod staleness;

use std::collections::BTreeMap;
use std::sync::Arc;

use tower_api_key::replica::{Changes, Feed, Position, Realms, Sums};
use tower_api_key::store::StoreError;
use tower_api_key::{KeyDigest, KeyRecord};
use tower_api_key_sqlite::SqliteStore;

/// A copy of the keys in a file, which follows the feed as a replica does.
struct Copy {
    store: SqliteStore,
    realms: Realms,
    records: BTreeMap<[u8; 32], Arc<KeyRecord>>,
    position: Position,
}

/// What a pull came to.
#[derive(Debug, PartialEq, Eq)]
enum Pulled {
    /// How many keys were in the answer.
    Since(usize),
    Lost,
}

impl Copy {
    async fn of(store: &SqliteStore) -> Self {
        Self::of_realms(store, Realms::all()).await
    }

    async fn of_realms(store: &SqliteStore, realms: Realms) -> Self {
        let head = store.head().await.unwrap();
        let mut copy = Self {
            store: store.clone(),
            realms,
            records: BTreeMap::new(),
            position: head.position,
        };
        let mut after = None;
        loop {
            let page = store.page(&copy.realms, after.as_ref()).await.unwrap();
            let Some(last) = page.last() else {
                break;
            };
            let digests: Vec<_> = page
                .iter()
                .map(|record| *record.digest().as_bytes())
                .collect();
            assert!(digests.is_sorted(), "a page is in the order of the digests");
            assert!(after.is_none_or(|after: KeyDigest| *after.as_bytes() < digests[0]));
            after = Some(*last.digest());
            copy.put(page);
        }
        assert_ne!(copy.pull().await, Pulled::Lost);
        copy
    }

    fn put(&mut self, records: Vec<Arc<KeyRecord>>) {
        for record in records {
            self.records.insert(*record.digest().as_bytes(), record);
        }
    }

    async fn try_pull(&mut self) -> Result<Pulled, StoreError> {
        let (mut first, mut after, mut keys) = (None, None, 0);
        loop {
            let is_first = after.is_none();
            let sums_of = Some(0..=u8::MAX);
            let (realms, since) = (&self.realms, &self.position);
            let changes = self.store.changes(realms, since, after.as_ref(), sums_of);
            let Changes::Since(batch) = changes.await? else {
                return Ok(Pulled::Lost);
            };
            keys += batch.records.len() + batch.gone.len();
            self.put(batch.records);
            for digest in batch.gone {
                self.records.remove(digest.as_bytes());
            }
            assert_eq!(batch.sums.is_some(), is_first);
            // The sums are of the very state of the answer.
            if let (Some(sums), None) = (batch.sums, batch.next) {
                assert_eq!(self.sums().differing(&sums), [] as [u8; 0]);
            }
            first.get_or_insert(batch.head.position);
            after = batch.next;
            if after.is_none() {
                break;
            }
        }
        self.position = first.expect("a first page");
        Ok(Pulled::Since(keys))
    }

    /// What changed, applied. If it is one page, the copy is then what the file holds, to the checksum.
    async fn pull(&mut self) -> Pulled {
        self.try_pull().await.unwrap()
    }

    fn sums(&self) -> Sums {
        let mut sums = Sums::new();
        self.records.values().for_each(|record| sums.add(record));
        sums
    }

    fn get(&self, digest: &KeyDigest) -> Option<&KeyRecord> {
        self.records.get(digest.as_bytes()).map(Arc::as_ref)
    }

    /// Whether it holds the key, and the key is not revoked.
    fn is_live(&self, digest: &KeyDigest) -> bool {
        self.get(digest)
            .is_some_and(|record| record.revocation().is_none())
    }
}
