//! Stores whose history is faulty.

use tower_api_key::store::{
    BoxFuture, Change, ExpiryClaims, ExpiryLadder, Found, HistoryKind, HistoryPage, HistoryQuery,
    KeyStore, KeyUsage, ListQuery, Lookup, MemoryStore, Page, Revoked, StoreError, StoreId, Target,
};
use tower_api_key::{Actor, KeyDigest, KeyId, Realm, Revocation, SystemClock, Timestamp};
use tower_api_key_contract::{Clause, contract, contract_without};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    ForgetsWhoCommits,
    ForgetsWhoRevokes,
    ForgetsWhoPurges,
    NotesTheRefused,
    ShowsEveryRealm,
    IgnoresSubjects,
    IgnoresTimes,
    RepeatsOnePerPage,
    NamesNoNextPage,
    IgnoresTheOrder,
    ForgetsASecondMore,
    ForgetsEveryRealm,
    ForgetsNothing,
    NotesNoNotice,
    NotesNoticesTwice,
    Pretends,
}

struct Faulty {
    store: MemoryStore,
    /// The entries that a store without a history would not have.
    other: MemoryStore,
    fault: Fault,
}

impl Faulty {
    fn new(fault: Fault) -> Self {
        Self {
            store: MemoryStore::with_history(SystemClock),
            other: MemoryStore::with_history(SystemClock),
            fault,
        }
    }

    fn times_of_a_notice(&self) -> Option<usize> {
        match self.fault {
            Fault::NotesNoNotice => Some(0),
            Fault::NotesNoticesTwice => Some(2),
            _ => None,
        }
    }

    async fn page(&self, realm: &Realm, query: &HistoryQuery) -> Result<HistoryPage, StoreError> {
        let mut asked = query.clone();
        match self.fault {
            Fault::IgnoresSubjects => asked.subject = None,
            Fault::IgnoresTimes => (asked.since, asked.before) = (None, None),
            Fault::IgnoresTheOrder => asked.oldest_first = false,
            Fault::ShowsEveryRealm => {
                let realms = self.store.realms().await?;
                let mut entries = Vec::new();
                for realm in realms {
                    entries.extend(self.store.history(&realm, query).await?);
                }
                return Ok(HistoryPage::new(entries, query.limit));
            }
            Fault::RepeatsOnePerPage if query.after.is_some() => {
                asked.after = None;
                let all = self.store.history(realm, &asked.clone()).await?;
                let shown = all.into_iter().skip(2).collect();
                return Ok(HistoryPage::new(shown, query.limit));
            }
            Fault::NamesNoNextPage => {
                let page = self.store.history(realm, query).await?;
                return Ok(HistoryPage::new(page.into_iter().collect(), None));
            }
            _ => {}
        }
        let page = self.store.history(realm, &asked).await?;
        if let Some(times) = self.times_of_a_notice()
            && query.limit.is_none()
        {
            let entries = page.into_iter().flat_map(|entry| {
                let is_notice = entry.kind() == HistoryKind::ExpiryNoticed;
                std::iter::repeat_n(entry, if is_notice { times } else { 1 })
            });
            return Ok(HistoryPage::new(entries.collect(), None));
        }
        if self.fault == Fault::NotesTheRefused && query.limit.is_none() {
            let refused = self.other.history(realm, &asked).await?;
            let all = page.into_iter().chain(refused).collect();
            return Ok(HistoryPage::new(all, None));
        }
        Ok(page)
    }
}

