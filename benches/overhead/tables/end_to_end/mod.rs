//! Requests over loopback to a server of hyper that has one thread: the bare service, the same with the two headers that the
//! layer adds, the floor with those headers, the rival by hand, which adds none, and the default layer, each in a process of
//! its own, in turns.
//!
//! HTTP/1.1 with keep-alive. The client writes prepared bytes, and reads of a response its status, its length and its end, so that
//! the server is what takes the time.

mod callgrind;
mod client;
mod server;

use std::time::Instant;

use tower_api_key_overhead::{Draws, median};

pub(crate) use self::callgrind::report as count;
use self::client::Client;
use self::server::Server;
pub(crate) use self::server::serve;

/// The argument that makes a process a server.
pub(crate) const SERVE: &str = "--serve";
const BARE: &str = "bare";
const HEADED: &str = "bare + 2 headers";
const FLOOR: &str = "floor + 2 headers";
const BY_HAND: &str = "hand-written";
const LAYER: &str = "layer";
pub(crate) const NAMES: [&str; 5] = [BARE, HEADED, FLOOR, BY_HAND, LAYER];
/// Connections at a time, so that the server finds the next request when it has answered one.
const CONNECTIONS: usize = 16;
/// Requests of a turn on each connection.
const REQUESTS: usize = 100;
const TURNS: usize = 100;

/// Requests that are served in a second, by the clock and by the time of the processor that the server took.
struct Rates {
    by_clock: Vec<f64>,
    by_processor: Vec<f64>,
}

/// Prints a line for each figure: its name, a tab, its value.
pub(crate) fn report(keys: usize, once: bool) {
    let runtime = client::runtime();
    let servers = NAMES.map(|name| Server::start(name, keys, None));
    let clients = servers
        .each_ref()
        .map(|server| runtime.block_on(Client::connect(server, CONNECTIONS)));
    for (name, server) in NAMES.iter().zip(&servers) {
        // Whether the server is what it should be.
        let expected = match *name {
            BARE | HEADED => 200,
            BY_HAND | LAYER => 401,
            // It attaches a key's record or ends.
            _ => continue,
        };
        let status = runtime.block_on(client::status(server.address, &server.unknown));
        assert_eq!(status, expected, "{name}");
    }
    let mut rates = NAMES.map(|_| Rates {
        by_clock: Vec::new(),
        by_processor: Vec::new(),
    });
    let mut cases: Vec<_> = servers.iter().zip(clients).zip(&mut rates).collect();
    let mut draws = Draws::random(0);
    let turns = if once { 1 } else { TURNS };
    for _ in 0..turns {
        // No server is always the first.
        if draws.next(2) == 0 {
            cases.reverse();
        }
        for ((server, client), rates) in &mut cases {
            #[allow(clippy::disallowed_methods, reason = "a bench measures real time")]
            let (start, busy) = (Instant::now(), server.busy());
            let answered = runtime.block_on(client.turn(REQUESTS));
            rates
                .by_clock
                .push(answered / start.elapsed().as_secs_f64());
            rates.by_processor.push(answered / (server.busy() - busy));
        }
    }
    drop(cases);
    for (name, rates) in NAMES.iter().zip(rates) {
        println!("clock/{name}\t{}", median(rates.by_clock));
        println!("processor/{name}\t{}", median(rates.by_processor));
    }
}
