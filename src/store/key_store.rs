//! The port of a store.

use std::any::Any;
use std::future::ready;
use std::sync::Weak;

use super::lookup::{BoxFuture, Found, Lookup};
use super::store_id::StoreId;
use super::{
    Change, ChangeListener, ExpiryClaims, ExpiryLadder, HistoryPage, HistoryQuery, Index, KeyUsage,
    ListQuery, Page, Revoked, StoreError, StoreErrorKind, Target,
};
use crate::access::actor::Actor;
use crate::access::realm::Realm;
use crate::key::KeyId;
use crate::key::digest::KeyDigest;
use crate::record::Revocation;
use crate::time::Timestamp;

/// The storage port.
///
/// # Contract
///
/// - **Atomicity.** [`commit`](Self::commit) applies every write of a change or none, even if its future
///   is dropped half-way. No look-up sees two keys live that a change swaps for one another, none misses
///   a record while it is changed, and an answer of [`list`](Self::list) is one state of the store.
/// - **Compare-and-swap.** A change applies only if the [`Expected`](super::Expected) of each of its writes holds.
///   Otherwise the commit fails with [`StoreErrorKind::Conflict`], or with
///   [`Duplicate`](StoreErrorKind::Duplicate) if a record was to be new. If several changes expect the
///   same version, one applies, in whatever order they name their records.
/// - **Key limit.** A change applies only if each of its [`KeyLimit`](super::KeyLimit)s holds afterwards. Otherwise the
///   commit fails with [`StoreErrorKind::TooManyKeys`], or with the error of a write if that does not
///   apply either. The limit is exact: several changes at the same time never exceed it together, and
///   none is refused below it. A change without writes asks whether its limits hold.
/// - **Revocation.** [`revoke`](Self::revoke) ends every record that its [`Target`] names, all in one
///   commit, and changes nothing else. It expects no version, reads no other column, and depends on no
///   other record: it ends a record that cannot be read, one whose version is at its last number, and
///   one that another writer has just changed. It waits for other writers, and never fails as
///   [`Conflict`](StoreErrorKind::Conflict). Once it has returned, no record that was committed before
///   the call is live, and neither is a key that a commit has put in the place of one of them meanwhile.
///   A version rises by one, unless it is at its last number. A revocation takes any time. If a store
///   cannot hold the time, it keeps the last that it can hold, and does the same in a
///   [`commit`](Self::commit).
/// - **Uniqueness.** An id and a digest are in at most one record of the store, over all realms and
///   within a change. Otherwise the commit fails with [`StoreErrorKind::Duplicate`].
/// - **Visibility.** Every look-up that begins after a commit has returned sees that commit.
/// - **Changes.** A [listener](Self::on_change) hears of a change after look-ups see it.
/// - **Realm.** A record is found, got and listed only in its own realm. A change may write records of
///   several realms.
/// - **Fidelity.** A write puts every field of its record, and the record comes back as it was put:
///   texts to the byte, times to the second. Times of a key that an `i64` cannot hold may be refused with
///   [`StoreErrorKind::Unavailable`], but are never kept as another value. A write that would widen a
///   key, or change a field that is fixed at issue, may be refused too: no rule of this crate makes one.
///   A write of another label or other metadata, and nothing else but the version, is applied, of a
///   revoked key too.
///   If a write does not [describe](super::Write::describes) the key, both are left as they are.
/// - **Listing.** A list holds the records that the query [matches](ListQuery::matches), up to its
///   limit. It is in the order of the ids, which is that of their bytes, or, if the query says so, in
///   that of the times of issue, the newest first. If the query is [in any order](ListQuery::in_any_order), the store may
///   choose another, and ends a page before the limit for it. A list compares texts to the byte, and begins after
///   [`after`](ListQuery::after) whether that record exists or not. [`Page::next`] is the place of the
///   last record, or one after it in an order of the store's, if others come after it, so that pages show everything once, even if keys are issued
///   or removed meanwhile. A record that cannot be read keeps no other from the list: it is in
///   [`Page::unreadable`], with its id, and counts towards the limit. If it is unknown whether it meets
///   a filter, it may be left out.
/// - **Purge.** [`purge`](Self::purge) removes all records that ended by its time and nothing else. A
///   record that another writer holds at that moment may be left for the next. It may take many steps,
///   with commits in between. A record that it removed is unknown, and so is its last use. Its id and
///   its digest are free. A store that removes no records refuses the call as
///   [`Unsupported`](StoreErrorKind::Unsupported).
/// - **Last use.** [`record_uses`](Self::record_uses) moves a key's last use forward and changes nothing
///   else: no field of a record, no version, and no record that is gone. A call may name many keys, and
///   one several times. A time that an `i64` cannot hold may be refused. A store that keeps no last uses
///   refuses these calls as [`Unsupported`](StoreErrorKind::Unsupported).
/// - **Usage.** [`record_usage`](Self::record_usage) [adds](super::KeyUsage::add) to what is known of the uses of a key, and
///   changes nothing else: no field of a record, no version, no last use, and no record that is gone. Calls at the same
///   time all count. A call may name many keys, and one several times. What is known ends with the record. A time that
///   an `i64` cannot hold may be refused. A store that keeps no usage refuses these calls as
///   [`Unsupported`](StoreErrorKind::Unsupported).
/// - **History.** [`history`](Self::history) has an entry for each record that a commit, a revocation or a purge
///   has written or removed, from the moment at which look-ups see it, with the actor of the call. It has none of a
///   change that was refused. Entries outlive the record, and none has a digest or the text of a label or of
///   metadata. They are in the order of their times. Pages show each once, and no two entries have one
///   place. [`forget_history`](Self::forget_history) removes those of one realm from before a time and adds one that
///   says so. Nothing else removes or changes any. A store that keeps no history refuses these calls as
///   [`Unsupported`](StoreErrorKind::Unsupported).
/// - **Expiry notices.** [`claim_expiry_notices`](Self::claim_expiry_notices) gives the notice of a key and a step to one
///   call, however many ask at once, and never again. A key is due if, in the commit of the claim, it is not revoked, was
///   not replaced, has not expired, and its expiry is within a step that is narrower than every step that was claimed
///   before. The nearest step is claimed, and the wider ones with it. If that step does not
///   [count](ExpiryLadder::counts), there is no notice, and whether the step is claimed makes no difference. Pages of a
///   bounded number of keys reach all that are due. A claim changes no record, and is forgotten with it. A store with a
///   history has an [entry](super::HistoryEntry::of_notice) for each notice, from the commit of its claim on. A store that cannot
///   keep claims refuses the call as [`Unsupported`](StoreErrorKind::Unsupported).
/// - **Get many.** [`get_many`](Self::get_many) has one answer for each id, in the order of the ids,
///   which is that of [`get`](Self::get). An id that is named twice is answered twice.
/// - **Tasks.** A [task](Self::spawn) that is taken runs to its end, concurrently with others, or is
///   given back untouched.
/// - **Identity.** Stores whose [`identity`](Self::identity) is the same hold the same records: a commit
///   through one is seen through the other. Stores with separate records have different identities while
///   both live, and the identity of a store never changes.
/// - **Honesty.** If the store cannot answer, it returns an error, never `None`: an error is a 503,
///   `None` is an invalid key. If it can answer, it returns no error. A deadlock or a serialisation
///   failure of a database is a conflict. A list names a record that cannot be read: an answer without
///   it would say that there is no such key.
///
/// [`find`](Self::find) may panic or hang: the ring turns both into a 503. The other calls are
/// management: they take as long as the store does.
///
/// The package `tower-api-key-contract` has a suite that holds a store against every clause except **Changes**, and a guide to a
/// store of your own.
pub trait KeyStore: Send + Sync + 'static {
    /// Looks up the record of a digest in a realm. Requests call it once and, if the key is unknown,
    /// once more for each earlier pepper, so it must not block.
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup;

    /// Runs a task to its end, whatever happens to the caller, or gives it back. The ring puts every
    /// look-up that waits into one, so that a client that hangs up cancels nothing. The default gives it
    /// back. Then the request itself drives the look-up. A store whose look-ups hold a resource, such as
    /// a connection, should hand the task to the runtime that it uses.
    ///
    /// # Errors
    ///
    /// Returns the task if this store does not run tasks.
    fn spawn(&self, task: BoxFuture<'static, ()>) -> Result<(), BoxFuture<'static, ()>> {
        Err(task)
    }

    /// The index in which this store holds all the records of a realm, if it does. The ring reads it while it is
    /// [fresh](super::Freshness), instead of calling [`find`](Self::find), which must give the same answers then.
    fn index(&self, realm: &Realm) -> Option<&Index> {
        let _ = realm;
        None
    }

    /// Has a listener hear of the keys that change, by whatever process, as soon as the store knows. A store that
    /// does not hear of changes forgets the listener, as the default does. It holds a listener no longer than its
    /// ring does.
    fn on_change(&self, listener: Weak<dyn ChangeListener>) {
        let _ = listener;
    }

    /// The identity of the records that this store holds, if that is known. `None` shares them with no
    /// other store. Rings whose stores have one identity promote a key in a single commit, through
    /// either store.
    fn identity(&self) -> Option<StoreId> {
        None
    }

    /// The store itself, for code that knows its type and needs more than the port. `None` if there is
    /// no more. [`KeyRing::store_as`](crate::KeyRing::store_as) finds the store of a ring by it, as a store
    /// with transactions does. A store that wraps another can return that.
    fn as_any(&self) -> Option<&dyn Any> {
        None
    }

    /// Applies a change, whole or not at all.
    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Revokes every record of a realm that the target names, and returns those that it ended, in the
    /// order of their ids. Records that are revoked already stay as they are. `by` says who revokes them, if that is
    /// known, and decides nothing.
    fn revoke<'a>(
        &'a self,
        realm: &'a Realm,
        target: &'a Target,
        revocation: Revocation,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<Revoked, StoreError>>;

    /// The record of an id in a realm.
    fn get<'a>(&'a self, realm: &'a Realm, id: KeyId) -> BoxFuture<'a, Found>;

    /// The records of these ids in a realm, in their order: one answer for each id, so that one damaged
    /// record hides no other. Watches call it. The default gets them one after the other.
    fn get_many<'a>(&'a self, realm: &'a Realm, ids: &'a [KeyId]) -> BoxFuture<'a, Vec<Found>> {
        Box::pin(async move {
            let mut found = Vec::with_capacity(ids.len());
            for &id in ids {
                found.push(self.get(realm, id).await);
            }
            found
        })
    }

    /// The records of a realm that the query asks for, in its order. A store that has them at hand
    /// calls [`Page::select`].
    fn list<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Page, StoreError>>;

    /// Some of the realms in which this store has records, for an operator who names one that has none:
    /// at most a hundred, in the order of their names. The default returns none.
    fn realms(&self) -> BoxFuture<'_, Result<Vec<Realm>, StoreError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// Removes the records of a realm whose [end](crate::KeyRecord::ended_at) is not after `ended_by`, and
    /// returns how many there were. `by` says who asks for it, if that is known. The default fails as [`Unsupported`](StoreErrorKind::Unsupported).
    fn purge<'a>(
        &'a self,
        realm: &'a Realm,
        ended_by: Timestamp,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        let _ = (realm, ended_by, by);
        Box::pin(ready(Err(StoreErrorKind::Unsupported.into())))
    }

    /// Records when keys of a realm were last used. Each last use becomes the later of the stored and
    /// the given time. Keys that are gone are passed over. The default fails as
    /// [`Unsupported`](StoreErrorKind::Unsupported).
    fn record_uses<'a>(
        &'a self,
        realm: &'a Realm,
        uses: &'a [(KeyId, Timestamp)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let _ = (realm, uses);
        Box::pin(ready(Err(StoreErrorKind::Unsupported.into())))
    }

    /// Adds to what is known of the uses of keys of a realm. Keys that are gone are passed over. The default fails as
    /// [`Unsupported`](StoreErrorKind::Unsupported).
    fn record_usage<'a>(
        &'a self,
        realm: &'a Realm,
        usages: &'a [(KeyId, KeyUsage)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let _ = (realm, usages);
        Box::pin(ready(Err(StoreErrorKind::Unsupported.into())))
    }

    /// What is known of the uses of these keys of a realm, in their order. Nothing, if a key is unknown or none of its
    /// uses was tracked. The default fails as [`Unsupported`](StoreErrorKind::Unsupported).
    fn usages<'a>(
        &'a self,
        realm: &'a Realm,
        ids: &'a [KeyId],
    ) -> BoxFuture<'a, Result<Vec<KeyUsage>, StoreError>> {
        let _ = (realm, ids);
        Box::pin(ready(Err(StoreErrorKind::Unsupported.into())))
    }

    /// The entries of the history of a realm that the query asks for, in its order. The default fails as
    /// [`Unsupported`](StoreErrorKind::Unsupported).
    fn history<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a HistoryQuery,
    ) -> BoxFuture<'a, Result<HistoryPage, StoreError>> {
        let _ = (realm, query);
        Box::pin(ready(Err(StoreErrorKind::Unsupported.into())))
    }

    /// Removes the entries of the history of a realm from before a time, and returns how many there were. `by` says
    /// who asks for it, if that is known. The default fails as [`Unsupported`](StoreErrorKind::Unsupported).
    fn forget_history<'a>(
        &'a self,
        realm: &'a Realm,
        before: Timestamp,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        let _ = (realm, before, by);
        Box::pin(ready(Err(StoreErrorKind::Unsupported.into())))
    }

    /// Claims the notices of the keys of a realm whose expiry has come within a step of the ladder by `now`, looking at
    /// `limit` keys at most. The caller is to tell them: nobody else gets them. If the answer is lost, so are its notices, except
    /// in the history. The
    /// default fails as [`Unsupported`](StoreErrorKind::Unsupported).
    fn claim_expiry_notices<'a>(
        &'a self,
        realm: &'a Realm,
        ladder: &'a ExpiryLadder,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'a, Result<ExpiryClaims, StoreError>> {
        let _ = (realm, ladder, now, limit);
        Box::pin(ready(Err(StoreErrorKind::Unsupported.into())))
    }

    /// When these keys of a realm were last used, in their order. `None` if a key is unknown or was
    /// never used. The default fails as [`Unsupported`](StoreErrorKind::Unsupported).
    fn last_uses<'a>(
        &'a self,
        realm: &'a Realm,
        ids: &'a [KeyId],
    ) -> BoxFuture<'a, Result<Vec<Option<Timestamp>>, StoreError>> {
        let _ = (realm, ids);
        Box::pin(ready(Err(StoreErrorKind::Unsupported.into())))
    }
}
