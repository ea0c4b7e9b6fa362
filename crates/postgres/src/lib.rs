//! API keys in Postgres, for services on several machines that share their keys: a store for
//! [`tower-api-key`](tower_api_key).
//!
//! Every request reads the primary, so a key that is revoked anywhere is refused everywhere by the next request. Or each
//! node keeps a copy in memory, which costs a request no round trip, with a [bound](guide::fleet) on its age.
//!
//! ```no_run
//! use tower_api_key::{Grant, KeyRing, RevocationReason};
//! use tower_api_key_postgres::{InTransaction, PostgresOptions, sqlx::PgPool};
//!
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! // The service's own pool. `PostgresStore::connect` opens one for the keys alone.
//! let pool = PgPool::connect("postgres://orders@db/orders?sslmode=verify-full").await?;
//! let options = PostgresOptions::new();
//! options.migrate_pool(&pool).await?;
//! let ring = KeyRing::builder("acme").build(options.with_pool(pool.clone()).await?)?;
//!
//! let issued = ring.issue(Grant::new("alice").scopes(["orders:read"])).await?;
//! assert_eq!(ring.verify(issued.secret().expose().as_bytes()).await?.subject(), "alice");
//!
//! // The application's change and that of the keys are one commit.
//! let mut transaction = pool.begin().await?;
//! let mut keys = InTransaction::join(&ring, &mut transaction).await?;
//! keys.revoke(issued.id(), RevocationReason::PrivilegeWithdrawn).await?;
//! let unannounced = keys.finish();
//! transaction.commit().await?;
//! unannounced.announce();
//! # Ok(())
//! # }
//! ```
//!
//! - [`PostgresStore`] has the tables, connections, failover, poolers, and the settings of a URL.
//! - [`PostgresOptions`] sets the pool, the schema and the waits.
//! - [`InTransaction`] changes keys in a transaction of the application, and [`guide::transactions`] says when.
//! - A [`Replica`](tower_api_key::replica::Replica) of the store verifies from memory: [`guide::fleet`].
//!
//! # TLS
//!
//! The feature `rustls`, on by default, is rustls with *ring*. If your program has OpenSSL, or the TLS of another operating
//! system, take `default-features = false` and the feature `native-tls`. With neither, and no TLS feature of sqlx in the rest
//! of the program, `sslmode=require`, `verify-ca` and `verify-full` are refused, and `prefer`, the default, connects without
//! TLS.
//!
//! # Limits
//!
//! - A look-up is one round trip to the primary, unless a [replica](guide::fleet) holds the keys in memory.
//! - After a failover, the answers of the old primary count for five seconds at most, to a replica for 30.
//! - Tokio, and sqlx of the version of [`sqlx`].
//! - Postgres 15 is tested. It needs Rust 1.94, because sqlx does.

#![forbid(unsafe_code)]

pub mod guide;

mod authority;
mod columns;
mod commit;
mod connection;
mod error;
mod expiring;
mod feed;
mod history;
mod home;
mod in_transaction;
mod limit;
mod list;
mod open;
mod options;
mod password_file;
mod port;
mod reach;
mod record;
mod revoke;
mod schema;
mod tables;
mod task;
mod transaction;
mod url;
mod usage;

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_timer::Delay;
use sqlx::postgres::PgRow;
use tower_api_key::store::sql::{column_time, moment};
use tower_api_key::store::{
    BoxFuture, Change, ExpiryClaims, ExpiryLadder, Found, HistoryPage, HistoryQuery, KeyStore,
    KeyUsage, ListQuery, Lookup, Page, Revoked, StoreError, StoreId, Target,
};
use tower_api_key::{Actor, KeyDigest, KeyId, Realm, Revocation, Timestamp};

use self::authority::now;
use self::connection::Connections;
use self::history::act;
#[doc(inline)]
pub use self::in_transaction::InTransaction;
#[doc(inline)]
pub use self::options::PostgresOptions;
use self::record::{column, to_record};
use self::tables::{SEEN, SELECT_BY_ID, SELECT_BY_IDS, Tables, seen_once};
use self::task::detached;

/// The version of sqlx whose `PgPool` and `PgConnection` [`PostgresStore`] takes.
#[doc(no_inline)]
pub use sqlx;

