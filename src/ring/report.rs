//! Reports on the keys of a realm that need attention: unused ones, and ones that end too soon or never.
//!
//! [`KeyRing::report`] judges the keys page by page, as [`KeyRing::list`] lists them. It changes nothing, and blocks no
//! writer. [`guide::reports`](crate::guide::reports) has an example, and what mends each [`Finding`].

mod finding;
mod judging;
mod report_page;
mod report_query;

use std::sync::Arc;

pub use finding::{Finding, FindingKind};
use judging::{Found, findings, findings_on_usage};
pub use report_page::{ReportPage, ReportedKey};
pub use report_query::ReportQuery;

use super::KeyRing;
use crate::error::{Error, ErrorKind};
use crate::key::KeyId;
use crate::record::{KeyRecord, KeyView};
use crate::store::{KeyUsage, ListQuery, StoreError, StoreErrorKind};
use crate::time::Timestamp;

impl KeyRing {
    /// Judges the next keys of this realm, and returns those that have findings, in the order of their ids. The pages follow
    /// each other in the order in which the store reads its keys the fastest.
    ///
    /// A page judges up to [`limit`](ReportQuery::limit) keys, so that it may have none with findings although more
    /// keys follow: the report ends if [`ReportPage::next`] is `None`. Keys that are over have no findings. All of a
    /// page is judged by one reading of the ring's clock.
    ///
    /// The uses are those that the store knows: see [`last_used`](Self::last_used). For a store that keeps none,
    /// [`ReportPage::knows_uses`] is `false`, and no finding is about uses.
    ///
    /// What the keys were used for is known from rings that track [scopes](crate::KeyRingBuilder::track_scope_use) or
    /// [networks](crate::KeyRingBuilder::track_networks): see [`usages`](Self::usages). For a store that keeps none,
    /// [`ReportPage::knows_usage`] is `false`.
    ///
    /// A page costs the store a list of the keys, a call for their last uses, and a list of its lineage for each used key
    /// in a grace period.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_api_key::report::{FindingKind, ReportQuery};
    /// # use tower_api_key::{Grant, KeyRing, ManualClock, Timestamp, store::MemoryStore};
    ///
    /// const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let clock = ManualClock::new(Timestamp::from_unix(1_800_000_000));
    /// # let ring = KeyRing::builder("acme").clock(clock.clone()).build(MemoryStore::new())?;
    /// let issued = ring.issue(Grant::new("alice").expires_in(60 * DAY)).await?;
    /// # clock.advance(50 * DAY);
    ///
    /// // Fifty days later:
    /// let query = ReportQuery::new().expiring_within(14 * DAY).never_used_for(30 * DAY);
    /// let page = ring.report(&query).await?;
    /// let [key] = page.keys() else { unreachable!() };
    /// assert_eq!(key.view().record().id(), issued.record().id());
    /// let kinds: Vec<_> = key.findings().iter().map(|finding| finding.kind()).collect();
    /// assert_eq!(kinds, [FindingKind::NeverUsed, FindingKind::Expiring]);
    /// assert_eq!(page.next(), None);
    /// # Ok::<(), tower_api_key::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Clock`] if the clock failed: every key would be over, and none had a finding.
    /// - [`ErrorKind::Store`] if the store failed. A record that cannot be read is no failure: it is in
    ///   [`ReportPage::unreadable`].
    pub async fn report(&self, query: &ReportQuery) -> Result<ReportPage, Error> {
        let now = self.0.reading().latest;
        if now == Timestamp::MAX {
            return Err(ErrorKind::Clock.into());
        }
        // Without a filter of time, which only few keys may meet, so that a store counts them before each page.
        let list = query.list();
        let page = self.list(&list).await?;
        let uses = match page.last_uses() {
            Some(uses) => Some(uses.to_vec()),
            None => self.known_uses(&page).await?,
        };
        let mut usages = self.known_usages(&page, query).await?;
        let mut report = ReportPage::new(page.len(), uses.is_some(), page.next());
        report.unreadable = page.unreadable().to_vec();
        report.knows_usage = usages.is_some();
        for (place, record) in page.into_iter().enumerate() {
            let last_used = uses.as_ref().and_then(|uses| uses[place]);
            report.used += usize::from(last_used.is_some());
            let usage = usages
                .as_mut()
                .map(|usages| std::mem::take(&mut usages[place]));
            let usage = usage.unwrap_or_default();
            let mut found = match findings(&record, last_used, uses.is_some(), query, now) {
                Found::All(findings) => findings,
                Found::UsedInGrace { last_used } => {
                    let after = self.used_after_replacement(&record, last_used).await?;
                    after.into_iter().collect()
                }
            };
            found.extend(findings_on_usage(&record, &usage, query, now));
            found.retain(|finding| query.asks(finding));
            if !found.is_empty() {
                let view = KeyView::new(record, now).last_used(last_used);
                report.keys.push(ReportedKey::new(view, found, usage));
            }
        }
        let id = |key: &ReportedKey| key.view().record().id();
        if !report.keys.is_sorted_by_key(id) {
            report.keys.sort_by_cached_key(id);
        }
        Ok(report)
    }

    /// What each of these keys was used for, in their order. `None` if the store keeps none, or no one asks.
    async fn known_usages(
        &self,
        records: &[Arc<KeyRecord>],
        query: &ReportQuery,
    ) -> Result<Option<Vec<KeyUsage>>, Error> {
        if !query.asks_for_usage() {
            return Ok(None);
        }
        let ids: Vec<KeyId> = records.iter().map(|record| record.id()).collect();
        match self.0.store.usages(&self.0.realm, &ids).await {
            Err(error) if error.kind() == StoreErrorKind::Unsupported => Ok(None),
            Ok(usages) if usages.len() == ids.len() => Ok(Some(usages)),
            Ok(_) => Err(StoreError::unavailable("the store answered for other keys").into()),
            Err(error) => Err(error.into()),
        }
    }

    /// A key in its grace period was used. It is a finding if that was after the issue of the key that took its place. If
    /// no later key of its lineage is there to say when that was, it is one too.
    async fn used_after_replacement(
        &self,
        record: &KeyRecord,
        last_used: Timestamp,
    ) -> Result<Option<Finding>, Error> {
        let lineage = ListQuery::new().lineage(record.lineage());
        let lineage = self.list(&lineage).await?;
        let later = lineage
            .iter()
            .filter(|other| other.generation() > record.generation());
        let successor = later.min_by_key(|other| other.generation());
        let replaced_at = successor.map(|successor| successor.issued_at());
        // A use in the second of the rotation may have been before it.
        if replaced_at.is_some_and(|at| last_used <= at) {
            return Ok(None);
        }
        Ok(Some(Finding::UsedAfterReplacement {
            last_used,
            replaced_by: successor.map(|successor| successor.id()),
        }))
    }
}
