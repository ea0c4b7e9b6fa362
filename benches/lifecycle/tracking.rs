//! The cost per request of tracking the last use of a key, and of an observer.

use std::hint::black_box;
use std::time::Instant;

use http::{HeaderName, HeaderValue, Request, Response};
use tower::{Layer, Service};
use tower_api_key::store::MemoryStore;
use tower_api_key::{ApiKeyLayer, Event, KeyRing};

use crate::{Draws, keys, median, now};

const BATCH: u16 = 32;
const ROUNDS: usize = 8_000;
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Prints the layer's median with neither, with each, and with both.
pub(crate) fn on_the_request_path(once: bool) {
    let store = MemoryStore::new();
    let plain = || KeyRing::builder("acme_live");
    let keys = keys(
        &plain().build(store.clone()).unwrap(),
        if once { 100 } else { 10_000 },
    );
    let ignore = |event: &Event<'_>| {
        black_box(event);
    };
    let candidates = [
        ("neither", plain()),
        ("last use", plain().track_last_use()),
        ("an observer", plain().observer(ignore)),
        ("both", plain().track_last_use().observer(ignore)),
    ];
    let mut candidates = candidates.map(|(name, builder)| {
        let layer = ApiKeyLayer::new(builder.build(store.clone()).unwrap()).require("orders:read");
        let service = layer.layer(tower::service_fn(async |request: Request<()>| {
            drop(black_box(request));
            Ok::<_, std::convert::Infallible>(Response::new(http_body_util::Empty::new()))
        }));
        (name, service, Vec::new())
    });
    let mut draws = Draws(11);
    for _ in 0..if once { 1 } else { ROUNDS } {
        for (_, service, samples) in &mut candidates {
            let requests: Vec<Request<()>> = (0..BATCH)
                .map(|_| {
                    let key = HeaderValue::from_str(&keys[draws.next(keys.len())]).unwrap();
                    let mut request = Request::new(());
                    request.headers_mut().insert(X_API_KEY, key);
                    request
                })
                .collect();
            let start = Instant::now();
            for request in requests {
                let response: Response<
                    tower_api_key::ResponseBody<http_body_util::Empty<bytes::Bytes>>,
                > = now(service.call(request)).unwrap();
                assert_eq!(response.status(), 200);
            }
            samples.push(start.elapsed().as_secs_f64() * 1e9 / f64::from(BATCH));
        }
    }
    println!(
        "\n{} keys, drawn at random, a request through the layer with",
        keys.len()
    );
    let medians = candidates.map(|(name, _, mut samples)| (name, median(&mut samples)));
    for (name, median) in medians {
        println!(
            "  {name:<12} {median:>8.1} ns  {:.2} x",
            median / medians[0].1
        );
    }
}
