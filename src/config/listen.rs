//! The address to listen on.

use serde::Deserialize;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// An IP address or the name of a host, and a port: `127.0.0.1:3000`, `[::1]:3000`, `localhost:3000`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ListenAddress {
    host: Host,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Address(IpAddr),
    Name(String),
}

/// A text that is no address to listen on.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is not an address to listen on: write an IP address or a host name, and a port, such as 127.0.0.1:3000, \
     [::1]:3000 or localhost:3000"
)]
pub struct NotAnAddress(String);

impl ListenAddress {
    /// The name to look up and the port; `None` if it is an IP address.
    pub fn name(&self) -> Option<(&str, u16)> {
        match &self.host {
            Host::Name(name) => Some((name, self.port)),
            Host::Address(_) => None,
        }
    }

    /// The IP address and the port; `None` if it is a name.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.host {
            Host::Address(ip) => Some(SocketAddr::new(*ip, self.port)),
            Host::Name(_) => None,
        }
    }

    /// The same host with another port.
    #[must_use]
    pub fn with_port(&self, port: u16) -> Self {
        Self { host: self.host.clone(), port }
    }
}

impl FromStr for ListenAddress {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self { host: Host::Address(address.ip()), port: address.port() });
        }
        let refused = || NotAnAddress(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(refused)?;
        let port = port.parse().map_err(|_| refused())?;
        let is_label = |label: &str| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        // A name whose last part is a number is a mistyped IPv4 address, which the resolver would complete somehow.
        let last = host.rsplit('.').next().unwrap_or_default();
        let is_number = last.bytes().all(|byte| byte.is_ascii_digit());
        if host.len() > 253 || !host.split('.').all(is_label) || is_number {
            return Err(refused());
        }
        Ok(Self { host: Host::Name(host.to_owned()), port })
    }
}

impl TryFrom<String> for ListenAddress {
    type Error = NotAnAddress;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(ip) => SocketAddr::new(*ip, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_host_names_with_a_port_are_read_as_written() {
        for text in
            ["127.0.0.1:3000", "[::1]:0", "0.0.0.0:80", "localhost:3000", "packages.example.org:8080", "my_host:1"]
        {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
        }
        assert_eq!("localhost:0".parse::<ListenAddress>().unwrap().with_port(81).to_string(), "localhost:81");
    }

    #[test]
    fn incomplete_and_mistyped_addresses_are_refused() {
        for text in [
            "",
            "localhost",
            "3000",
            ":3000",
            "*:3000",
            "::1:3000",
            "[::1]",
            "127.0.0:80",
            "1.2.3.400:80",
            "a b:80",
            "a..b:80",
            "localhost:",
            "localhost:65536",
            "localhost:http",
            "http://localhost:80",
            "localhost:80/",
        ] {
            assert!(text.parse::<ListenAddress>().is_err(), "{text}");
        }
    }
}