/// Keys in a Postgres database that any number of processes share.
///
/// Every request reads the primary, so a key that is revoked anywhere is refused everywhere by the next
/// request, or within five seconds of a failover. Clones share their connections. Rings of several
/// realms can share one store.
///
/// ```no_run
/// use tower_api_key::KeyRing;
/// use tower_api_key_postgres::PostgresStore;
///
/// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
/// let url = "postgres://orders@db.internal/keys?sslmode=verify-full";
/// PostgresStore::migrate(url).await?;
/// let ring = KeyRing::builder("acme").build(PostgresStore::connect(url).await?)?;
/// # Ok(())
/// # }
/// ```
///
/// # The database
///
/// The tables `tower_api_keys` and `tower_api_key_migrations`, and those of the change feed, are in the first schema of the
/// `search_path`, which the URL can set (`?options[search_path]=auth`), or in the schema that
/// [`PostgresOptions::schema`] names. The schema is found when the store connects, and every statement
/// names it, so that no temporary table shadows the real one. [`migrate`](Self::migrate) creates them.
/// If you run your own migrations, use the files in the folder `migrations` of this crate, in their order.
/// A server needs `SELECT`, `INSERT`, `UPDATE` and `DELETE` on `tower_api_keys` and `SELECT` on
/// `tower_api_key_migrations`. The functions `tower_api_key_end_subject` and `tower_api_key_narrow_subject` are for triggers
/// on the application's own tables: see [the guide](guide::transactions). The encoding must be
/// UTF8. Tested with Postgres 15.
///
/// The database enforces the lifecycle too. A trigger refuses every `UPDATE` that gives a key more than
/// it had, brings it back or gives it to another subject. Label and metadata, which are no authority, only
/// change by themselves. This holds for psql as well. A statement that revokes a key, and changes only `revoked_at`, `revocation_reason` and
/// `version`, is never refused, whatever else the row holds. The trigger cannot stop a row that is
/// deleted and inserted again, or a role that drops the trigger: servers need neither `TRUNCATE` nor the
/// ownership of the table.
///
/// # Connections
///
/// At most [10](PostgresOptions::max_connections), opened when they are needed, in Tokio's runtime. A
/// look-up is one prepared statement on one index, without a transaction. If a connection turns out to
/// be dead, it is replaced within the same look-up, so a server that restarts costs requests only while
/// it is away. While keys are looked up, the store opens one more connection a second, to find out which
/// server the URL leads to, and closes it at once.
///
/// # A borrowed pool
///
/// [`from_pool`](Self::from_pool) uses the application's own pool, and [`InTransaction::join`] a transaction
/// of it, so that a change by the application and one of the keys are one commit. The guarantees of this
/// page hold there too, with these limits:
///
/// - sqlx has read the URL. It passes over settings that this store refuses, and may log their values.
///   Check the pool's `PgSslMode` yourself.
/// - After a failover the store closes the connections to the old server that it meets, and does not
///   accept their answers. Those that it does not meet stay in the pool: the application's own
///   statements may still reach the old server.
/// - The limits of the pool are its own. The store waits for a connection no longer than its
///   [`acquire_timeout`](PostgresOptions::acquire_timeout), even if that of the pool is longer. A pool
///   with sqlx's default `test_before_acquire(true)` adds a round trip to each look-up.
/// - A pool without a statement cache is refused by the first look-up.
/// - The connection that the store opens each second has the settings of the pool
///   (`PgPool::connect_options`), and hooks such as `after_connect` do not run on it. If a hook sets the
///   `search_path`, name the schema with [`PostgresOptions::schema`].
/// - The application can leave a session with another role, with another `search_path`, or with temporary
///   tables. Each answer still counts only if its session sees every row, and no name leads elsewhere.
///
/// # A database that starts later
///
/// [`connect`](Self::connect) fails if no server answers. [`PostgresOptions::lazy`] returns a store
/// that answers each request with 503, and says why, until the database is there.
///
/// # Failover
///
/// An answer counts only if its server is not in recovery, and is the one that the newest connection has
/// reached. That connection is at most **five seconds** old, and usually one. So if a primary was
/// replaced, and lives on behind connections that are still open, its answers count for at most five
/// seconds after the URL leads to its successor. A write that a server refuses because it is read-only
/// ends every connection at once. If no new connection can be opened for five seconds, for example
/// because the server has no free slot, look-ups fail.
///
/// A standby is refused. [`PostgresOptions::danger_read_from_standby`] allows it. Then a key that was
/// revoked is accepted until the standby receives the revocation.
///
/// The store also fails, and never takes a key for unknown, if row-level security applies to its role,
/// if `tower_api_keys` is not the table that the migrations created, or if the schema is of a version that
/// it cannot read. Each look-up checks the first, and the newest connection the others.
///
/// A migration states from which version on a service can read it, so that services are replaced one after
/// the other. Versions 8 to 15 are read by services of version 7.
///
/// # The change feed
///
/// The store is a [`Feed`](tower_api_key::replica::Feed): a replica follows it, and needs migration 0014.
/// Triggers write which key changed in which transaction, however it is changed: by hand, with `COPY`, in a
/// prepared transaction, or as `session_replication_role = replica`. A replica asks for the keys of the
/// transactions that its last snapshot did not show. So nothing is missed, in whatever order transactions
/// commit, and a transaction that stays open holds nothing back. It makes the list of changes longer,
/// because no change is removed before the transactions that began earlier have ended.
///
/// If a statement removes many dead keys, as a purge does, up to 60 of them are one row of the list. A removal that takes
/// authority away has a row to itself, so that replicas of schema versions 8 to 13 hear of it during a rollout.
///
/// The feed has a connection of its own outside the pool, which it opens anew after 30 seconds at the most. A position
/// counts in the history that it is of. After a failover, a crash, a restart, a restored backup or a
/// `TRUNCATE`, it is another one, and the replica compares its records with the database.
///
/// A change that takes authority away ends with `COMMIT; NOTIFY tower_api_keys` in one message, so that replicas
/// ask at once. They listen on one more connection. It is a hint: a replica asks at its interval too, and behind a
/// pooler of transactions it hears none. A change in a transaction of the application sends none.
///
/// For the feed, a server's role needs `SELECT` on `tower_api_key_changes`, `tower_api_key_feed` and
/// `tower_api_key_incarnation`, and `EXECUTE` on `tower_api_key_incarnate` and `tower_api_key_forget`. The
/// migration grants them to each role that has `SELECT` or `DELETE` on `tower_api_keys` at that time.
/// [`set_staleness`](Self::set_staleness) needs `UPDATE` on `tower_api_key_feed`. All replicas begin anew after
/// `UPDATE tower_api_key_feed SET epoch = epoch + 1`.
///
/// The feed refuses a standby, a store that may read one, a role from which row-level security hides rows or
/// changes, a database without unlogged tables or snapshots, and triggers that are disabled. It checks the
/// triggers when it opens its connection, so what was changed while they were disabled is not in the feed.
/// After more than 200 000 changes between two pulls, each removed key counted, a replica begins anew.
///
/// # The history
///
/// Triggers of migration 0010 write who changed which key into `tower_api_key_history`, in the transaction of the change,
/// with the role that is logged in: [`KeyRing::history`](tower_api_key::KeyRing::history). A role that has `SELECT` on
/// `tower_api_keys` when the migration runs may read it, and nobody but the owner writes to it. An `UPDATE`, a `DELETE`
/// and a `TRUNCATE` are refused. `tower_api_key_forget_history` removes old entries, for the owner and those to whom the
/// owner grants `EXECUTE`. If a trigger is disabled, or a policy may hide entries from the role, a list of the history is
/// refused.
///
/// # Notices of expiry
///
/// Migration 0011 adds the column `noticed_step` to `tower_api_keys`, in which a ring's
/// [`upkeep`](tower_api_key::KeyRing::upkeep) notes which notice of a key it has claimed, and an index by which it finds the keys
/// that are due. It needs no further grant. Until the migration has run, the upkeep of a ring that
/// [notifies](tower_api_key::KeyRingBuilder::expiry_notices) reports once that it is missing. A dump has the column, and so has a
/// logical replica. After a failover that lost commits, notices can be sent again.
///
/// A trigger of migration 0015 writes each notice into the history, in the transaction of its claim. It needs no further grant.
/// With a schema from before, notices are claimed and are not in the history. If the trigger is disabled, a list of the history is
/// refused.
///
/// # What keys were used for
///
/// Migration 0012 makes `tower_api_key_usage`, a row for each key whose uses are
/// [tracked](tower_api_key::KeyRingBuilder::track_scope_use), and a trigger that removes it with the key. A role that has `SELECT`
/// on `tower_api_keys` when the migration runs may read it, and one that has `UPDATE` may write it. Later roles need these
/// rights on it too. With a schema from before, nothing of it is kept
/// ([`Unsupported`](tower_api_key::store::StoreErrorKind::Unsupported)).
///
/// # Limits on the keys of a subject
///
/// With migration 0013, a [limit](tower_api_key::KeyRingBuilder::max_keys_per_subject) that leaves room costs the same for any number
/// of keys. A key that is refused at the limit costs a count of all keys of the subject.
/// Triggers keep the number of a subject with more than 32 keys in `tower_api_key_subjects`, an unlogged table with a row for
/// each subject that was given a key since. The number may be too high, and never is too low: if it leaves no room, the keys are
/// counted. They are also counted after a crash, a failover, a restored dump, and while a trigger is not `ENABLE ALWAYS`.
///
/// A session that gives a subject a key locks its row until the transaction ends. The changes of rings take turns for each
/// subject anyway. An `INSERT` into `tower_api_keys` by hand takes turns with them too. So does a `DELETE` of the last key of the
/// subject. A transaction that does one of them and stays open keeps rings from issuing to that subject. It delays no revocation.
/// With a snapshot from before another session gave the subject a key (`REPEATABLE READ`), an `INSERT` can be refused
/// (`40001`). To insert keys and end those of the same subject in one transaction, call `tower_api_key_end_subject` first, and insert
/// keys of several subjects in the order of the subjects: otherwise the server may end one of two transactions (`40P01`). The same holds for an
/// application's transaction that revokes a key by its id and then issues one to the same subject.
///
/// A server needs no right on the table. It calls `tower_api_key_within`, whose `EXECUTE` the migration grants to each role that
/// has `INSERT` on `tower_api_keys` at that time. For a later role without that right, and with a schema from before, each limit
/// counts all keys of the subject.
///
/// # Poolers
///
/// Statements are prepared. PgBouncer works with `pool_mode = session` and its default
/// `server_reset_query = DISCARD ALL`, and is tested in this mode. A transaction pooler must support
/// prepared statements (PgBouncer 1.21 or later with `max_prepared_statements`). A pooler that mixes up
/// those of its clients is refused. `options[...]` does not pass PgBouncer: name the schema with
/// [`PostgresOptions::schema`]. Behind a pooler, a failover is noticed when the pooler leaves the old
/// server, which depends on its own settings (`server_lifetime`, `RECONNECT`).
///
/// # The URL
///
/// It is `postgres://role:password@host:port/database`, with `%` escapes, and these settings: `sslmode`,
/// `sslrootcert`, `sslcert`, `sslkey`, `host`, `port`, `user`, `password`, `dbname`, `application_name`
/// and `options[name]`. Any other is refused, and so is a setting that is written twice or that would
/// have no effect. An error names the setting and never its value.
///
/// The URL's `sslmode` says how TLS is used. `prefer`, the default, uses it if the server supports it.
/// Only `verify-full` cannot be undone by a network in between. It uses the roots of `webpki-roots`, with `native-tls`
/// those of the operating system, or those of `sslrootcert`. The environment variables `PGPASSWORD`, `PGSSLMODE` and others of libpq
/// supply the settings that the URL leaves out. If one asks for a feature that this store does not
/// support, it is refused. Passwords are also read from `PGPASSFILE` or `~/.pgpass`.
///
/// Every read and write runs in a separate task in the runtime of its caller. If a caller is dropped,
/// for example because a server drops a handler whose client hangs up, no statement ends half-way, no
/// connection is lost, and a commit that has begun is finished. A call whose caller is gone is given up
/// after six seconds. Outside a Tokio runtime a call runs in its caller.
///
/// A purge removes 100 records at a time, each time in a separate transaction, and then pauses for as long as that took: 50
/// milliseconds at the least, and a second at the most. So it removes up to 2 000 records a second, revocations go on during
/// a large one, and [replicas](guide::fleet) stay up to date.
///
/// A write waits five seconds for each lock of another session, and then fails as
/// [`StoreErrorKind::Busy`](tower_api_key::store::StoreErrorKind::Busy). If a process stalls in the middle of a commit,
/// it keeps its locks for three seconds after its last statement. Then the server undoes the commit and
/// ends the session (`idle_in_transaction_session_timeout`).
///
/// A commit that changes or removes keys is durable when it is acknowledged, because the triggers of migration
/// 0008 set `synchronous_commit = on` for its transaction, unless it is stronger. A commit that only adds keys is
/// as durable as the server's setting makes it. If a connection is lost while a
/// commit is on its way, it is unknown whether it was applied. The error is then
/// [`StoreErrorKind::Unavailable`](tower_api_key::store::StoreErrorKind::Unavailable).
#[derive(Clone)]
pub struct PostgresStore(Arc<Connections>);

