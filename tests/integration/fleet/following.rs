//! The end of the future that follows, and waiting until a revocation is in force everywhere.

use tower_api_key::replica::Replica;
use tower_api_key_postgres::PostgresStore;

use super::client::{Load, PATIENCE, now};
use super::node::{DROP, FORK, PANIC, STALE, STARVE};
use super::{Home, Node, STALENESS, assert_bound, text};
use crate::pg_server::patient;
use crate::proxy::Way;

/// The future is dropped, its thread panics, or the thread does not come back to it. A node then asks the
/// database, and refuses if that is away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r22_a_dropped_follow_future_is_a_503() {
    for end in [DROP, PANIC, STARVE] {
        let home = Home::new().await;
        let proxy = home.proxy();
        let node = Node::start(&proxy.url(home.name()), STALENESS);
        let (one, other) = (home.issue().await, home.issue().await);
        node.client.until_fresh(text(&one)).await;
        let sent = node.client.send(end, text(&one)).await;
        let answer = sent.answer().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        node.client
            .until_it(text(&other), |answer| answer.body.ends_with(STALE))
            .await;
        let load = Load::on(&node.client, text(&one));
        let revoked = home.revoke(&one).await;
        node.client.until(401, text(&one)).await;
        assert_bound(&load.end().await, revoked, STALENESS);

        let load = Load::on(&node.client, text(&other));
        proxy.stall(Way::ToServer);
        let revoked = home.revoke(&other).await;
        node.client.until(503, text(&other)).await;
        assert_bound(&load.end().await, revoked, STALENESS);
    }
}

/// The process forks while it serves. The child has the records and their proof, and nobody who renews it: it refuses
/// once the proof ends, and does not use the connections of its parent, which goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r22_a_fork_is_a_503() {
    let home = Home::new().await;
    let node = home.node();
    let (one, other) = (home.issue().await, home.issue().await);
    node.client.until_fresh(text(&one)).await;
    node.client.until_fresh(text(&other)).await;
    let sent = node.client.send(FORK, text(&one)).await;
    assert_eq!(sent.answer().await.status, 200);
    node.hears("forked");
    let child = node.client.of_child();
    let load = Load::on(&child, text(&one));
    let revoked = home.revoke(&one).await;
    child.until(503, text(&other)).await;
    for issued in [&one, &other] {
        for _ in 0..20 {
            let answer = child.get(text(issued)).await;
            assert_eq!(answer.status, 503, "{answer:?}");
        }
    }
    assert_bound(&load.end().await, revoked, STALENESS);
    node.client.until(401, text(&one)).await;
    node.client.until_fresh(text(&other)).await;
}

/// A revocation is settled, and the stopped node had not heard of it: the requests that wait for it are the
/// first that it answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r22_a_stopped_node_refuses_what_is_settled() {
    let home = Home::new().await;
    let (running, stopped) = (home.node(), home.node());
    let store: PostgresStore = patient().connect(&home.url).await.unwrap();
    let options = Replica::options().staleness(STALENESS);
    let (replica, follow) = options.follow(store).unwrap();
    let following = tokio::spawn(follow);
    for _ in 0..3 {
        let issued = home.issue().await;
        running.client.until_fresh(text(&issued)).await;
        stopped.client.until_fresh(text(&issued)).await;
        replica.ready().await.unwrap();
        tokio::task::block_in_place(|| stopped.process.halt());
        home.revoke(&issued).await;
        // A loaded machine may answer no pull in time.
        let end = now() + PATIENCE;
        while let Err(error) = replica.settle().await {
            assert!(now() < end, "{error:?}");
        }
        let waiting = stopped.client.send("/", text(&issued)).await;
        stopped.process.go_on();
        for answer in [
            waiting.answer().await,
            running.client.get(text(&issued)).await,
        ] {
            assert!([401, 503].contains(&answer.status), "{answer:?}");
        }
        stopped.client.until(401, text(&issued)).await;
    }
    following.abort();
}
