//! Processes that are stopped, and go on.

use super::client::now;
use super::{Home, Node, STALENESS, text};
use crate::proxy::Way;

const ROUNDS: usize = 6;

/// SIGSTOP, longer than the staleness, a revocation, SIGCONT: the requests that wait for the process are
/// its first ones, and it may not have heard by then. In every second round it cannot hear.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r22_a_stopped_process_that_goes_on_refuses_before_it_hears() {
    let home = Home::new().await;
    let proxy = home.proxy();
    let node = Node::start(&proxy.url(home.name()), STALENESS);
    for round in 0..ROUNDS {
        let issued = home.issue().await;
        node.client.until(200, text(&issued)).await;
        let is_cut_off = round % 2 == 1;
        if is_cut_off {
            proxy.stall(Way::ToServer);
            proxy.stall(Way::ToClient);
        }
        tokio::task::block_in_place(|| node.process.halt());
        let stopped = now();
        home.revoke(&issued).await;
        let mut waiting = Vec::new();
        for _ in 0..8 {
            waiting.push(node.client.send("/", text(&issued)).await);
        }
        tokio::time::sleep((stopped + STALENESS).saturating_sub(now())).await;
        node.process.go_on();
        // A node that asks the database, and waits too long for it, says 503 too.
        let refused: &[u16] = if is_cut_off { &[503] } else { &[401, 503] };
        for waiting in waiting {
            let answer = waiting.answer().await;
            assert!(
                refused.contains(&answer.status),
                "round {round}: {answer:?}"
            );
        }
        proxy.go_on();
        node.client.until(401, text(&issued)).await;
    }
}
