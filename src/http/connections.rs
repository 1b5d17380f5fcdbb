//! Counts connections, in total and per address, and finds the client behind one.

use super::forwarded::reported;
use super::gate::{Gate, Refusal, Shortcut};
use crate::domain::network::{Network, network_of};
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use socket2::SockRef;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// Counts connections and refuses those beyond the limits.
#[derive(Debug)]
pub struct Connections {
    most: usize,
    most_of_one: usize,
    trusted: Vec<Network>,
    stall: Duration,
    head_deadline: Duration,
    open: Mutex<(usize, HashMap<IpAddr, usize>)>,
    warned: Mutex<Option<Instant>>,
}

/// A connection with this refusal is beyond the limit of all connections.
const TOO_MANY: Refusal = Refusal {
    status: StatusCode::SERVICE_UNAVAILABLE,
    message: "there are too many connections to this server: try again later",
};
/// A connection with this refusal is beyond the limit of one address.
const TOO_MANY_OF_ONE: Refusal = Refusal {
    status: StatusCode::SERVICE_UNAVAILABLE,
    message: "there are too many connections from your address: close some, or try again later",
};
/// Refused connections are logged at most this often.
const WARN_EVERY: Duration = Duration::from_secs(60);

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
    /// The limits in total and per address, the proxies that only the total limit applies to, how long a client may
    /// accept no data, and how long it may take for a header section.
    pub fn new(
        most: usize,
        most_of_one: usize,
        trusted: Vec<Network>,
        stall: Duration,
        head_deadline: Duration,
    ) -> Arc<Self> {
        let (open, warned) = (Mutex::default(), Mutex::default());
        Arc::new(Self { most, most_of_one, trusted, stall, head_deadline, open, warned })
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Counted, Refusal> {
        let network = (!self.is_trusted(address)).then(|| network_of(address));
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let of_one = network.and_then(|network| open.1.get(&network).copied()).unwrap_or(0);
        if open.0 >= self.most {
            return Err(TOO_MANY);
        }
        if of_one >= self.most_of_one {
            return Err(TOO_MANY_OF_ONE);
        }
        open.0 += 1;
        if let Some(network) = network {
            *open.1.entry(network).or_default() += 1;
        }
        Ok(Counted { connections: Arc::clone(self), network })
    }

    /// Counts a new connection, and puts a gate in front of it. Beyond a limit the gate answers 503 and closes.
    /// `shortcut` answers clients that come directly: what a proxy reports about its clients is in their requests.
    pub fn open_gate(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: IpAddr,
        shortcut: &Option<Arc<dyn Shortcut + Send + Sync>>,
    ) -> Gate<TcpStream> {
        let socket = SockRef::from(&stream);
        // The kernel ends a connection whose peer accepts no data for this long, including a closed window; actix has
        // no deadline for writes. A socket that does not support this option is not of a kind that can stall.
        let _ = socket.set_tcp_user_timeout(Some(self.stall));
        // Otherwise a small answer, sent as head and body, waits 40 ms for a delayed ACK.
        let _ = socket.set_tcp_nodelay(true);
        let address = peer.to_canonical();
        match self.admit(address) {
            Ok(counted) => {
                let shortcut = shortcut.clone().filter(|_| !self.is_trusted(address));
                Gate::new(stream, self.head_deadline, counted).with_shortcut(shortcut, address)
            }
            Err(refusal) => {
                metrics::counter!("packhouse_connections_refused_total").increment(1);
                self.warn(address, refusal);
                Gate::refusing(stream, refusal)
            }
        }
    }

    /// Logs a refused connection and which setting to change.
    fn warn(&self, address: IpAddr, refusal: Refusal) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_some_and(|warned| warned.elapsed() < WARN_EVERY) {
            return;
        }
        *warned = Some(Instant::now());
        if refusal == TOO_MANY {
            tracing::warn!(limit = self.most, "refused a connection: limits.connections are open already");
        } else {
            tracing::warn!(
                %address,
                limit = self.most_of_one,
                "refused a connection: this address has limits.connections_per_address open already. If it is your \
                 reverse proxy, add it to trusted_proxies"
            );
        }
    }

    /// Whether the peer of a connection is a trusted proxy.
    pub fn is_proxy(&self, peer: Option<IpAddr>) -> bool {
        peer.is_some_and(|peer| self.is_trusted(peer.to_canonical()))
    }

    /// The client of a request: the peer, or the address that a trusted proxy reports.
    ///
    /// The reports are followed from the nearest proxy outwards, as long as each reporting address is trusted. They end
    /// at an entry without an address, because the unknown client behind it may have written all the entries before.
    pub fn client(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        let mut client = peer?.to_canonical();
        if !self.is_trusted(client) {
            return Some(client);
        }
        for address in reported(headers) {
            let Some(address) = address else { break };
            client = address.to_canonical();
            if !self.is_trusted(client) {
                break;
            }
        }
        Some(client)
    }
}
