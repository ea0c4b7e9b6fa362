//! A copy of the keys that a test brings up to date by hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use tower_api_key::replica::{Changes, Feed, Position, Realms, Sums};
use tower_api_key::store::StoreError;
use tower_api_key::{KeyDigest, KeyRecord};
use tower_api_key_postgres::PostgresStore;

pub(super) struct Copy {
    pub(super) feed: PostgresStore,
    pub(super) realms: Realms,
    pub(super) records: BTreeMap<[u8; 32], Arc<KeyRecord>>,
    pub(super) position: Position,
}

impl Copy {
    /// A copy of all realms.
    pub(super) async fn of(feed: &PostgresStore) -> Self {
        Self::of_realms(feed, Realms::all()).await
    }

    pub(super) async fn of_realms(feed: &PostgresStore, realms: Realms) -> Self {
        let head = feed.head().await.unwrap();
        let mut copy = Self {
            feed: feed.clone(),
            realms,
            records: BTreeMap::new(),
            position: head.position,
        };
        let mut after = None;
        loop {
            let page = feed.page(&copy.realms, after.as_ref()).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(*last.digest());
            for record in page {
                let twice = copy.records.insert(*record.digest().as_bytes(), record);
                assert_eq!(twice, None);
            }
        }
        copy.pull().await;
        copy
    }

    /// Asks for all pages of changes. Returns how many keys there were in them.
    #[track_caller]
    pub(super) fn pull(&mut self) -> impl Future<Output = usize> {
        let pulled = self.try_pull();
        async { pulled.await.unwrap().expect("it is the same history") }
    }

    /// `None`: the history is another one.
    pub(super) async fn try_pull(&mut self) -> Result<Option<usize>, StoreError> {
        let (mut count, mut first, mut after) = (0, None, None::<KeyDigest>);
        loop {
            let asked = self
                .feed
                .changes(&self.realms, &self.position, after.as_ref(), None);
            let Changes::Since(batch) = asked.await? else {
                return Ok(None);
            };
            first.get_or_insert(batch.head.position);
            count += batch.records.len() + batch.gone.len();
            for record in batch.records {
                self.records.insert(*record.digest().as_bytes(), record);
            }
            for digest in batch.gone {
                self.records.remove(digest.as_bytes());
            }
            after = batch.next;
            if after.is_none() {
                break;
            }
        }
        // Later pages are of later states, and what changed in between comes again.
        self.position = first.expect("there is a page");
        Ok(Some(count))
    }

    pub(super) fn sums(&self) -> Sums {
        let mut sums = Sums::new();
        self.records.values().for_each(|record| sums.add(record));
        sums
    }

    /// The sums of the database, at the state to which the copy is brought up.
    pub(super) async fn sums_there(&mut self) -> Sums {
        let asked = self
            .feed
            .changes(&self.realms, &self.position, None, Some(0..=u8::MAX));
        let Changes::Since(batch) = asked.await.unwrap() else {
            panic!("it is another history");
        };
        assert!(batch.next.is_none());
        let sums = batch.sums.clone().expect("they were asked for");
        let head = batch.head.position;
        for record in batch.records {
            self.records.insert(*record.digest().as_bytes(), record);
        }
        for digest in batch.gone {
            self.records.remove(digest.as_bytes());
        }
        self.position = head;
        sums
    }
}
