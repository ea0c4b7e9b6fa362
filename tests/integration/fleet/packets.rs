//! A network that loses packets on their way to the database, on one way or on both. No end hears of it: no connection is
//! reset, and a proxy that holds data back would still acknowledge it.
//!
//! The node runs in a network namespace of its own. A way loses packets if its sender has the wrong link address of
//! the other end, which needs no module of the kernel. It needs root.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::client::Load;
use super::{Home, Node, STALENESS, assert_bound, text};
use crate::proxy::Way;
use crate::support::not_run;

/// The link addresses of the end at the tests, of the end at the node, and of none.
const NEAR: &str = "02:00:00:00:00:01";
const FAR: &str = "02:00:00:00:00:02";
const NOBODY: &str = "02:00:00:00:00:03";

/// The interface of the node.
const INSIDE: &str = "key";

/// A network namespace, and a pair of interfaces between it and that of the tests. Both end with its holder, which ends
/// with the tests.
struct Namespace {
    holder: Child,
    interface: String,
    near: String,
    far: String,
}

impl Namespace {
    /// `None`, and a line about it, if this user may not make one.
    fn new() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed) + std::process::id();
        // 198.18.0.0/15 is for tests (RFC 2544).
        let (high, low) = (number >> 6 & 0xff, number << 2 & 0xff);
        let mut holder = Command::new("unshare")
            .args(["--net", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        writeln!(holder.stdin.as_mut().unwrap(), "ready").ok()?;
        let mut line = String::new();
        BufReader::new(holder.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .ok()?;
        let namespace = Self {
            holder,
            interface: format!("key{number}"),
            near: format!("198.18.{high}.{}", low + 1),
            far: format!("198.18.{high}.{}", low + 2),
        };
        namespace.join().then_some(namespace)
    }

    /// Gives both ends their addresses.
    fn join(&self) -> bool {
        let pid = self.holder.id();
        let pair = format!(
            "link add {} address {NEAR} type veth peer name {INSIDE} address {FAR} netns {pid}",
            self.interface
        );
        let pair: Vec<&str> = pair.split(' ').collect();
        let (near, far) = (format!("{}/30", self.near), format!("{}/30", self.far));
        ip(&pair)
            && ip(&["address", "add", &near, "dev", &self.interface])
            && ip(&["link", "set", &self.interface, "up"])
            && self.ip_inside(&["address", "add", &far, "dev", INSIDE])
            && self.ip_inside(&["link", "set", INSIDE, "up"])
            && self.lead(Way::ToServer, NEAR)
            && self.lead(Way::ToClient, FAR)
    }

    /// What is sent on this way is for this link address.
    fn lead(&self, way: Way, link: &str) -> bool {
        let to = |address, interface| {
            let to = ["neigh", "replace", address, "lladdr", link];
            [to.as_slice(), &["dev", interface, "nud", "permanent"]].concat()
        };
        match way {
            Way::ToServer => self.ip_inside(&to(&self.near, INSIDE)),
            Way::ToClient => ip(&to(&self.far, &self.interface)),
        }
    }

    fn lose(&self, way: Way) {
        assert!(self.lead(way, NOBODY));
    }

    fn deliver(&self) {
        assert!(self.lead(Way::ToServer, NEAR) && self.lead(Way::ToClient, FAR));
    }

    /// What a program begins with that runs in the namespace.
    fn inside(&self) -> [String; 2] {
        let net = format!("--net=/proc/{}/ns/net", self.holder.id());
        ["nsenter".to_owned(), net]
    }

    fn ip_inside(&self, words: &[&str]) -> bool {
        let [nsenter, net] = self.inside();
        succeeds(Command::new(nsenter).arg(net).arg("ip").args(words))
    }
}

/// Outside of the namespace.
fn ip(words: &[&str]) -> bool {
    succeeds(Command::new("ip").args(words))
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Its input ends, and so does it.
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

#[allow(clippy::print_stderr, reason = "the test shows it if it fails")]
fn succeeds(command: &mut Command) -> bool {
    match command.output() {
        Ok(output) if output.status.success() => true,
        failed => {
            eprintln!("{command:?}: {failed:?}");
            false
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r22_packets_that_are_lost_are_a_503_after_delta() {
    let Some(namespace) = Namespace::new() else {
        not_run(format_args!(
            "a network that loses packets, because this user may make no network namespaces"
        ));
        return;
    };
    let home = Home::new().await;
    let proxy = home.proxy_at(namespace.near.parse().unwrap());
    let inside = namespace.inside();
    let inside = inside.each_ref().map(String::as_str);
    let node = Node::start_through(&inside, &proxy.url(home.name()), STALENESS);
    node.hears("replica_fresh");
    for ways in [
        &[Way::ToServer][..],
        &[Way::ToClient],
        &[Way::ToServer, Way::ToClient],
    ] {
        let issued = home.issue().await;
        node.client.until_fresh(text(&issued)).await;
        let load = Load::on(&node.client, text(&issued));
        for way in ways {
            namespace.lose(*way);
        }
        let revoked = home.revoke(&issued).await;
        node.hears("replica_stale");
        node.client.until(503, text(&issued)).await;
        namespace.deliver();
        node.client.until(401, text(&issued)).await;
        assert_bound(&load.end().await, revoked, STALENESS);
    }
}
