//! One pool and one transaction with Postgres, and triggers for changes by other programs.
//!
//! If a service changes a role and then the key, there is a gap between the two commits. In it, the old
//! key has a privilege that its owner has lost. If the service crashes in it, the key keeps that
//! privilege for good. With this package, both are one commit.
//!
//! # One pool
//!
//! A service that has a `PgPool` does not need a second one:
//!
//! ```no_run
//! use sqlx::PgPool;
//! use tower_api_key::KeyRing;
//! use tower_api_key_postgres::{PostgresOptions, sqlx};
//!
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = PgPool::connect("postgres://orders@db.internal/orders").await?;
//! let options = PostgresOptions::new();
//! options.migrate_pool(&pool).await?;
//! let ring = KeyRing::builder("acme").build(options.with_pool(pool.clone()).await?)?;
//! # Ok(())
//! # }
//! ```
//!
//! `tower_api_key_postgres::sqlx` is the version of sqlx whose types these methods take. A service that depends on
//! the same version can use its own name for it.
//!
//! [`PostgresOptions::lazy`](crate::PostgresOptions::lazy) starts without the database. Requests
//! are answered with 503 until it is there.
//!
//! # One transaction
//!
//! [`InTransaction::join`](crate::InTransaction::join) takes a transaction that the service has begun, and offers
//! the operations of the ring in it:
//!
//! ```no_run
//! use sqlx::PgPool;
//! use tower_api_key::{Grant, Issued, KeyRing};
//! use tower_api_key_postgres::{InTransaction, sqlx};
//!
//! type Failure = Box<dyn std::error::Error + Send + Sync>;
//!
//! /// Creates a customer with a first key. There is never one without the other.
//! async fn sign_up(pool: &PgPool, ring: &KeyRing, name: &str) -> Result<Issued, Failure> {
//!     let mut transaction = pool.begin().await?;
//!     sqlx::query("INSERT INTO customers (name) VALUES ($1)")
//!         .bind(name)
//!         .execute(&mut *transaction)
//!         .await?;
//!
//!     let mut keys = InTransaction::join(ring, &mut transaction).await?;
//!     let issued = keys.issue(Grant::new(name).scopes(["orders:read"])).await?;
//!     let unannounced = keys.finish();
//!
//!     transaction.commit().await?;
//!     unannounced.announce();
//!     // Only now: the secret of a transaction that is rolled back is no key.
//!     Ok(issued)
//! }
//! ```
//!
//! [`InTransaction`](crate::InTransaction) says what holds until the commit, and what can fail.
//! Keep the transaction short, because other writers of the same subject's keys wait for it. Do not call
//! another service in it.
//!
//! Issue a key in the transaction that reads the role for it, and lock that row
//! (`SELECT role FROM members WHERE name = $1 FOR SHARE`). Otherwise a key can be issued by a role that
//! another transaction is taking away.
//!
//! # What other programs change
//!
//! A colleague with psql, or a service in another language, changes roles too. The schema has two functions
//! for triggers on the application's own tables. Both return how many keys they changed:
//!
//! | function | effect |
//! |---|---|
//! | `tower_api_key_end_subject(realm, subject, reason)` | revokes every key of the subject in the realm; `reason` is `privilege_withdrawn` if left out |
//! | `tower_api_key_narrow_subject(realm, subject, scopes)` | leaves each key those of its scopes that are in the array |
//!
//! Narrowing revokes a key that had scopes and keeps none, one in its grace period, and one that the
//! database cannot narrow. Neither function adds to a key: more privilege needs a new key.
//!
//! If a member's role changes, the key keeps the scopes that the new role has:
//!
//! ```sql
//! CREATE FUNCTION members_narrow_keys() RETURNS trigger
//!     LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp
//! AS $$
//! BEGIN
//!     PERFORM tower_api_key_narrow_subject(
//!         'orders', NEW.name, (SELECT scopes FROM roles WHERE roles.name = NEW.role)
//!     );
//!     RETURN NULL;
//! END
//! $$;
//! CREATE TRIGGER members_role AFTER UPDATE ON members
//!     FOR EACH ROW WHEN (OLD.role IS DISTINCT FROM NEW.role)
//!     EXECUTE FUNCTION members_narrow_keys();
//! ```
//!
//! `examples/privilege_trigger.sql` has all of it, with members who leave and roles that shrink.
//!
//! The functions run with the permissions of the role that changes the row: it needs `SELECT` and
//! `UPDATE` on `tower_api_keys`. If they cannot be sure to reach every key, they raise an error, so that
//! the change of the role fails too: for an argument that is `NULL`, for a role from which row-level
//! security hides rows, and at another isolation level than `READ COMMITTED`.
//!
//! The next request of every process sees the change, and the next pull of every replica. No observer receives an event for it. A
//! [`watch`](tower_api_key::KeyRing::watch) notices it at its [interval](tower_api_key::KeyRingBuilder::watch_interval).
