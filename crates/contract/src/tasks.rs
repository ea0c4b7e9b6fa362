//! A task that a store takes runs to its end, concurrently with others.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_timer::Delay;
use tokio::sync::{Barrier, oneshot};

use tower_api_key::store::KeyStore;

use super::trial::Trial;
use super::violation::Violation;

/// Look-ups that wait at the same time.
const TASKS: usize = 64;

/// By then a task that runs has run. Only a store that breaks the clause makes the suite wait for it.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn check<S: KeyStore>(trial: &Trial<S>) -> Result<(), Violation> {
    let began = Arc::new(AtomicBool::new(false));
    let (done, ended) = oneshot::channel();
    let mark = Arc::clone(&began);
    let task = Box::pin(async move {
        mark.store(true, Ordering::SeqCst);
        tokio::task::yield_now().await;
        // The receiver may be gone.
        let _ = done.send(());
    });
    if let Err(task) = trial.store.spawn(task) {
        trial.require(
            !began.load(Ordering::SeqCst),
            "a task that was given back had been begun",
        )?;
        task.await;
        return trial.require(ended.await.is_ok(), "another task was given back");
    }
    runs_to_its_end(trial, ended).await?;

    // None of them goes on before all have begun.
    let all = Arc::new(Barrier::new(TASKS));
    let mut ends = Vec::with_capacity(TASKS);
    for _ in 0..TASKS {
        let all = Arc::clone(&all);
        let (done, ended) = oneshot::channel();
        let task = Box::pin(async move {
            all.wait().await;
            let _ = done.send(());
        });
        if trial.store.spawn(task).is_err() {
            return trial.broken("one task was taken, and the next one given back");
        }
        ends.push(ended);
    }
    for ended in ends {
        runs_to_its_end(trial, ended).await?;
    }
    Ok(())
}

async fn runs_to_its_end<S: KeyStore>(
    trial: &Trial<S>,
    ended: oneshot::Receiver<()>,
) -> Result<(), Violation> {
    let mut ended = pin!(ended);
    let mut late = pin!(Delay::new(PATIENCE));
    let seen = poll_fn(|context| match ended.as_mut().poll(context) {
        Poll::Ready(ended) => Poll::Ready(Some(ended)),
        Poll::Pending => late.as_mut().poll(context).map(|()| None),
    })
    .await;
    match seen {
        Some(Ok(())) => Ok(()),
        Some(Err(_)) => trial.broken("a task that was taken was dropped before its end"),
        None => trial.broken(format!(
            "of {TASKS} tasks that wait for each other, one did not end within {PATIENCE:?}"
        )),
    }
}
