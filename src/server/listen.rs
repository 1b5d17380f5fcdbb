//! Listening on the configured address, before anything else is started or created.

use crate::config::ListenAddress;
use anyhow::{Context, Result, bail};
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

/// The listeners of a server. Connections wait until they are accepted.
pub struct Listeners {
    listeners: Vec<TcpListener>,
    shown: ListenAddress,
}

impl Listeners {
    /// Listens on the address, or on all addresses of a host name. `localhost` often has one of IPv4 and one of IPv6,
    /// and clients try either first.
    ///
    /// # Errors
    /// The error says that the name has no address, or which address is in use.
    pub fn bind(listen: &ListenAddress) -> Result<Self> {
        Self::take(listen, resolve(listen)?)
    }

    fn take(listen: &ListenAddress, addresses: Vec<SocketAddr>) -> Result<Self> {
        let (mut listeners, mut unusable, mut port) = (Vec::new(), None, None);
        for mut address in addresses {
            // Port 0 takes any free port: one for all addresses.
            address.set_port(port.unwrap_or(address.port()));
            match TcpListener::bind(address) {
                Ok(listener) => {
                    port = Some(listener.local_addr()?.port());
                    listeners.push(listener);
                }
                // A machine without IPv6 still has ::1 for localhost in /etc/hosts.
                Err(error) if listen.name().is_some() && is_absent(&error) => unusable = Some((address, error)),
                Err(error) => return Err(error).with_context(|| refused(listen, address)),
            }
        }
        match (unusable, port) {
            (_, Some(port)) => Ok(Self { listeners, shown: listen.with_port(port) }),
            (Some((address, error)), None) => Err(error).with_context(|| refused(listen, address)),
            (None, None) => bail!("cannot listen on {listen}: the name has no address; check `listen`"),
        }
    }

    /// What a person opens in a browser: the address or name as configured, with the port in use.
    pub fn shown(&self) -> &ListenAddress {
        &self.shown
    }

    /// The same listeners for another server.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn share(&self) -> io::Result<Vec<TcpListener>> {
        self.listeners.iter().map(TcpListener::try_clone).collect()
    }
}

impl IntoIterator for Listeners {
    type Item = TcpListener;
    type IntoIter = std::vec::IntoIter<TcpListener>;

    fn into_iter(self) -> Self::IntoIter {
        self.listeners.into_iter()
    }
}

fn resolve(listen: &ListenAddress) -> Result<Vec<SocketAddr>> {
    let Some(name) = listen.name() else { return Ok(listen.address().into_iter().collect()) };
    let found = name.to_socket_addrs();
    let found = found.with_context(|| format!("cannot listen on {listen}: the name has no address; check `listen`"))?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

/// Whether this machine doesn't have the address or its kind.
fn is_absent(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let absent = [Errno::ADDRNOTAVAIL, Errno::AFNOSUPPORT].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| absent.contains(&code))
}

fn refused(listen: &ListenAddress, address: SocketAddr) -> String {
    let what = if listen.name().is_some() { format!("{listen} ({address})") } else { listen.to_string() };
    format!(
        "cannot listen on {what}: choose another address or port with `listen` in the configuration file, or with the \
         environment variable PACKHOUSE_LISTEN"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(addresses: &[&str]) -> Result<Vec<SocketAddr>> {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let listeners = Listeners::take(&"localhost:0".parse().unwrap(), addresses)?;
        Ok(listeners.into_iter().map(|listener| listener.local_addr().unwrap()).collect())
    }

    #[test]
    fn all_addresses_of_a_name_get_the_same_port() {
        let taken = take(&["127.0.0.1:0", "127.0.0.2:0"]).unwrap();
        assert_eq!(taken.len(), 2);
        assert!(taken[0].port() != 0 && taken[0].port() == taken[1].port(), "{taken:?}");
    }

    #[test]
    fn an_address_that_the_machine_lacks_is_left_out_unless_it_is_the_only_one() {
        // 192.0.2.0/24 is for documentation (RFC 5737).
        assert_eq!(take(&["192.0.2.1:0", "127.0.0.1:0"]).unwrap().len(), 1);
        let refused = format!("{:#}", take(&["192.0.2.1:0"]).unwrap_err());
        assert!(refused.contains("cannot listen on localhost:0 (192.0.2.1:0)"), "{refused}");
    }
}