impl PostgresStore {
    fn new(connections: Connections) -> Self {
        Self(Arc::new(connections))
    }
}

impl KeyStore for PostgresStore {
    fn find(&self, realm: &Realm, digest: &KeyDigest) -> Lookup {
        let (connections, realm, digest) = (Arc::clone(&self.0), realm.clone(), *digest);
        Lookup::Pending(Box::pin(async move {
            let query = |tables: &Tables| {
                let query = tables.find_query();
                query.bind(&digest.as_bytes()[..]).bind(realm.as_str())
            };
            let rows = connections.rows("find", query).await?;
            first(&rows, &realm)
        }))
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) -> Result<(), BoxFuture<'static, ()>> {
        task::spawn(task)
    }

    fn identity(&self) -> Option<StoreId> {
        Some(StoreId::of(&self.0))
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }

    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), StoreError>> {
        let (connections, change) = (Arc::clone(&self.0), change.clone());
        Box::pin(detached(async move {
            commit::apply(&connections, &change).await
        }))
    }

    fn revoke<'a>(
        &'a self,
        realm: &'a Realm,
        target: &'a Target,
        revocation: Revocation,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<Revoked, StoreError>> {
        let (connections, realm, target) = (Arc::clone(&self.0), realm.clone(), target.clone());
        let by = by.cloned();
        Box::pin(detached(async move {
            revoke::revoke(&connections, &realm, &target, revocation, by.as_ref()).await
        }))
    }

    fn get<'a>(&'a self, realm: &'a Realm, id: KeyId) -> BoxFuture<'a, Found> {
        let (connections, realm) = (Arc::clone(&self.0), realm.clone());
        Box::pin(detached(async move {
            let query = |tables: &Tables| {
                let query = tables.query(&SELECT_BY_ID);
                query.bind(id.to_string()).bind(realm.as_str())
            };
            let rows = connections.rows("get", query).await?;
            first(&rows, &realm)
        }))
    }

    fn get_many<'a>(&'a self, realm: &'a Realm, ids: &'a [KeyId]) -> BoxFuture<'a, Vec<Found>> {
        let (connections, realm) = (Arc::clone(&self.0), realm.clone());
        let asked: Vec<String> = ids.iter().map(KeyId::to_string).collect();
        Box::pin(async move {
            if asked.is_empty() {
                return Vec::new();
            }
            let found = detached(async move {
                let query = |tables: &Tables| {
                    let query = tables.query(&SELECT_BY_IDS);
                    query.bind(&asked).bind(realm.as_str())
                };
                let rows = connections.rows("get_many", query).await?;
                let mut found = HashMap::with_capacity(rows.len());
                for row in &rows {
                    // The one row of an answer without records has no id.
                    if let Some(id) = column::<Option<String>>(row, SEEN)? {
                        found.insert(id, to_record(row, &realm));
                    }
                }
                Ok(found)
            });
            match found.await {
                Ok(found) => {
                    let answers = ids.iter().map(|id| found.get(id.as_str()).cloned());
                    answers.map(|found| found.unwrap_or(Ok(None))).collect()
                }
                Err(error) => vec![Err(error); ids.len()],
            }
        })
    }

    fn list<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        let connections = Arc::clone(&self.0);
        let (realm, query) = (realm.clone(), query.clone());
        Box::pin(detached(async move {
            list::list(&mut &*connections, &realm, &query).await
        }))
    }

    fn realms(&self) -> BoxFuture<'_, Result<Vec<Realm>, StoreError>> {
        let connections = Arc::clone(&self.0);
        Box::pin(detached(async move { list::realms(&connections).await }))
    }

    fn purge<'a>(
        &'a self,
        realm: &'a Realm,
        ended_by: Timestamp,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move {
            // No end in a column is later.
            let ended_by = i64::try_from(ended_by.as_unix()).unwrap_or(i64::MAX);
            let (mut purged, mut places) = (0, PURGES.into_iter());
            let mut place = places.next();
            while let Some(purge) = place {
                // Each step separately: a purge whose caller is gone ends after the current one.
                let (connections, realm) = (Arc::clone(&self.0), realm.clone());
                let ring = history::ring(by);
                let begun = now();
                let step = detached(async move {
                    let step = |tables: &Tables| {
                        let step = tables.query(purge);
                        let step = step.bind(realm.as_str().to_owned()).bind(ended_by);
                        step.bind(ring)
                    };
                    connections.execute(step).await
                });
                match step.await? {
                    0 => place = places.next(),
                    count => {
                        purged += count;
                        let took = now().saturating_sub(begun);
                        Delay::new(took.clamp(SHORTEST_PAUSE, LONGEST_PAUSE)).await;
                    }
                }
            }
            Ok(purged)
        })
    }

    fn history<'a>(
        &'a self,
        realm: &'a Realm,
        query: &'a HistoryQuery,
    ) -> BoxFuture<'a, Result<HistoryPage, StoreError>> {
        let connections = Arc::clone(&self.0);
        let (realm, query) = (realm.clone(), query.clone());
        Box::pin(detached(async move {
            let Some(asked) = history::Statement::of(&realm, &query)? else {
                return Ok(HistoryPage::default());
            };
            let rows = connections.rows("history", |tables| asked.query(tables));
            history::page(&rows.await?, &realm, &query)
        }))
    }

    fn forget_history<'a>(
        &'a self,
        realm: &'a Realm,
        before: Timestamp,
        by: Option<&'a Actor>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        let (connections, realm, ring) = (Arc::clone(&self.0), realm.clone(), history::ring(by));
        Box::pin(detached(async move {
            history::forget(&connections, &realm, before, ring).await
        }))
    }

    fn claim_expiry_notices<'a>(
        &'a self,
        realm: &'a Realm,
        ladder: &'a ExpiryLadder,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'a, Result<ExpiryClaims, StoreError>> {
        let (connections, realm) = (Arc::clone(&self.0), realm.clone());
        let ladder = ladder.clone();
        Box::pin(detached(async move {
            expiring::claim(&connections, &realm, &ladder, now, limit).await
        }))
    }

    fn record_uses<'a>(
        &'a self,
        realm: &'a Realm,
        uses: &'a [(KeyId, Timestamp)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let (connections, realm) = (Arc::clone(&self.0), realm.clone());
        let uses = uses.to_vec();
        Box::pin(detached(async move {
            if uses.is_empty() {
                return Ok(());
            }
            let ids: Vec<String> = uses.iter().map(|(id, _)| id.to_string()).collect();
            let times = uses
                .iter()
                .map(|&(_, at)| column_time(at))
                .collect::<Result<Vec<i64>, _>>()?;
            let query = |tables: &Tables| {
                let query = tables.query(RECORD_USES);
                query.bind(realm.as_str().to_owned()).bind(ids).bind(times)
            };
            connections.execute(query).await.map(drop)
        }))
    }

    fn record_usage<'a>(
        &'a self,
        realm: &'a Realm,
        usages: &'a [(KeyId, KeyUsage)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let (connections, realm) = (Arc::clone(&self.0), realm.clone());
        let usages = usages.to_vec();
        Box::pin(detached(async move {
            usage::record(&connections, &realm, &usages).await
        }))
    }

    fn usages<'a>(
        &'a self,
        realm: &'a Realm,
        ids: &'a [KeyId],
    ) -> BoxFuture<'a, Result<Vec<KeyUsage>, StoreError>> {
        let (connections, realm) = (Arc::clone(&self.0), realm.clone());
        let ids = ids.to_vec();
        Box::pin(detached(async move {
            usage::list(&connections, &realm, &ids).await
        }))
    }

    fn last_uses<'a>(
        &'a self,
        realm: &'a Realm,
        ids: &'a [KeyId],
    ) -> BoxFuture<'a, Result<Vec<Option<Timestamp>>, StoreError>> {
        let (connections, realm) = (Arc::clone(&self.0), realm.clone());
        let ids: Vec<String> = ids.iter().map(KeyId::to_string).collect();
        Box::pin(detached(async move {
            if ids.is_empty() {
                return Ok(Vec::new());
            }
            let query = |tables: &Tables| {
                let query = tables.query(LAST_USES);
                query.bind(realm.as_str()).bind(&ids)
            };
            let rows = connections.rows("last_uses", query).await?;
            rows.iter()
                .map(|row| {
                    let at: Option<i64> = column(row, "last_used_at")?;
                    at.map(|at| moment("last_used_at", at)).transpose()
                })
                .collect()
        }))
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}