impl KeyStore for Faulty {
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        self.store.find(realm, digest)
    }

    fn identity(&self) -> Option<StoreId> {
        self.store.identity()
    }

    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            if self.fault == Fault::ForgetsWhoCommits {
                return self.store.commit(&change.clone().by(None)).await;
            }
            let done = self.store.commit(change).await;
            if done.is_err() {
                let _ = self.other.commit(change).await;
            }
            done
        })
    }

    fn revoke<'a>(
        &'a self,
        realm: &'a Realm,
        target: &'a Target,
        revocation: Revocation,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<Revoked, StoreError>> {
        let by = by.filter(|_| self.fault != Fault::ForgetsWhoRevokes);
        self.store.revoke(realm, target, revocation, by)
    }

    fn get<'a>(&'a self, realm: &'a Realm, id: KeyId) -> BoxFuture<'a, Found> {
        self.store.get(realm, id)
    }

    fn list<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        self.store.list(realm, query)
    }

    fn realms(&self) -> BoxFuture<'_, Result<Vec<Realm>, StoreError>> {
        self.store.realms()
    }

    fn purge<'a>(
        &'a self,
        realm: &'a Realm,
        ended_by: Timestamp,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        let by = by.filter(|_| self.fault != Fault::ForgetsWhoPurges);
        self.store.purge(realm, ended_by, by)
    }

    fn claim_expiry_notices<'a>(
        &'a self,
        realm: &'a Realm,
        ladder: &'a ExpiryLadder,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'a, Result<ExpiryClaims, StoreError>> {
        self.store.claim_expiry_notices(realm, ladder, now, limit)
    }

    fn record_uses<'a>(
        &'a self,
        realm: &'a Realm,
        uses: &'a [(KeyId, Timestamp)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.store.record_uses(realm, uses)
    }

    fn last_uses<'a>(
        &'a self,
        realm: &'a Realm,
        ids: &'a [KeyId],
    ) -> BoxFuture<'a, Result<Vec<Option<Timestamp>>, StoreError>> {
        self.store.last_uses(realm, ids)
    }

    fn record_usage<'a>(
        &'a self,
        realm: &'a Realm,
        usages: &'a [(KeyId, KeyUsage)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.store.record_usage(realm, usages)
    }

    fn usages<'a>(
        &'a self,
        realm: &'a Realm,
        ids: &'a [KeyId],
    ) -> BoxFuture<'a, Result<Vec<KeyUsage>, StoreError>> {
        self.store.usages(realm, ids)
    }

    fn history<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a HistoryQuery,
    ) -> BoxFuture<'a, Result<HistoryPage, StoreError>> {
        Box::pin(async move {
            match self.fault {
                Fault::Pretends => Ok(HistoryPage::default()),
                _ => self.page(realm, query).await,
            }
        })
    }

    fn forget_history<'a>(
        &'a self,
        realm: &'a Realm,
        before: Timestamp,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move {
            match self.fault {
                Fault::ForgetsNothing => return Ok(0),
                Fault::ForgetsEveryRealm => {
                    for other in self.store.realms().await? {
                        if other != *realm {
                            self.store.forget_history(&other, before, by).await?;
                        }
                    }
                }
                Fault::ForgetsASecondMore => {
                    let later = Timestamp::from_unix(before.as_unix() + 1);
                    return self.store.forget_history(realm, later, by).await;
                }
                _ => {}
            }
            self.store.forget_history(realm, before, by).await
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_with_a_history_keeps_the_contract() {
    contract(async || MemoryStore::with_history(SystemClock))
        .await
        .unwrap();
    contract(async || Faulty::new(Fault::None)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_fault_of_a_history_is_caught() {
    for (fault, seen) in [
        (
            Fault::ForgetsWhoCommits,
            "is in the history as added by None",
        ),
        (Fault::ForgetsWhoRevokes, "does not say who asked for it"),
        (Fault::ForgetsWhoPurges, "after a purge"),
        (
            Fault::NotesTheRefused,
            "one that was refused made 6 entries",
        ),
        (Fault::ShowsEveryRealm, "two keys of a subject were revoked"),
        (Fault::IgnoresSubjects, "subject: Some(\"bob\")"),
        (Fault::IgnoresTimes, "since: Some"),
        (
            Fault::RepeatsOnePerPage,
            "pages do not show each entry once",
        ),
        (Fault::NamesNoNextPage, "pages do not show each entry once"),
        (Fault::IgnoresTheOrder, "is in the history as"),
        (Fault::ForgetsASecondMore, "not from before the time"),
        (Fault::ForgetsEveryRealm, "another realm were forgotten"),
        (Fault::ForgetsNothing, "and 0 were counted"),
        (
            Fault::NotesNoNotice,
            "after the first claim at the step of 30 days, the history has the notices []",
        ),
        (
            Fault::NotesNoticesTwice,
            "after the first claim at the step of 30 days, the history has",
        ),
        (Fault::Pretends, "made 0 entries"),
    ] {
        let verdict = contract(async || Faulty::new(fault)).await;
        let violation = verdict.expect_err(&format!("{fault:?}"));
        assert_eq!(violation.clause(), Clause::History, "{fault:?}");
        assert!(violation.seen().contains(seen), "{fault:?}: {violation}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_without_a_history_says_so() {
    let without = [Clause::History];
    contract_without(&without, async || MemoryStore::new())
        .await
        .unwrap();
    let violation = contract(async || MemoryStore::new()).await.unwrap_err();
    assert_eq!(violation.clause(), Clause::Honesty);
    let pretends = async || Faulty::new(Fault::Pretends);
    let violation = contract_without(&without, pretends).await.unwrap_err();
    assert_eq!(violation.clause(), Clause::History);
}
