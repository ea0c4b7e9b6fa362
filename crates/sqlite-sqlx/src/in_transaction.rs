//! The operations of a ring in a transaction of the application.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use sqlx::sqlite::SqliteConnection;
use tokio::sync::mpsc;
use tower_api_key::store::{HistoryPage, HistoryQuery, StoreErrorKind, StoreId};
use tower_api_key::{
    Description, Error, Grant, Issued, KeyDigest, KeyId, KeyRecord, KeyRing, Narrowing,
    RevocationReason, Unannounced,
};

use super::SqlxSqliteStore;
use super::borrowed::Borrowed;
use super::calls::{Call, Port};
use super::place::because;

/// The operations of a [`KeyRing`] in a transaction that the application has begun, from
/// [`join`](Self::join).
///
/// The application's own change and the change of the keys are committed together, or neither is:
///
/// ```
/// use tower_api_key::{Grant, KeyRing};
/// use tower_api_key_sqlite_sqlx::sqlx::{self, sqlite::SqlitePool};
/// use tower_api_key_sqlite_sqlx::{InTransaction, SqlxSqliteStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let pool = SqlitePool::connect("sqlite::memory:").await?;
/// # sqlx::query("CREATE TABLE users (name TEXT PRIMARY KEY, role TEXT)").execute(&pool).await?;
/// # sqlx::query("INSERT INTO users VALUES ('alice', 'reader')").execute(&pool).await?;
/// # SqlxSqliteStore::migrate(&pool).await?;
/// let ring = KeyRing::builder("acme").build(SqlxSqliteStore::from_pool(pool.clone()).await?)?;
/// let old = ring.issue(Grant::new("alice").scopes(["orders:read"])).await?;
///
/// // Makes a user an editor, and replaces the key, which is dead once this is committed.
/// let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
/// sqlx::query("UPDATE users SET role = 'editor' WHERE name = 'alice'")
///     .execute(&mut *transaction)
///     .await?;
///
/// let mut keys = InTransaction::join(&ring, &mut transaction).await?;
/// let grant = Grant::new("alice").scopes(["orders:read", "orders:write"]);
/// let issued = keys.regrant(old.id(), grant).await?;
/// let unannounced = keys.finish();
///
/// transaction.commit().await?;
/// unannounced.announce();
/// assert!(ring.verify(old.secret().expose().as_bytes()).await.is_err());
/// assert!(ring.verify(issued.secret().expose().as_bytes()).await.is_ok());
/// # Ok(())
/// # }
/// ```
///
/// # What holds until the commit
///
/// - No other connection sees a change before the commit. A secret that was issued is dead until then, and
///   for good if the transaction is rolled back: hand it out after the commit. A key that was revoked is
///   dead from the commit on.
/// - Observers and watches are notified of a change by [`Unannounced::announce`].
/// - SQLite has one lock for all writers of the file. From the first change on, every other writer waits, for
///   the `busy_timeout` of its connection. Keep the transaction short, and do not call another service in it. Nor the ring
///   itself: it would wait for this very transaction.
///
/// # Begin with `BEGIN IMMEDIATE`
///
/// [`begin_with`](sqlx::Connection::begin_with) takes the lock at once, or waits for it. A transaction of sqlx's own
/// `begin` takes it at its first change. If it has read before, and another connection has written since, SQLite refuses
/// that change: the error is [`Busy`](StoreErrorKind::Busy), and a repetition within the transaction does not help. It is
/// never wrong, but it fails under load.
///
/// # The history
///
/// The changes of a ring that [acts](KeyRing::acting_as) as someone are in the history under that name. Other changes of
/// the transaction, such as those of the application's own statements, are there as made by hand.
///
/// # What can fail
///
/// Each change is between savepoints. If it is refused, the transaction is as it was, and can go on. After an error of the
/// kind [`ErrorKind::Store`](tower_api_key::ErrorKind::Store), and after a call that was dropped before it ended, roll the
/// transaction back. SQLite itself rolls it back after some errors, such as a full disk. Further calls are refused then,
/// but statements of the application would be committed one by one.
pub struct InTransaction<'c> {
    borrowed: Borrowed<'c>,
    ring: KeyRing,
    port: Port,
    calls: mpsc::UnboundedReceiver<Call>,
    identity: StoreId,
    /// A change that began and did not end: its caller was dropped.
    is_in_doubt: bool,
    unannounced: Unannounced,
}

impl fmt::Debug for InTransaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InTransaction")
            .field("ring", &self.ring)
            .finish_non_exhaustive()
    }
}