fn first(rows: &[PgRow], realm: &Realm) -> Found {
    let row = rows.first().map(|row| to_record(row, realm));
    Ok(row.transpose()?.flatten())
}

/// The least and the most that a purge pauses between two steps.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A step of a purge. It is short because a revocation writes records that ended too, and waits for
/// their locks, and because each replica takes at once what it has removed. Rows that another session has
/// locked are passed over, and do not count for the limit: if a step removes nothing, nothing else is left,
/// and the next purge finds them. The order is that of the index, so that a step reads no more than it
/// removes.
macro_rules! purge {
    ($ended:literal) => {
        concat!(
            "WITH due AS (
    SELECT id FROM @.tower_api_keys WHERE realm @= $1 AND ",
            $ended,
            "
    ORDER BY realm, revoked_at, retire_at, expires_at LIMIT 100 FOR UPDATE SKIP LOCKED
), ring AS MATERIALIZED (SELECT ",
            act!("$3"),
            " AS name)
DELETE FROM @.tower_api_keys AS keys USING due, ring WHERE keys.id @= due.id AND ring.name IS NOT NULL"
        )
    };
}

/// One part of the index after the other.
const PURGES: [&str; 4] = [
    purge!("revoked_at @<= $2"),
    purge!("revoked_at IS NULL AND retire_at IS NULL AND expires_at @<= $2"),
    purge!("revoked_at IS NULL AND retire_at @<= $2"),
    purge!("revoked_at IS NULL AND retire_at @> $2 AND expires_at @+ 0 @<= $2"),
];

