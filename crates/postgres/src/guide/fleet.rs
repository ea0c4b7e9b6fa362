//! From one process to a fleet whose nodes verify from memory.
//!
//! # Which store
//!
//! | you have | take | a request costs | a revocation is refused |
//! |---|---|---|---|
//! | one process, keys by configuration | `MemoryStore`, `FileStore` | less than a microsecond | by the next request |
//! | one machine, some processes | `SqliteStore` | some microseconds | by the next request of every process |
//! | several machines | [`PostgresStore`](crate::PostgresStore) | a round trip to the database | by the next request of every machine |
//! | several machines, and requests that should neither wait for the database nor end with it | a [`Replica`] of a `PostgresStore` | less than a microsecond | by this node at once, by the others some 50 ms later, and by every node within a bound that you choose |
//!
//! Change the last two whenever you like: the tables are the same, and nodes of both kinds run next to each other.
//! A `SqliteStore` can be followed in the same way.
//!
//! # A node
//!
//! ```no_run
//! use std::time::Duration;
//! use tower_api_key::replica::Replica;
//! use tower_api_key::{ApiKeyLayer, KeyRing, TracingObserver};
//! use tower_api_key_postgres::PostgresStore;
//!
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! let store = PostgresStore::connect("postgres://orders@db.internal/keys?sslmode=verify-full").await?;
//! let (replica, follow) = Replica::options()
//!     .staleness(Duration::from_secs(5))
//!     .observer(TracingObserver::new())
//!     .follow(store)?;
//! // It pulls what has changed, for as long as the process lives.
//! let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! std::thread::spawn(move || runtime.block_on(follow));
//!
//! let ring = KeyRing::builder("acme").build(replica.clone())?;
//! // For the readiness probe: the node holds all keys.
//! replica.ready().await?;
//! let layer = ApiKeyLayer::new(ring);
//! # Ok(())
//! # }
//! ```
//!
//! Operations go through the same ring. They are committed in the database. When one returns, this node has it too. After a
//! [transaction of the application](super::transactions), await `Replica::catch_up` for that.
//!
//! `cargo run -p tower-api-key-tests --example fleet --features axum,replica` in a clone of the repository starts a
//! Postgres and three nodes, revokes keys, and prints when each node refused.
//!
//! # The bound
//!
//! The *staleness* Δ is a promise: **no request is accepted that began later than Δ after the revocation of its key was
//! acknowledged**, on any node, also on one that is cut off, stopped and continued, or behind a failover. A node keeps it
//! by itself: each answer of the database proves that its copy was whole when the question was sent. The proof ends
//! 0.9 Δ later by a clock that goes on while the machine sleeps. Without a proof the copy does not answer: each request
//! asks the database, and is a 503 if that fails.
//!
//! Two numbers describe a fleet, and only one of them is yours to choose:
//!
//! | | a node that reaches the database | any other node |
//! |---|---|---|
//! | refuses a revoked key | after the next pull, some 50 ms later | within Δ |
//! | if the database is away for less than 0.9 Δ | goes on | goes on |
//! | for longer | 503 | 503 |
//!
//! | Δ | what it means |
//! |---|---|
//! | 1 s | a node that is cut off refuses everything after a second; so do all nodes if the database restarts |
//! | 5 s, the default | most restarts are not noticed; a failover of 10 to 30 s is an outage of 5 to 25 s |
//! | 45 s | a failover is not noticed; a node that is cut off honours a revoked key for 45 s |
//!
//! A long Δ does not make the other nodes slower to refuse. It is what a node does that hears of nothing.
//!
//! The Δ of the fleet is in the database ([`set_staleness`](crate::PostgresStore::set_staleness), or `tower-api-key staleness`).
//! A node takes the smaller one of it and its own.
//!
//! If a change has to be certain, such as the demotion of an administrator, wait for it:
//!
//! ```no_run
//! # async fn revoke(ring: tower_api_key::KeyRing, replica: tower_api_key::replica::Replica, id: tower_api_key::KeyId)
//! # -> Result<(), Box<dyn std::error::Error>> {
//! use tower_api_key::RevocationReason;
//!
//! ring.revoke(id, RevocationReason::PrivilegeWithdrawn).await?;
//! replica.settle().await?;
//! // From here on every node refuses the key, reachable or not.
//! # Ok(())
//! # }
//! ```
//!
//! It takes Δ / 0.9, and needs no answer of the other nodes. A new key is the mirror image: other nodes know it some
//! 50 ms after `issue` returned, and answer 401 until then.
//!
//! # A failover
//!
//! A promoted standby has another history, even if it lost nothing: a node cannot know what was lost. It notices by a token in
//! an unlogged table, which is empty after a crash, a promotion and a restore, and by the time of the server's start. It
//! then begins anew: it compares 256 checksums with the database, and loads what differs. Until its proof
//! ends it goes on serving, and what it served was right by the old primary.
//!
//! If the standby was asynchronous, revocations may be lost *in the database*. A node that knew of one keeps it, and
//! its observer receives [`ReplicaDiverged`] with the id of the key. Nodes that start later cannot know. Revoke those keys
//! again. Every revocation waits for `synchronous_commit`, at least `on`, whatever the server's default is. With
//! `synchronous_standby_names` no acknowledged revocation is lost.
//!
//! # A restore
//!
//! What died on a node stays dead there for the life of its process, whatever the database says later. So stop the nodes
//! before you restore a dump over the tables (`pg_restore --clean`), or restart them afterwards: for a node that runs
//! meanwhile every key is deleted, and stays refused. For 20 minutes after a restore, `settle` waits for the longest
//! staleness, ten minutes, since nodes of the database that was there before may count on it. `tower-api-key copy` brings the keys of a backup without deleting.
//!
//! # What to watch
//!
//! | what | alert |
//! |---|---|
//! | [`Replica::staleness`], the age that is proven, in seconds | above Δ / 2 |
//! | the event [`ReplicaStale`], with the reason; [`ReplicaFresh`] follows when it is over | each |
//! | the event [`ReplicaReset`]: another history | each, unless a failover was meant |
//! | the event [`ReplicaDiverged`]: the database would revive a key | each: revoke the key again |
//! | the rows of `tower_api_key_changes`, which nodes remove after 15 minutes | above a million: a transaction has been open for long, or no node follows |
//!
//! Statements of a node begin with a comment, such as `/* tower-api-key pull */` and `/* tower-api-key news */`, by which
//! `pg_stat_statements` finds them.
//!
//! # What it needs
//!
//! - The role of a node needs `SELECT` on `tower_api_key_changes`, `tower_api_key_feed` and
//!   `tower_api_key_incarnation`, and `EXECUTE` on `tower_api_key_incarnate`. The migration grants them to the roles
//!   that can read `tower_api_keys`. A node removes old changes only if its role has `EXECUTE` on
//!   `tower_api_key_forget`, as those have that can delete keys: one such node is enough.
//! - A primary: a standby lags without a bound, and is refused. So is a subscriber of logical replication, by you:
//!   a `TRUNCATE` that it applies fires no trigger of a statement.
//! - Postgres itself. Databases that only speak its protocol have other snapshots, and are refused.
//! - A clock that goes on while the machine is suspended: Linux. Elsewhere
//!   [`ReplicaOptions::clock`](tower_api_key::replica::ReplicaOptions::clock) takes one.
//! - Memory for all keys of its realms, some 200 bytes for each.
//!
//! What the bound rests on is in SECURITY.md: one primary at a time, a snapshot of it that shows what it has acknowledged,
//! and a clock that is not slower than nine tenths of the true time.
//!
//! [`Replica`]: tower_api_key::replica::Replica
//! [`Replica::staleness`]: tower_api_key::replica::Replica::staleness
//! [`ReplicaStale`]: tower_api_key::EventKind::ReplicaStale
//! [`ReplicaFresh`]: tower_api_key::EventKind::ReplicaFresh
//! [`ReplicaReset`]: tower_api_key::EventKind::ReplicaReset
//! [`ReplicaDiverged`]: tower_api_key::EventKind::ReplicaDiverged
