//! What a pull costs that brings nothing, with checksums and without, and how long it takes to settle.

use std::time::{Duration, Instant};

use tower_api_key::replica::{Changes, Feed, Realms};
use tower_api_key_test_support::pg_server::{PgServer, patient};

use crate::nodes::{Nodes, Processes, fill, percentiles};

pub(crate) async fn run(once: bool) {
    let (keys, pulls) = if once {
        (100, 100)
    } else {
        (1_000_000, 10_000)
    };
    let server = PgServer::start("on");
    let url = server.database().await;
    fill(&url, 1, keys).await;
    let store = patient().connect(&url).await.unwrap();
    let (realms, mut sample) = (Realms::all(), Vec::new());
    let head = store.head().await.unwrap();
    let server_processes = Processes::of(&url).await;
    let processor = server_processes.time();
    for _ in 0..pulls {
        let begun = Instant::now();
        let changes = store.changes(&realms, &head.position, None, None).await;
        sample.push(begun.elapsed());
        assert!(matches!(changes.unwrap(), Changes::Since(batch) if batch.records.is_empty()));
    }
    let processor = server_processes.time().saturating_sub(processor);
    println!(
        "\na pull that brings nothing, {keys} keys: {}",
        percentiles(&mut sample)
    );
    let each = processor.as_secs_f64() / f64::from(pulls);
    println!(
        "processor time of the server for each, one after the other: {:.0} µs",
        each * 1e6
    );

    // An audit asks for one bucket of checksums a second; a node that begins anew for all of them, 32 at a time.
    for count in [1_u8, 32] {
        let (mut sample, begun) = (Vec::new(), Instant::now());
        let mut checked = 0;
        for first in (0..=u8::MAX).step_by(usize::from(count)) {
            let buckets = first..=first.saturating_add(count - 1);
            let begun = Instant::now();
            let changes = store.changes(&realms, &head.position, None, Some(buckets.clone()));
            let Changes::Since(batch) = changes.await.unwrap() else {
                panic!("the history goes on");
            };
            sample.push(begun.elapsed());
            let sums = batch.sums.unwrap();
            checked += buckets.map(|bucket| sums.get(bucket).count).sum::<u64>();
        }
        assert_eq!(checked, keys);
        println!(
            "a pull with the checksums of {count} of 256 buckets: {}, of all {:.1} s",
            percentiles(&mut sample),
            begun.elapsed().as_secs_f64()
        );
    }

    let nodes = Nodes::start(&url, 1, Duration::from_millis(50)).await;
    let begun = Instant::now();
    nodes.replicas[0].settle().await.unwrap();
    println!(
        "settled after {:.2} s, with a staleness of 5 s",
        begun.elapsed().as_secs_f64()
    );
}
