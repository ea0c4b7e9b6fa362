//! Notifications that a pull may be worth it.
//!
//! Nothing depends on them: a replica asks at its interval in any case. What takes authority away notifies, and
//! nothing else, so that issuing many keys does not wake the whole fleet.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_timer::Delay;
use sqlx::Connection as _;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::authority::Authority;
use crate::error::{failed, in_time};
use crate::tables::channel;

const NONCE: &str = concat!("SELECT pg_catalog.pg_notify('", channel!(), "', $1)");

/// How long a nonce may take. A pooler of transactions takes a LISTEN and delivers nothing.
const HEARING: Duration = Duration::from_secs(1);

/// How long a silence lasts before the hearing is tested again. A test takes another connection, which costs the
/// server as much as some hundred pulls, and wakes all that listen.
const SILENCE: Duration = Duration::from_mins(5);

/// The pause after a listener that heard nothing, or could not connect.
const DEAF: Duration = Duration::from_mins(1);

/// The shortest time between two hints.
const PAUSE: Duration = Duration::from_millis(10);

/// What listens, from the first hint that is asked for on.
#[derive(Default)]
pub(crate) struct Hints {
    heard: Arc<Notify>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Hints {
    /// Completes after a notification that no hint was given for.
    pub(super) async fn next(&self, authority: &Arc<Authority>) {
        self.listen(authority);
        self.heard.notified().await;
    }

    /// Begins to listen, in the runtime of the caller, unless a task does.
    fn listen(&self, authority: &Arc<Authority>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            let (authority, heard) = (Arc::clone(authority), Arc::clone(&self.heard));
            *task = Some(runtime.spawn(listen(authority, heard)));
        }
    }
}

impl Drop for Hints {
    fn drop(&mut self) {
        let task = self.task.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = task.take() {
            task.abort();
        }
    }
}

/// Goes on until it is aborted.
async fn listen(authority: Arc<Authority>, heard: Arc<Notify>) {
    loop {
        let Some(listener) = connect(&authority).await else {
            Delay::new(DEAF).await;
            continue;
        };
        // What was missed before is worth a pull.
        heard.notify_one();
        follow(listener, &authority, &heard).await;
        Delay::new(HEARING).await;
    }
}

/// A connection that hears.
async fn connect(authority: &Authority) -> Option<PgListener> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(authority.timeout())
        .connect_lazy_with(authority.settings());
    let mut listener = PgListener::connect_with(&pool).await.ok()?;
    listener.eager_reconnect(false);
    listener.listen(channel!()).await.ok()?;
    hears(&mut listener, authority).await.then_some(listener)
}

/// Passes on what is heard, until the connection is lost or deaf.
async fn follow(mut listener: PgListener, authority: &Authority, heard: &Notify) {
    loop {
        let next = in_time(SILENCE, async { Ok(listener.try_recv().await) }).await;
        match next {
            // That of a test of hearing, perhaps of another process, has a payload.
            Ok(Ok(Some(notification))) => {
                if notification.payload().is_empty() {
                    heard.notify_one();
                    Delay::new(PAUSE).await;
                }
            }
            Err(_) if hears(&mut listener, authority).await => {}
            _ => return,
        }
    }
}

/// Whether a notification of another session arrives.
async fn hears(listener: &mut PgListener, authority: &Authority) -> bool {
    let nonce = format!("{:016x}", RandomState::new().build_hasher().finish());
    let notify = async {
        let (mut connection, ..) = authority.connection().await?;
        let notify = sqlx::query(NONCE).bind(&nonce);
        let notified = notify.execute(&mut connection).await;
        notified.map_err(|error| failed(&error))?;
        let _ = connection.close().await;
        Ok(())
    };
    if in_time(authority.timeout(), notify).await.is_err() {
        return false;
    }
    let heard = async {
        loop {
            match listener.try_recv().await {
                Ok(Some(notification)) if notification.payload() == nonce => return Ok(true),
                Ok(Some(_)) => {}
                _ => return Ok(false),
            }
        }
    };
    in_time(HEARING, heard).await.unwrap_or(false)
}