/// Rows are locked in the order of their ids, so that two services that record their uses at once do not
/// deadlock. `unnest` of several arrays is syntax: it names `pg_catalog` by itself.
const RECORD_USES: &str = "WITH told AS (
    SELECT id, pg_catalog.max(at) AS at FROM unnest($2::pg_catalog.text[], $3::bigint[]) AS told (id, at) GROUP BY id
), locked AS (
    SELECT keys.id, told.at FROM @.tower_api_keys AS keys JOIN told ON told.id @= keys.id
    WHERE keys.realm @= $1 AND (keys.last_used_at IS NULL OR keys.last_used_at @< told.at)
    ORDER BY keys.id FOR NO KEY UPDATE OF keys
) UPDATE @.tower_api_keys AS keys SET last_used_at = greatest(keys.last_used_at, locked.at)
FROM locked WHERE locked.id @= keys.id";

const LAST_USES: &str = concat!(
    "SELECT seen.*, keys.last_used_at FROM ",
    seen_once!("last_uses"),
    " CROSS JOIN pg_catalog.unnest($2::pg_catalog.text[]) WITH ORDINALITY AS asked (id, place)
LEFT JOIN @.tower_api_keys AS keys ON keys.id @= asked.id AND keys.realm @= $1
ORDER BY asked.place"
);
