//! Addresses and networks of them.

use serde::Deserialize;
use std::net::IpAddr;

/// An address, or a network in CIDR notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network {
    base: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether an address is inside.
    pub fn contains(&self, address: IpAddr) -> bool {
        let differing = match (self.base, address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => u128::from(u32::from(a) ^ u32::from(b)) << 96,
            (IpAddr::V6(a), IpAddr::V6(b)) => u128::from(a) ^ u128::from(b),
            _ => return false,
        };
        differing.leading_zeros() >= u32::from(self.prefix)
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let (address, prefix) = text.split_once('/').map_or((text.as_str(), None), |(a, p)| (a, Some(p)));
        let wrong = || format!("{text:?} is no address and no network such as 10.0.0.0/8");
        let base: IpAddr = address.parse().map_err(|_| wrong())?;
        let longest = if base.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(longest), str::parse::<u8>).map_err(|_| wrong())?;
        if prefix > longest { Err(wrong()) } else { Ok(Self { base, prefix }) }
    }
}

/// An IPv4 address, or the /64 an IPv6 address is in: who has one address there has them all.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::from((u128::from(address) >> 64 << 64).to_be_bytes()),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        Network::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn networks_hold_their_addresses_and_no_others() {
        let is_in = |address: &str, text: &str| network(text).contains(address.parse().unwrap());
        assert!(is_in("10.1.2.3", "10.0.0.0/8"));
        assert!(!is_in("11.1.2.3", "10.0.0.0/8"));
        assert!(is_in("127.0.0.1", "127.0.0.1"));
        assert!(is_in("::ffff:127.0.0.1", "127.0.0.1"));
        assert!(is_in("1.2.3.4", "0.0.0.0/0"));
        assert!(!is_in("::1", "0.0.0.0/0"));
        assert!(is_in("2001:db8::1", "2001:db8::/32"));
        assert!(Network::try_from("10.0.0.0/33".to_owned()).is_err());
        assert!(Network::try_from("localhost".to_owned()).is_err());
    }

    #[test]
    fn an_ipv6_neighbour_counts_as_the_same() {
        let of = |text: &str| network_of(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2:ffff::"));
        assert_ne!(of("2001:db8:1:2::"), of("2001:db8:1:3::"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }
}