impl<'c> InTransaction<'c> {
    /// Joins a transaction that the application has begun, so that its own change and that of the keys
    /// are committed together. A `&mut Transaction<'_, Sqlite>` of sqlx is accepted, and so is the
    /// `&mut SqliteConnection` of one.
    ///
    /// See [`InTransaction`] for an example and for what holds.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`](tower_api_key::ErrorKind::Store) if the ring's store is not a [`SqlxSqliteStore`], if
    /// the connection is in no transaction, if it leads to another database than the store, or if it has settings
    /// that the store refuses. The sources of the error say which.
    pub async fn join(ring: &KeyRing, connection: &'c mut SqliteConnection) -> Result<Self, Error> {
        let Some(SqlxSqliteStore(connections)) = ring.store_as::<SqlxSqliteStore>() else {
            let advice = "build the ring over a SqlxSqliteStore: a transaction of SQLite holds no \
                          keys of another store";
            return Err(because(StoreErrorKind::Unavailable, advice).into());
        };
        let borrowed = Borrowed::new(connections, connection).await?;
        let (port, calls) = Port::new();
        let mut unannounced = Unannounced::new();
        Ok(Self {
            borrowed,
            ring: ring.over(port.clone(), &mut unannounced),
            port,
            calls,
            identity: StoreId::of(connections),
            is_in_doubt: false,
            unannounced,
        })
    }
}

