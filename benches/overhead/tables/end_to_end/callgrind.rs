//! Instructions of a server, counted by callgrind.

use std::path::Path;
use std::process::Command;

use super::client::{self, Client};
use super::server::Server;
use super::{BARE, CONNECTIONS, NAMES};

/// Enough that what a connection takes once is less than an instruction a request.
const REQUESTS: usize = 20_000;

/// Prints the instructions of a request to each server, those of its thread outside the kernel. Callgrind has no SHA
/// extensions, so the hash takes some 3 400 of those of the layer.
pub(crate) fn report(keys: usize) {
    let [bare, others @ ..] = NAMES.map(|name| {
        let counted = instructions(name, keys);
        println!("{name}\t{counted:.0}");
        counted
    });
    for (name, counted) in NAMES[1..].iter().zip(others) {
        println!("{BARE} / {name}\t{:.3}", bare / counted);
    }
}

fn instructions(name: &str, keys: usize) -> f64 {
    let file = format!("callgrind.{name}.{}", std::process::id());
    let file = std::env::temp_dir().join(file);
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["-q", "--tool=callgrind", "--collect-atstart=no"]);
    valgrind.arg("--toggle-collect=*::end_to_end::server::served*");
    valgrind.arg(format!("--callgrind-out-file={}", file.display()));
    let server = Server::start(name, keys, Some(valgrind));
    let runtime = client::runtime();
    let mut client = runtime.block_on(Client::connect(&server, CONNECTIONS));
    let answered = runtime.block_on(client.turn(REQUESTS / CONNECTIONS));
    drop(client);
    drop(server);
    let total = total(&file);
    std::fs::remove_file(&file).unwrap();
    total / answered
}

fn total(file: &Path) -> f64 {
    let text = std::fs::read_to_string(file).unwrap();
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    total.expect("the counts of callgrind").parse().unwrap()
}
