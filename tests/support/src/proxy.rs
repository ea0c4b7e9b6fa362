//! A proxy between a program and a server, with the faults of a network that a test chooses.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A TCP proxy in a thread of its own, so that a test that blocks does not hold it up. Its
/// connections end with it.
pub struct Proxy {
    address: SocketAddr,
    network: watch::Sender<Network>,
}

/// The direction of what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    ToServer,
    ToClient,
}

/// What the connections go by.
#[derive(Debug, Clone, Copy)]
struct Network {
    server: u16,
    delay: Duration,
    stalled: [bool; 2],
    /// After so many bytes of answers, a connection is reset.
    most: Option<usize>,
    /// If a count rises, the connections that are open end so.
    resets: u32,
    silences: u32,
}

/// How a connection ends.
enum End {
    Closed,
    Reset,
    Silent,
}

impl Proxy {
    /// A proxy on the loopback to the server on this port.
    pub fn to(server: u16) -> Self {
        Self::at(Ipv4Addr::LOCALHOST.into(), server)
    }

    /// A proxy on this address to the server on this port of the loopback.
    pub fn at(address: IpAddr, server: u16) -> Self {
        let listener = std::net::TcpListener::bind((address, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let (network, watched) = watch::channel(Network {
            server,
            delay: Duration::ZERO,
            stalled: [false; 2],
            most: None,
            resets: 0,
            silences: 0,
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        thread::spawn(move || runtime.block_on(accept(listener, watched)));
        Self { address, network }
    }

    /// The URL of a database behind the proxy.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@{}/{database}", self.address)
    }

    /// New connections lead to the server on this port. Those that are open stay.
    pub fn lead_to(&self, server: u16) {
        self.network.send_modify(|network| network.server = server);
    }

    /// What is sent arrives this much later, on each way.
    pub fn delay(&self, delay: Duration) {
        self.network.send_modify(|network| network.delay = delay);
    }

    /// Holds back what is sent on this way, on new connections too. None is closed.
    pub fn stall(&self, way: Way) {
        let stall = |network: &mut Network| network.stalled[way as usize] = true;
        self.network.send_modify(stall);
    }

    /// Delivers what was held back, and all that follows.
    pub fn go_on(&self) {
        let go_on = |network: &mut Network| network.stalled = [false; 2];
        self.network.send_modify(go_on);
    }

    /// Resets each connection in the middle of its answers, after so many bytes of them, counted
    /// from now on. `None`: no longer.
    pub fn break_off(&self, after: Option<usize>) {
        self.network.send_modify(|network| network.most = after);
    }

    /// Resets all connections that are open.
    pub fn reset(&self) {
        self.network.send_modify(|network| network.resets += 1);
    }

    /// Ends all connections that are open, and does not tell the clients: what they send is lost.
    pub fn half_open(&self) {
        self.network.send_modify(|network| network.silences += 1);
    }
}

async fn accept(listener: std::net::TcpListener, mut network: watch::Receiver<Network>) {
    let listener = TcpListener::from_std(listener).unwrap();
    let watched = network.clone();
    let accepting = async {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(connection(client, watched.clone()));
        }
    };
    tokio::select! {
        () = accepting => {}
        // The proxy was dropped.
        _ = network.wait_for(|_| false) => {}
    }
}

#[allow(deprecated, reason = "the newer name is not in every version of tokio")]
async fn connection(mut client: TcpStream, network: watch::Receiver<Network>) {
    let begun = *network.borrow();
    let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, begun.server)).await else {
        return;
    };
    let end = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            end = pass(from_client, to_server, Way::ToServer, network.clone()) => end,
            end = pass(from_server, to_client, Way::ToClient, network.clone()) => end,
            end = fault(begun, network.clone()) => end,
        }
    };
    match end {
        End::Closed => {}
        End::Reset => client.set_linger(Some(Duration::ZERO)).unwrap(),
        End::Silent => {
            drop(server);
            let mut lost = [0; 1024];
            while let Ok(1..) = client.read(&mut lost).await {}
        }
    }
}

async fn pass(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    way: Way,
    mut network: watch::Receiver<Network>,
) -> End {
    let mut bytes = vec![0; 1 << 16];
    let mut passed = 0;
    loop {
        let read = from.read(&mut bytes).await;
        let delay = network.borrow().delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let flows = network
            .wait_for(|now| !now.stalled[way as usize])
            .await
            .map(|now| *now);
        // An end that nobody hears of is held back too.
        let (Ok(count @ 1..), Ok(now)) = (read, flows) else {
            return End::Closed;
        };
        let mut left = count;
        match now.most.filter(|_| way == Way::ToClient) {
            Some(most) => {
                left = count.min(most.saturating_sub(passed));
                passed += left;
            }
            None => passed = 0,
        }
        if to.write_all(&bytes[..left]).await.is_err() {
            return End::Closed;
        }
        if left < count {
            return End::Reset;
        }
    }
}

async fn fault(begun: Network, mut network: watch::Receiver<Network>) -> End {
    let counts = |now: &Network| (now.resets, now.silences);
    let changed = network
        .wait_for(|now| counts(now) != counts(&begun))
        .await
        .map(|now| *now);
    match changed {
        Ok(now) if now.resets != begun.resets => End::Reset,
        Ok(_) => End::Silent,
        Err(_) => End::Closed,
    }
}
