//! Counts connections, in total and per address, and finds the client behind one.

use crate::domain::network::{Network, network_of};
use actix_web::dev::Extensions;
use actix_web::http::header::{HeaderMap, HeaderName};
use socket2::SockRef;
use std::any::Any;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;

/// Counts connections and refuses those beyond the limits.
#[derive(Debug)]
pub struct Connections {
    most: usize,
    most_of_one: usize,
    trusted: Vec<Network>,
    stall: Duration,
    open: Mutex<(usize, HashMap<IpAddr, usize>)>,
}

/// One counted connection; frees its place when the connection ends.
struct Counted {
    connections: Arc<Connections>,
    network: Option<IpAddr>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.0 = open.0.saturating_sub(1);
        if let Some(network) = self.network
            && let Some(count) = open.1.get_mut(&network)
        {
            *count -= 1;
            if *count == 0 {
                open.1.remove(&network);
            }
        }
    }
}

impl Connections {
    /// The limits in total and per address, the proxies that only the total limit applies to, and how long a client may
    /// accept no data.
    pub fn new(most: usize, most_of_one: usize, trusted: Vec<Network>, stall: Duration) -> Arc<Self> {
        Arc::new(Self { most, most_of_one, trusted, stall, open: Mutex::default() })
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Counted> {
        let network = (!self.is_trusted(address)).then(|| network_of(address));
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let of_one = network.and_then(|network| open.1.get(&network).copied()).unwrap_or(0);
        if open.0 >= self.most || of_one >= self.most_of_one {
            return None;
        }
        open.0 += 1;
        if let Some(network) = network {
            *open.1.entry(network).or_default() += 1;
        }
        Some(Counted { connections: Arc::clone(self), network })
    }

    /// Called by actix for each new connection: counts it, or closes it at once.
    pub fn on_connect(self: &Arc<Self>, io: &dyn Any, extensions: &mut Extensions) {
        let Some(stream) = io.downcast_ref::<TcpStream>() else { return };
        let socket = SockRef::from(stream);
        // The kernel ends a connection whose peer accepts no data for this long, including a closed window; actix has
        // no deadline for writes. A socket that does not support this option is not of a kind that can stall.
        let _ = socket.set_tcp_user_timeout(Some(self.stall));
        let Ok(peer) = stream.peer_addr() else { return };
        match self.admit(peer.ip().to_canonical()) {
            Some(counted) => {
                extensions.insert(counted);
            }
            None => {
                metrics::counter!("packhouse_connections_refused_total").increment(1);
                let _ = socket.shutdown(std::net::Shutdown::Both);
            }
        }
    }

    /// Whether the peer of a connection is a trusted proxy.
    pub fn is_proxy(&self, peer: Option<IpAddr>) -> bool {
        peer.is_some_and(|peer| self.is_trusted(peer.to_canonical()))
    }

    /// The client of a request: the peer, or the address that a trusted proxy reports.
    pub fn client(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
        let mut client = peer?.to_canonical();
        let named: Vec<&str> = headers
            .get_all(&X_FORWARDED_FOR)
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .collect();
        // From the nearest proxy outwards, as long as each reporting address is trusted.
        for name in named.iter().rev() {
            if !self.is_trusted(client) {
                break;
            }
            let Ok(address) = name.trim().parse::<IpAddr>() else { break };
            client = address.to_canonical();
        }
        Some(client)
    }
}
