//! A call is not answered by what a call that was dropped has asked.

use std::future::poll_fn;
use std::task::Poll;

use tower_api_key::replica::{Feed, Realms};
use tower_api_key::store::BoxFuture;

use super::copy::{Copy, changes};
use crate::trial::{Trial, realm};
use crate::violation::Violation;

/// How often each call is dropped, and at the most how often it is polled before.
const ROUNDS: usize = 16;
const POLLS: usize = 8;

pub(super) async fn check<S: Feed>(trial: &Trial<S>) -> Result<(), Violation> {
    let (orders, billing) = (
        Realms::only([realm("orders")]),
        Realms::only([realm("billing")]),
    );
    let mut copy = Copy::new(trial, orders.clone()).await?;
    let start = copy.position().clone();
    for round in 0..ROUNDS {
        let own = trial.held(&realm("orders"), "alice").await?;
        let other = trial.held(&realm("billing"), "bob").await?;
        let polls = round % POLLS + 1;
        let store = &trial.store;
        drop_after(
            polls,
            store.changes(&billing, &start, None, Some(0..=u8::MAX)),
        )
        .await;
        copy.pull().await?;
        copy.shows(&own, "after a question for another realm was dropped")?;
        copy.hides(&other, "after a question for another realm was dropped")?;

        drop_after(polls, store.page(&billing, None)).await;
        drop_after(polls, store.head()).await;
        let again = Copy::new(trial, orders.clone()).await?;
        trial.require(
            again.sums() == copy.sums(),
            "after calls for another realm were dropped, a new copy had other records",
        )?;
        drop_after(polls, store.forget(&start)).await;
        changes(trial, &orders, &start, None, None).await?;
    }
    Ok(())
}

/// Polls a call this often, lets others run in between, and drops it.
async fn drop_after<T>(polls: usize, mut call: BoxFuture<'_, T>) {
    for _ in 0..polls {
        let is_done = poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_ready())).await;
        if is_done {
            return;
        }
        tokio::task::yield_now().await;
    }
}
