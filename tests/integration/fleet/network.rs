//! Faults of the network between a node and Postgres.

use std::time::Duration;

use tower_api_key::RevocationReason;

use super::client::{Load, now};
use super::{Home, Node, STALENESS, assert_bound, set_staleness, text};
use crate::proxy::Way;

/// Nothing passes on one way or on both, and no connection is closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r22_a_black_hole_is_a_503_after_delta() {
    let home = Home::new().await;
    let proxy = home.proxy();
    let node = Node::start(&proxy.url(home.name()), STALENESS);
    for ways in [
        &[Way::ToServer][..],
        &[Way::ToClient],
        &[Way::ToServer, Way::ToClient],
    ] {
        let issued = home.issue().await;
        node.client.until_fresh(text(&issued)).await;
        let load = Load::on(&node.client, text(&issued));
        for way in ways {
            proxy.stall(*way);
        }
        let revoked = home.revoke(&issued).await;
        node.hears("replica_stale");
        node.client.until(503, text(&issued)).await;
        // Late answers to questions from before arrive now.
        proxy.go_on();
        node.client.until(401, text(&issued)).await;
        assert_bound(&load.end().await, revoked, STALENESS);
    }
}

/// The server's end of the connection is gone, and the node's end does not hear of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r22_a_half_open_socket_is_noticed() {
    let home = Home::new().await;
    let proxy = home.proxy();
    let node = Node::start(&proxy.url(home.name()), STALENESS);
    for _ in 0..3 {
        let issued = home.issue().await;
        node.client.until_fresh(text(&issued)).await;
        let load = Load::on(&node.client, text(&issued));
        proxy.half_open();
        let revoked = home.revoke(&issued).await;
        node.client.until(401, text(&issued)).await;
        assert_bound(&load.end().await, revoked, STALENESS);
    }
}

/// Each question takes longer than a pull may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r22_answers_that_are_late_prove_nothing() {
    let home = Home::new().await;
    let proxy = home.proxy();
    let node = Node::start(&proxy.url(home.name()), STALENESS);
    let issued = home.issue().await;
    node.client.until_fresh(text(&issued)).await;
    let load = Load::on(&node.client, text(&issued));
    proxy.delay(STALENESS / 8);
    let revoked = home.revoke(&issued).await;
    node.hears("replica_stale");
    node.client
        .until_it(text(&issued), |answer| answer.status != 200)
        .await;
    proxy.delay(Duration::ZERO);
    node.client.until(401, text(&issued)).await;
    assert_bound(&load.end().await, revoked, STALENESS);
    let next = home.issue().await;
    node.client.until_fresh(text(&next)).await;
}

/// A connection is opened in more questions than one, which together take longer than a pull may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_on_a_slow_link_finds_its_way_back() {
    let (staleness, delay) = (Duration::from_secs(2), Duration::from_millis(50));
    let home = Home::new().await;
    set_staleness(&home.url, staleness).await;
    let proxy = home.proxy();
    let node = Node::start(&proxy.url(home.name()), staleness);
    // Stale first: on a quick machine the way back takes less than the lease has left.
    proxy.stall(Way::ToServer);
    node.hears("replica_stale");
    proxy.delay(delay);
    proxy.reset();
    proxy.go_on();
    node.hears("replica_fresh");
    let issued = home.issue().await;
    node.client.until_fresh(text(&issued)).await;
    home.revoke(&issued).await;
    node.client.until(401, text(&issued)).await;
}

/// Many keys are revoked at once, and each answer that says so breaks off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r22_a_part_of_an_answer_is_no_answer() {
    let home = Home::new().await;
    let proxy = home.proxy();
    let node = Node::start(&proxy.url(home.name()), STALENESS);
    let mut keys = Vec::new();
    for _ in 0..40 {
        keys.push(home.issue().await);
    }
    for issued in &keys {
        node.client.until_fresh(text(issued)).await;
    }
    let loads = [&keys[0], &keys[20], &keys[39]].map(|issued| Load::on(&node.client, text(issued)));
    proxy.break_off(Some(5_000));
    let reason = RevocationReason::KeyCompromise;
    home.ring.revoke_subject("alice", reason).await.unwrap();
    let revoked = now();
    node.hears("replica_stale");
    proxy.break_off(None);
    for issued in &keys {
        node.client.until(401, text(issued)).await;
    }
    for load in loads {
        assert_bound(&load.end().await, revoked, STALENESS);
    }
}
