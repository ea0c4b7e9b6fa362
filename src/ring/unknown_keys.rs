//! Who knows keys that the store does not.

use std::fmt;
use std::future::Future;

use crate::key::secret::SecretKey;
use crate::ring::answer::Answer;
use crate::store::BoxFuture;

/// Knows keys that the store does not: of another system, of which only a slow hash (bcrypt, Argon2,
/// PBKDF2) or a hash that is not SHA-256 is left. [`KeyRingBuilder::unknown_keys`] takes it.
///
/// The ring asks if a key is presented that its store does not know. The answer is imported, with the
/// ring's own digest and by its own rules, and from then on the store knows the key and does not ask
/// again. A closure is one:
///
/// ```
/// use std::sync::Arc;
/// use tower_api_key::{Grant, Import, KeyRing, SecretKey, store::MemoryStore};
///
/// # struct OldTable;
/// # struct OldRow { hash: String, owner: String }
/// # impl OldTable {
/// #     async fn row(&self, id: &str) -> Result<Option<OldRow>, std::io::Error> {
/// #         let row = OldRow { hash: "d3RZ".to_owned(), owner: "alice".to_owned() };
/// #         Ok((id == "k7").then_some(row))
/// #     }
/// # }
/// # fn slow_verify(secret: &str, hash: &str) -> bool { secret == "Zr01mLw8Vx6pTe2Nd" && hash == "d3RZ" }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// # let old_table = Arc::new(OldTable);
/// let ring = KeyRing::builder("acme")
///     .unlimited_lifetime()
///     .unknown_keys(move |presented: SecretKey| {
///         let old_table = Arc::clone(&old_table);
///         async move {
///             // What is cheap comes first: a stranger's text has no row, and no slow hash is made.
///             let Some((id, _)) = presented.expose().split_once('.') else { return Ok(None) };
///             let Some(row) = old_table.row(id).await? else { return Ok(None) };
///             // A slow hash holds its thread, so it has one that may be held.
///             let OldRow { hash, owner } = row;
///             let right = tokio::task::spawn_blocking(move || {
///                 let secret = presented.expose().split_once('.').map_or("", |(_, secret)| secret);
///                 slow_verify(secret, &hash)
///             });
///             Ok(right.await?.then(|| Import::new(Grant::new(owner).never_expires())))
///         }
///     })
///     .build(MemoryStore::new())?;
///
/// assert_eq!(ring.verify(b"k7.Zr01mLw8Vx6pTe2Nd").await?.subject(), "alice");
/// assert!(ring.verify(b"k7.Zr01mLw8Vx6pTe2Ne").await.is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// # What is asked, and how often
///
/// - Never for a text in the shape of the ring's own keys, and never for a text that cannot be imported:
///   one of over 512 bytes, or anything but visible ASCII without commas.
/// - Never for a key that the store has, whether it is live, expired or revoked.
/// - Once for requests that present the same key at the same time: the others wait for that answer.
/// - Again for a key that was refused only after a minute, for as many as 1,024 keys. A client that
///   repeats a wrong key costs one question a minute.
/// - At most [`max_pending_unknown_keys`](crate::KeyRingBuilder::max_pending_unknown_keys) at a time, 4 by
///   default, over all keys. One more is answered at once with 503, as a key is of which nothing is
///   known yet. So a flood of made-up keys takes no more than these threads. It can keep old keys that
///   have not been moved yet from being moved while it lasts. Keys that the store knows do not wait.
///
/// The wait is within the ring's [`lookup_timeout`](crate::KeyRingBuilder::lookup_timeout), and the question is
/// one of its [pending look-ups](crate::KeyRingBuilder::max_pending_lookups). If the store runs
/// [tasks](crate::store::KeyStore::spawn), a client that hangs up does not end the question, and it
/// goes on for up to three times the bound.
///
/// # What comes of the answer
///
/// | answer | response | event |
/// |---|---|---|
/// | an [`Import`](crate::Import) that the ring grants | as for any key that the store knows | [`Moved`](crate::EventKind::Moved) |
/// | an [`Import`](crate::Import) that the ring refuses: too long a lifetime, a weak key, an expiry that is over, or a subject that has [as many keys](crate::KeyRingBuilder::max_keys_per_subject) as it may | 401 | [`MoveFailed`](crate::EventKind::MoveFailed) with the reason |
/// | `None` | 401 | none of its own |
/// | an error, a panic, no answer in time | 503 | [`MoveFailed`](crate::EventKind::MoveFailed), except if it is late |
///
/// The 401s are equal to the byte to that of every other invalid key.
///
/// A key that was moved lives in the store alone: revoke it there. While the ring asks, it
/// [purges](crate::KeyRing::purge) nothing, so that a revoked key is never asked for again. Purge by no
/// other program either, until the old keys are at their end and the ring does not ask any more.
///
/// [`KeyRingBuilder::unknown_keys`]: crate::KeyRingBuilder::unknown_keys
pub trait UnknownKeys: Send + Sync + 'static {
    /// The import for a key that was presented, `None` if it is not valid.
    fn ask(&self, presented: SecretKey) -> BoxFuture<'static, Answer>;
}

impl<F, Fut> UnknownKeys for F
where
    F: Fn(SecretKey) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    fn ask(&self, presented: SecretKey) -> BoxFuture<'static, Answer> {
        Box::pin(self(presented))
    }
}

/// Who was set to be asked.
pub(crate) struct Asked(pub(crate) Box<dyn UnknownKeys>);

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("set")
    }
}
