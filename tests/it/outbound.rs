//! Requests to other servers: host names that resolve to forbidden addresses, and DNS answers that change.

use crate::support::issuer::Issuer;
use crate::support::receiver::{Receiver, Reply};
use packhouse::domain::network::Network;
use packhouse::outbound::{Allowed, Lookup, MAX_DOCUMENT, Outbound, origin};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A resolver that gives every name these addresses, and the number of lookups.
fn leading_to(addresses: &[&str]) -> (Lookup, Arc<AtomicUsize>) {
    let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let lookup: Lookup = Arc::new(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        let addresses = addresses.clone();
        Box::pin(async move { Ok(addresses) })
    });
    (lookup, asked)
}

fn allowed(networks: &[&str], hosts: &[&str]) -> Allowed {
    let networks = networks.iter().map(|network| Network::try_from((*network).to_owned()).unwrap()).collect();
    Allowed { networks, hosts: hosts.iter().map(|host| (*host).to_owned()).collect(), origins: Vec::new() }
}

/// The status of a request to a name with these addresses, or the reason why it failed.
async fn ask(allowed: Allowed, host: &str, addresses: &[&str], port: u16) -> Result<u16, String> {
    let outbound = Outbound::with_lookup(allowed, Duration::from_secs(5), leading_to(addresses).0);
    let answer = outbound.post(&format!("http://{host}:{port}/"), &[], Vec::new()).await;
    answer.map(|answer| answer.status).map_err(|failure| failure.to_string())
}

/// The one error for a name that is unknown, has no address or leads into a private network.
const UNREACHABLE: &str = "cannot connect: rebound.example.org is unknown, or leads to an address that this server \
                           isn't allowed to connect to. An administrator finds the reason in the server's log";

#[tokio::test]
async fn refused_host_names_tell_nothing_about_the_dns_answer() {
    crate::support::log::capture();
    let receiver = Receiver::new();
    let port = receiver.address.port();
    for addresses in [
        &["127.0.0.1"][..],
        &["::1"],
        &["::ffff:127.0.0.1"],
        &["0.0.0.0"],
        &["10.1.2.3"],
        &["169.254.169.254"],
        &["100.64.0.1"],
        &["64:ff9b::a00:1"],
        &["2002:7f00:1::"],
        &["fd00::1"],
        // One forbidden address is enough to refuse, even beside an allowed one.
        &["93.184.215.14", "127.0.0.1"],
        // A name without an address.
        &[],
    ] {
        let refused = ask(Allowed::default(), "rebound.example.org", addresses, port).await.unwrap_err();
        assert_eq!(refused, UNREACHABLE, "{addresses:?}");
    }
    let failing: Lookup = Arc::new(|_| Box::pin(async { Err(std::io::Error::other("NXDOMAIN from ns1.corp")) }));
    let outbound = Outbound::with_lookup(Allowed::default(), Duration::from_secs(5), failing);
    let unknown = outbound.post(&format!("http://rebound.example.org:{port}/"), &[], Vec::new()).await.unwrap_err();
    assert_eq!(unknown.to_string(), UNREACHABLE);
    // The operator finds the reason in the log.
    let log = crate::support::log::captured();
    assert!(log.contains("169.254.169.254 is a link-local address") && log.contains("NXDOMAIN from ns1.corp"));
    assert_eq!(receiver.heard().len(), 0);
}

#[tokio::test]
async fn settings_allow_exactly_the_listed_networks_and_host_names() {
    let receiver = Receiver::new();
    let port = receiver.address.port();
    let ask = async |networks: &[&str], hosts: &[&str], host: &str| {
        ask(allowed(networks, hosts), host, &["127.0.0.1"], port).await
    };
    assert_eq!(ask(&["127.0.0.1"], &[], "a.example.org").await, Ok(200));
    assert_eq!(ask(&["127.0.0.0/8"], &[], "localhost").await, Ok(200));
    assert!(ask(&["10.0.0.0/8"], &[], "a.example.org").await.is_err());
    assert_eq!(ask(&[], &["CI.example.org"], "ci.example.ORG").await, Ok(200));
    assert_eq!(ask(&[], &["*.example.org"], "deep.in.example.org").await, Ok(200));
    for other in ["example.org", "evilexample.org", "example.org.evil.example"] {
        assert!(ask(&[], &["*.example.org"], other).await.is_err(), "{other}");
    }
    assert!(ask(&[], &["ci.example.org"], "xci.example.org").await.is_err());
    assert_eq!(receiver.heard().len(), 4);
}

#[tokio::test]
async fn the_checked_address_is_the_one_connected_to_despite_dns_rebinding() {
    let receiver = Receiver::new();
    let (lookup, asked) = leading_to(&["127.0.0.1"]);
    let outbound = Outbound::with_lookup(allowed(&["127.0.0.1"], &[]), Duration::from_secs(5), lookup);
    let url = format!("http://once.example.org:{}/", receiver.address.port());
    for count in 1..=2 {
        assert_eq!(outbound.post(&url, &[], Vec::new()).await.unwrap().status, 200);
        assert_eq!(asked.load(Ordering::SeqCst), count, "neither connections nor DNS answers are reused");
    }
    assert_eq!(receiver.heard()[0].header("host"), format!("once.example.org:{}", receiver.address.port()));
}

