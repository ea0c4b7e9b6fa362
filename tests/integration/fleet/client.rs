//! A client of a node, and the times of its requests.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tower_api_key::{Clock, SystemClock};

use super::node::{FRESH, socket_of_child};

/// Takes longer only if something hangs.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

/// The pause between two requests.
const PAUSE: Duration = Duration::from_millis(5);

/// The elapsed time of this machine, which its processes share.
pub(super) fn now() -> Duration {
    SystemClock.elapsed().unwrap()
}

#[derive(Clone)]
pub(super) struct Client(Arc<Path>);

/// A request that was sent, and is not answered yet.
pub(super) struct Sent {
    at: Duration,
    stream: UnixStream,
}

#[derive(Debug)]
pub(super) struct Answer {
    /// Before the request was sent. It began later.
    pub(super) sent: Duration,
    pub(super) status: u16,
    pub(super) body: String,
}

impl Client {
    pub(super) fn of(socket: &Path) -> Self {
        Self(socket.into())
    }

    /// A client of the child of this node.
    pub(super) fn of_child(&self) -> Self {
        Self::of(&socket_of_child(&self.0))
    }

    pub(super) async fn send(&self, path: &str, key: &str) -> Sent {
        let mut stream = UnixStream::connect(&self.0).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\nx-api-key: {key}\r\n\r\n"
        );
        let at = now();
        stream.write_all(request.as_bytes()).await.unwrap();
        Sent { at, stream }
    }

    pub(super) async fn get(&self, key: &str) -> Answer {
        self.send("/", key).await.answer().await
    }

    /// Asks until the answer has this status.
    #[track_caller]
    pub(super) fn until(&self, status: u16, key: &str) -> impl Future<Output = ()> {
        self.until_it(key, move |answer| answer.status == status)
    }

    /// Asks until a request is accepted from memory.
    #[track_caller]
    pub(super) fn until_fresh(&self, key: &str) -> impl Future<Output = ()> {
        self.until_it(key, |answer| answer.body.ends_with(FRESH))
    }

    #[track_caller]
    pub(super) fn until_it(
        &self,
        key: &str,
        is_it: impl Fn(&Answer) -> bool,
    ) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            let end = now() + PATIENCE;
            loop {
                let answer = self.get(key).await;
                if is_it(&answer) {
                    return;
                }
                assert!(
                    now() < end,
                    "the answers stay as they are, at {place}: {answer:?}"
                );
                sleep(PAUSE).await;
            }
        }
    }
}

impl Sent {
    pub(super) async fn answer(mut self) -> Answer {
        let mut text = String::new();
        let read = timeout(PATIENCE, self.stream.read_to_string(&mut text)).await;
        read.expect("the node answers").unwrap();
        let (head, body) = text.split_once("\r\n\r\n").expect("a whole answer");
        Answer {
            sent: self.at,
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            body: body.to_owned(),
        }
    }
}

/// One request after the other, until it is ended.
pub(super) struct Load {
    ends: Arc<AtomicBool>,
    answers: JoinHandle<Vec<Answer>>,
}

impl Load {
    pub(super) fn on(client: &Client, key: &str) -> Self {
        let (client, key) = (client.clone(), key.to_owned());
        let ends = Arc::<AtomicBool>::default();
        let is_over = Arc::clone(&ends);
        let answers = tokio::spawn(async move {
            let mut answers = Vec::new();
            while !is_over.load(Ordering::SeqCst) {
                answers.push(client.get(&key).await);
                sleep(PAUSE).await;
            }
            answers
        });
        Self { ends, answers }
    }

    pub(super) async fn end(self) -> Vec<Answer> {
        self.ends.store(true, Ordering::SeqCst);
        self.answers.await.unwrap()
    }
}