impl InTransaction<'_> {
    /// The connection, for the application's own statements in between.
    pub fn connection(&mut self) -> &mut SqliteConnection {
        self.borrowed.connection
    }

    /// Gives the connection back, and returns the changes to announce after the commit.
    pub fn finish(self) -> Unannounced {
        self.unannounced
    }

    /// As [`KeyRing::issue`].
    ///
    /// # Errors
    ///
    /// As [`KeyRing::issue`].
    pub async fn issue(&mut self, grant: Grant) -> Result<Issued, Error> {
        let ring = self.ring.clone();
        self.run(ring.issue(grant)).await
    }

    /// As [`KeyRing::issue_replacing_oldest`].
    ///
    /// # Errors
    ///
    /// As [`KeyRing::issue_replacing_oldest`].
    pub async fn issue_replacing_oldest(&mut self, grant: Grant) -> Result<Issued, Error> {
        let ring = self.ring.clone();
        self.run(ring.issue_replacing_oldest(grant)).await
    }

    /// As [`KeyRing::import_digest`].
    ///
    /// # Errors
    ///
    /// As [`KeyRing::import_digest`].
    pub async fn import_digest(
        &mut self,
        grant: Grant,
        digest: KeyDigest,
    ) -> Result<Arc<KeyRecord>, Error> {
        let ring = self.ring.clone();
        self.run(ring.import_digest(grant, digest)).await
    }

    /// As [`KeyRing::import_plaintext`].
    ///
    /// # Errors
    ///
    /// As [`KeyRing::import_plaintext`].
    pub async fn import_plaintext(
        &mut self,
        grant: Grant,
        plaintext: &str,
    ) -> Result<Arc<KeyRecord>, Error> {
        let ring = self.ring.clone();
        self.run(ring.import_plaintext(grant, plaintext)).await
    }

    /// As [`KeyRing::rotate`].
    ///
    /// # Errors
    ///
    /// As [`KeyRing::rotate`].
    pub async fn rotate(&mut self, id: KeyId, grace: Duration) -> Result<Issued, Error> {
        let ring = self.ring.clone();
        self.run(ring.rotate(id, grace)).await
    }

    /// As [`KeyRing::rotate_now`].
    ///
    /// # Errors
    ///
    /// As [`KeyRing::rotate_now`].
    pub async fn rotate_now(&mut self, id: KeyId) -> Result<Issued, Error> {
        let ring = self.ring.clone();
        self.run(ring.rotate_now(id)).await
    }

    /// As [`KeyRing::regrant`].
    ///
    /// # Errors
    ///
    /// As [`KeyRing::regrant`].
    pub async fn regrant(&mut self, id: KeyId, grant: Grant) -> Result<Issued, Error> {
        let ring = self.ring.clone();
        self.run(ring.regrant(id, grant)).await
    }

    /// As [`KeyRing::promote`], from a ring over the same store.
    ///
    /// # Errors
    ///
    /// As [`KeyRing::promote`]. [`ErrorKind::Store`](tower_api_key::ErrorKind::Store) if the other ring is not
    /// over the same store, because its key could not end in this transaction.
    pub async fn promote(
        &mut self,
        from: &KeyRing,
        id: KeyId,
        grant: Grant,
    ) -> Result<Issued, Error> {
        if !from.is_over(self.identity) {
            let advice = "build both rings over clones of one SqlxSqliteStore: a transaction ends no \
                          key of another store";
            return Err(because(StoreErrorKind::Unavailable, advice).into());
        }
        let source = from.over(self.port.clone(), &mut self.unannounced);
        let ring = self.ring.clone();
        self.run(ring.promote(&source, id, grant)).await
    }

    /// As [`KeyRing::narrow`].
    ///
    /// # Errors
    ///
    /// As [`KeyRing::narrow`].
    pub async fn narrow(
        &mut self,
        id: KeyId,
        narrowing: impl Into<Narrowing>,
    ) -> Result<Arc<KeyRecord>, Error> {
        let ring = self.ring.clone();
        self.run(ring.narrow(id, narrowing)).await
    }

    /// As [`KeyRing::describe`].
    ///
    /// # Errors
    ///
    /// As [`KeyRing::describe`].
    pub async fn describe(
        &mut self,
        id: KeyId,
        description: Description,
    ) -> Result<Arc<KeyRecord>, Error> {
        let ring = self.ring.clone();
        self.run(ring.describe(id, description)).await
    }

    /// As [`KeyRing::history`], with the changes of this transaction.
    ///
    /// # Errors
    ///
    /// As [`KeyRing::history`].
    pub async fn history(&mut self, query: &HistoryQuery) -> Result<HistoryPage, Error> {
        let ring = self.ring.clone();
        self.run(ring.history(query)).await
    }

    /// As [`KeyRing::revoke`]. The key is dead from the commit on.
    ///
    /// # Errors
    ///
    /// As [`KeyRing::revoke`].
    pub async fn revoke(&mut self, id: KeyId, reason: RevocationReason) -> Result<(), Error> {
        let ring = self.ring.clone();
        self.run(ring.revoke(id, reason)).await
    }

    /// As [`KeyRing::revoke_lineage`]. The keys are dead from the commit on.
    ///
    /// # Errors
    ///
    /// As [`KeyRing::revoke_lineage`].
    pub async fn revoke_lineage(
        &mut self,
        id: KeyId,
        reason: RevocationReason,
    ) -> Result<usize, Error> {
        let ring = self.ring.clone();
        self.run(ring.revoke_lineage(id, reason)).await
    }

    /// As [`KeyRing::revoke_subject`]. The keys are dead from the commit on, and no key is issued to
    /// the subject by another connection before it.
    ///
    /// # Errors
    ///
    /// As [`KeyRing::revoke_subject`].
    pub async fn revoke_subject(
        &mut self,
        subject: &str,
        reason: RevocationReason,
    ) -> Result<usize, Error> {
        let ring = self.ring.clone();
        self.run(ring.revoke_subject(subject, reason)).await
    }

    /// Runs an operation of the ring, and answers its calls to the store on the connection.
    async fn run<T>(
        &mut self,
        operation: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        if self.is_in_doubt {
            let advice = "roll the transaction back: a call was dropped before it ended";
            return Err(because(StoreErrorKind::Unavailable, advice).into());
        }
        // Calls of an operation that was dropped are not made for the next.
        while self.calls.try_recv().is_ok() {}
        let mut operation = pin!(operation);
        loop {
            let step = poll_fn(|context| {
                if let Poll::Ready(done) = operation.as_mut().poll(context) {
                    return Poll::Ready(Step::Done(done));
                }
                // The calls do not end while the port lives.
                match self.calls.poll_recv(context) {
                    Poll::Ready(Some(call)) => Poll::Ready(Step::Call(Box::new(call))),
                    Poll::Ready(None) | Poll::Pending => Poll::Pending,
                }
            });
            match step.await {
                Step::Done(done) => return done,
                Step::Call(call) => {
                    self.is_in_doubt = true;
                    self.answer(*call).await;
                    self.is_in_doubt = false;
                }
            }
        }
    }

    async fn answer(&mut self, call: Call) {
        // The caller waits in the operation that is being run.
        match call {
            Call::Get(realm, id, reply) => {
                let _ = reply.send(self.borrowed.get(&realm, id).await);
            }
            Call::List(realm, query, reply) => {
                let _ = reply.send(self.borrowed.list(&realm, &query).await);
            }
            Call::History(realm, query, reply) => {
                let _ = reply.send(self.borrowed.history(&realm, &query).await);
            }
            Call::Commit(change, reply) => {
                let done = self.borrowed.commit(&change).await;
                if done.is_ok() {
                    for write in change.writes() {
                        self.unannounced.changed(write.record.id());
                    }
                }
                let _ = reply.send(done);
            }
            Call::Revoke(realm, target, revocation, by, reply) => {
                let by = by.as_ref();
                let revoked = self.borrowed.revoke(&realm, &target, revocation, by).await;
                let ended = revoked.iter().flat_map(|revoked| &revoked.ended);
                for id in ended.filter_map(|ended| ended.id) {
                    self.unannounced.changed(id);
                }
                let _ = reply.send(revoked);
            }
        }
    }
}

enum Step<T> {
    Done(T),
    Call(Box<Call>),
}