#[tokio::test]
async fn private_addresses_and_other_schemes_are_refused_in_any_notation() {
    let outbound = Outbound::new(Allowed::default(), Duration::from_secs(5));
    for wrong in [
        "http://127.1/",
        "http://0x7f000001/",
        "http://017700000001/",
        "http://2130706433/",
        "http://[::]/",
        "http://127.0.0.1./",
        "http://１２７.0.0.1/",
        "http://localhost/",
        "http://LOCALHOST./",
        "http://x.localhost/",
        "http://[::ffff:7f00:1]/",
        "https://192.168.0.1/",
        "file:///etc/passwd",
        "gopher://example.org/",
        "http://user@example.org/",
        "http://:pw@example.org/",
        "unix:/x",
        "",
    ] {
        assert!(outbound.check(wrong).is_err(), "{wrong}");
    }
    for good in
        ["http://example.org/", "https://1.1.1.1:8443/x?y", "http://[2606:4700:4700::1111]/", "http://example.org:22/"]
    {
        assert_eq!(outbound.check(good), Ok(()), "{good}");
    }
}

#[tokio::test]
async fn configured_origins_are_reached_in_the_private_network_and_no_others() {
    let (issuer, other) = (Issuer::new(), Receiver::new());
    let (lookup, _) = leading_to(&["127.0.0.1"]);
    let port = issuer.address.port();
    let named = format!("http://Idp.Example.org:{port}/realm");
    let origins = vec![issuer.url(), origin(&named).unwrap()];
    let allowed = Allowed { origins, ..Allowed::default() };
    let outbound = Outbound::with_lookup(allowed, Duration::from_secs(5), lookup);
    for url in [issuer.url(), format!("http://idp.example.org:{port}")] {
        let url = format!("{url}/.well-known/openid-configuration");
        let (document, answer) = outbound.get_json::<serde_json::Value>(&url).await.unwrap();
        assert_eq!(document["issuer"], issuer.url());
        assert_eq!(answer.fresh_for(), Some(Duration::from_secs(300)));
    }
    // The same host with another port, and another host at the same address.
    for other in [other.address.to_string(), format!("idp.example.org:{}", other.address.port())] {
        outbound.get(&format!("http://{other}/"), &[], 10).await.unwrap_err();
        outbound.post(&format!("http://{other}/"), &[], Vec::new()).await.unwrap_err();
    }
    outbound.get(&format!("http://other.example.org:{port}/"), &[], 10).await.unwrap_err();
    assert_eq!((issuer.requests().len(), other.heard().len()), (2, 0));
}

#[tokio::test]
async fn documents_of_other_servers_are_read_whole_or_refused() {
    let issuer = Issuer::new();
    let allowed = Allowed { origins: vec![issuer.url()], ..Allowed::default() };
    let outbound = Outbound::new(allowed, Duration::from_secs(5));
    let url = format!("{}/document", issuer.url());
    let get = async || outbound.get_json::<serde_json::Value>(&url).await.map_err(|failure| failure.to_string());
    let json = |cache: &str| Reply::json(&serde_json::json!({"a": 1}), cache);
    for (cache, fresh) in [
        ("", None),
        ("Cache-Control: public, Max-Age=\"600\"\r\nAge: 100\r\n", Some(500)),
        ("Cache-Control: max-age=10\r\nAge: 100\r\n", Some(0)),
        ("Cache-Control: max-age=10, no-store\r\n", Some(0)),
        ("Cache-Control: max-age=soon\r\n", None),
    ] {
        let cache = cache.to_owned();
        issuer.answer("/document", move |_| json(&cache));
        assert_eq!(get().await.unwrap().1.fresh_for(), fresh.map(Duration::from_secs));
    }
    issuer.answer("/document", |_| Reply::Endless("HTTP/1.1 200 OK\r\n\r\n".to_owned()));
    assert!(get().await.unwrap_err().contains(&format!("incomplete: only the first {MAX_DOCUMENT} bytes")));
    issuer.answer("/document", |_| Reply::status(404));
    assert_eq!(get().await.unwrap_err(), "it answered with status 404");
    issuer.answer("/document", |_| Reply::status(200));
    assert!(get().await.unwrap_err().starts_with("its answer is not as expected"));
    let elsewhere = "HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n";
    issuer.answer("/document", |_| Reply::Bytes(elsewhere.to_owned()));
    assert_eq!(get().await.unwrap_err(), "it answered with status 302");
    assert_eq!(issuer.count("/other"), 0, "redirects are not followed");

    issuer.answer("/token", |heard| Reply::json(&serde_json::json!({"body": heard.body}), ""));
    let token = format!("{}/token", issuer.url());
    let answer = outbound.post_form(&token, &[], &[("code", "a b&c"), ("key", "ü")], 100).await.unwrap();
    assert_eq!(answer.json::<serde_json::Value>().unwrap()["body"], "code=a+b%26c&key=%C3%BC");
    assert_eq!(issuer.requests().last().unwrap().header("content-type"), "application/x-www-form-urlencoded");
}
