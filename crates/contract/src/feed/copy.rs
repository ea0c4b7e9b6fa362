//! A copy of the records of a feed, kept as a replica keeps one.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use tower_api_key::replica::{Batch, Changes, Feed, Position, Realms, Sums};
use tower_api_key::{KeyDigest, KeyRecord};

use crate::trial::{Trial, failed};
use crate::violation::Violation;

pub(super) struct Copy<S> {
    trial: Trial<S>,
    realms: Realms,
    records: BTreeMap<[u8; 32], Arc<KeyRecord>>,
    position: Position,
}

impl<S: Feed> Copy<S> {
    /// A copy of what is there now.
    pub(super) async fn new(trial: &Trial<S>, realms: Realms) -> Result<Self, Violation> {
        let mut copy = Self::at_head(trial, realms).await?;
        copy.load().await?;
        copy.pull().await?;
        Ok(copy)
    }

    /// An empty copy at the present position.
    pub(super) async fn at_head(trial: &Trial<S>, realms: Realms) -> Result<Self, Violation> {
        let head = trial.store.head().await;
        let head = head.map_err(|error| failed("head", &error))?;
        trial.require(
            head.longest_staleness >= head.staleness,
            "the longest staleness of late was shorter than the one now",
        )?;
        Ok(Self {
            trial: trial.clone(),
            realms,
            records: BTreeMap::new(),
            position: head.position,
        })
    }

    /// Puts all pages of records into the copy. Returns how many pages there were, without the last.
    pub(super) async fn load(&mut self) -> Result<usize, Violation> {
        let (mut after, mut count) = (None::<KeyDigest>, 0);
        loop {
            let page = self.trial.store.page(&self.realms, after.as_ref()).await;
            let page = page.map_err(|error| failed("page", &error))?;
            let Some(last) = page.last().map(|record| *record.digest()) else {
                return Ok(count);
            };
            let digests = page.iter().map(|record| record.digest().as_bytes());
            let ascends = after
                .iter()
                .map(KeyDigest::as_bytes)
                .chain(digests)
                .is_sorted_by(|one, next| one < next);
            self.trial
                .require(ascends, "a page was not in the order of the digests")?;
            for record in page {
                self.put(record)?;
            }
            (after, count) = (Some(last), count + 1);
        }
    }

    /// Brings the copy up to date. Returns how many pages of changes there were.
    pub(super) async fn pull(&mut self) -> Result<usize, Violation> {
        let (mut first, mut after, mut count) = (None, None, 0);
        loop {
            let batch = self.ask(after.as_ref(), None).await?;
            count += 1;
            let next = batch.next;
            let position = self.apply(batch, after.as_ref())?;
            first.get_or_insert(position);
            after = next;
            if after.is_none() {
                break;
            }
        }
        if let Some(position) = first {
            self.position = position;
        }
        Ok(count)
    }

    /// The page of changes after this digest, with the checksums of these buckets.
    pub(super) async fn ask(
        &self,
        after: Option<&KeyDigest>,
        sums_of: Option<RangeInclusive<u8>>,
    ) -> Result<Batch, Violation> {
        let asked = changes(&self.trial, &self.realms, &self.position, after, sums_of);
        match asked.await? {
            Changes::Since(batch) => Ok(batch),
            Changes::Lost => self
                .trial
                .broken("a position of the same history was answered with Lost"),
        }
    }

    /// Puts a page of changes into the copy, and returns its position.
    pub(super) fn apply(
        &mut self,
        batch: Batch,
        after: Option<&KeyDigest>,
    ) -> Result<Position, Violation> {
        let next = batch.next.map(|digest| *digest.as_bytes());
        let is_in_page = |digest: &KeyDigest| {
            after.is_none_or(|after| after.as_bytes() < digest.as_bytes())
                && next.is_none_or(|next| *digest.as_bytes() <= next)
        };
        let records = batch.records.iter().map(|record| record.digest());
        self.trial.require(
            records.chain(&batch.gone).all(is_in_page),
            "a page of changes had a digest that is of another page",
        )?;
        for record in batch.records {
            self.trial.require(
                !batch.gone.contains(record.digest()),
                "a page of changes had a record and named it as gone",
            )?;
            self.put(record)?;
        }
        for digest in batch.gone {
            self.records.remove(digest.as_bytes());
        }
        Ok(batch.head.position)
    }

    fn put(&mut self, record: Arc<KeyRecord>) -> Result<(), Violation> {
        self.trial.require(
            self.realms.contains(record.realm()),
            "a record of a realm that was not asked for was in an answer",
        )?;
        self.records.insert(*record.digest().as_bytes(), record);
        Ok(())
    }

    pub(super) fn go_to(&mut self, position: Position) {
        self.position = position;
    }

    pub(super) fn position(&self) -> &Position {
        &self.position
    }

    pub(super) fn get(&self, record: &KeyRecord) -> Option<&Arc<KeyRecord>> {
        self.records.get(record.digest().as_bytes())
    }

    /// The version of the record with this digest.
    pub(super) fn version(&self, digest: &[u8; 32]) -> Option<u64> {
        self.records.get(digest).map(|record| record.version())
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn sums(&self) -> Sums {
        self.sums_of(&(0..=u8::MAX))
    }

    pub(super) fn sums_of(&self, buckets: &RangeInclusive<u8>) -> Sums {
        let mut sums = Sums::new();
        let records = self.records.iter();
        let records = records.filter(|(digest, _)| buckets.contains(&digest[0]));
        records.for_each(|(_, record)| sums.add(record));
        sums
    }

    /// Requires that the copy has exactly this record.
    pub(super) fn shows(&self, record: &KeyRecord, when: &str) -> Result<(), Violation> {
        let seen = self.get(record);
        self.trial.require(
            seen.is_some_and(|seen| **seen == *record),
            format!("{when}, the changes did not bring the record as it was committed: {seen:?}"),
        )
    }

    /// Requires that the copy has no record of this digest.
    pub(super) fn hides(&self, record: &KeyRecord, when: &str) -> Result<(), Violation> {
        self.trial.require(
            self.get(record).is_none(),
            format!("{when}, the digest was not gone"),
        )
    }
}

pub(super) async fn changes<S: Feed>(
    trial: &Trial<S>,
    realms: &Realms,
    since: &Position,
    after: Option<&KeyDigest>,
    sums_of: Option<RangeInclusive<u8>>,
) -> Result<Changes, Violation> {
    let changes = trial.store.changes(realms, since, after, sums_of).await;
    changes.map_err(|error| failed("changes", &error))
}
