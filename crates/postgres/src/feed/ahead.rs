//! Pages of keys, each asked for before the replica does: the server reads it while the replica takes the one before.

use std::future::poll_fn;
use std::task::Poll;

use sqlx::Error as SqlError;
use sqlx::postgres::PgRow;
use tower_api_key::replica::Realms;
use tower_api_key::store::BoxFuture;

use super::link::{Age, Link};
use super::statements::{PAGE, PAGE_OF_KEYS, limit, names};

/// A page that was asked for, and the connection that it comes over. If it is dropped, so is the connection.
pub(super) struct Asked {
    realms: Realms,
    after: Vec<u8>,
    pub(super) age: Age,
    answer: BoxFuture<'static, Answer>,
    /// The answer, if it came at once.
    early: Option<Answer>,
}

type Answer = (Link, Result<Vec<PgRow>, SqlError>);

impl Asked {
    pub(super) fn page(mut link: Link, realms: &Realms, after: Vec<u8>) -> Self {
        let (names, from) = (names(realms), after.clone());
        Self {
            realms: realms.clone(),
            after,
            age: link.age,
            answer: Box::pin(async move {
                let query = link.tables.query(&PAGE_OF_KEYS).bind(from);
                let query = query.bind(names).bind(limit(PAGE));
                let rows = query.fetch_all(&mut link.connection).await;
                (link, rows)
            }),
            early: None,
        }
    }

    /// Whether it is the page of these realms after this digest.
    pub(super) fn is_for(&self, realms: &Realms, after: &[u8]) -> bool {
        self.realms == *realms && self.after == after
    }

    /// Sends the question, and does not wait for the answer.
    pub(super) async fn send(&mut self) {
        poll_fn(|context| {
            if let Poll::Ready(answer) = self.answer.as_mut().poll(context) {
                self.early = Some(answer);
            }
            Poll::Ready(())
        })
        .await;
    }

    pub(super) async fn answer(self) -> Answer {
        match self.early {
            Some(answer) => answer,
            None => self.answer.await,
        }
    }
}
