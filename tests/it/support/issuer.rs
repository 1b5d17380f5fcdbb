//! An issuer of identity tokens on this machine, as CI systems and identity providers are: its discovery document, its
//! keys, tokens with any claims, and every way of answering badly.

use super::receiver::{Heard, Reply, read};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// A fixed key to sign with. They are used nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestKey {
    Rsa1,
    Rsa2,
    Ec1,
    Ec2,
}

impl TestKey {
    pub fn kid(self) -> &'static str {
        match self {
            Self::Rsa1 => "rsa-1",
            Self::Rsa2 => "rsa-2",
            Self::Ec1 => "ec-1",
            Self::Ec2 => "ec-2",
        }
    }

    pub fn algorithm(self) -> Algorithm {
        match self {
            Self::Rsa1 | Self::Rsa2 => Algorithm::RS256,
            Self::Ec1 | Self::Ec2 => Algorithm::ES256,
        }
    }

    pub fn private(self) -> EncodingKey {
        match self {
            Self::Rsa1 => EncodingKey::from_rsa_der(include_bytes!("keys/rsa-1.der")),
            Self::Rsa2 => EncodingKey::from_rsa_der(include_bytes!("keys/rsa-2.der")),
            Self::Ec1 => EncodingKey::from_ec_der(include_bytes!("keys/ec-1.der")),
            Self::Ec2 => EncodingKey::from_ec_der(include_bytes!("keys/ec-2.der")),
        }
    }

    /// The public key as an entry of a JSON Web Key Set.
    pub fn public(self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.private(), self.algorithm()).unwrap();
        jwk.common.key_id = Some(self.kid().to_owned());
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk["use"] = json!("sig");
        jwk
    }

    /// A token with these claims, whose header is as usual.
    pub fn sign(self, claims: &Value) -> String {
        let header = Header { kid: Some(self.kid().to_owned()), ..Header::new(self.algorithm()) };
        jsonwebtoken::encode(&header, claims, &self.private()).unwrap()
    }
}

/// A token whose header and signature can be anything.
pub fn raw_token(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    use base64::Engine;
    let encode = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let message = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
    let signature = encode(&sign(message.as_bytes()));
    format!("{message}.{signature}")
}

type Handler = Arc<dyn Fn(&Heard) -> Reply + Send + Sync>;

struct Shared {
    /// Its address, without a slash at the end.
    url: String,
    heard: Mutex<Vec<Heard>>,
    keys: Mutex<Vec<TestKey>>,
    /// What it answers for a path, instead of its discovery document, its keys or 404.
    handlers: Mutex<BTreeMap<String, Handler>>,
    ended: AtomicBool,
}

/// An issuer that listens until it is dropped.
pub struct Issuer {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl Issuer {
    /// An issuer that signs with [`TestKey::Rsa1`] and [`TestKey::Ec1`].
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            url: format!("http://{address}"),
            heard: Mutex::default(),
            keys: Mutex::new(vec![TestKey::Rsa1, TestKey::Ec1]),
            handlers: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let hearing = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if hearing.ended.load(Ordering::SeqCst) {
                    return;
                }
                let (stream, hearing) = (stream.unwrap(), Arc::clone(&hearing));
                std::thread::spawn(move || serve(stream, &hearing));
            }
        });
        Self { address, shared }
    }

    /// Its name, which is also its address.
    pub fn url(&self) -> String {
        self.shared.url.clone()
    }

    /// Publishes exactly these keys from now on, and signs with them.
    pub fn publish(&self, keys: &[TestKey]) {
        *self.shared.keys.lock().unwrap() = keys.to_vec();
    }

    /// Replaces all its keys.
    pub fn rotate(&self) {
        self.publish(&[TestKey::Rsa2, TestKey::Ec2]);
    }

    /// Answers requests to this path as the handler says.
    pub fn answer(&self, path: &str, handler: impl Fn(&Heard) -> Reply + Send + Sync + 'static) {
        self.shared.handlers.lock().unwrap().insert(path.to_owned(), Arc::new(handler));
    }

    /// Answers requests to this path as at first.
    pub fn restore(&self, path: &str) {
        self.shared.handlers.lock().unwrap().remove(path);
    }

    /// A token of this issuer, signed with its first key. The claims may have another `iss`.
    pub fn sign(&self, claims: &Value) -> String {
        let key = self.shared.keys.lock().unwrap()[0];
        key.sign(&self.claims(claims))
    }

    /// A token of this issuer, signed with ES256.
    pub fn sign_es256(&self, claims: &Value) -> String {
        let keys = self.shared.keys.lock().unwrap().clone();
        let key = keys.into_iter().find(|key| key.algorithm() == Algorithm::ES256).unwrap();
        key.sign(&self.claims(claims))
    }

    /// The claims, with this issuer as `iss` unless they have one.
    pub fn claims(&self, claims: &Value) -> Value {
        let mut claims = claims.clone();
        let map = claims.as_object_mut().unwrap();
        map.entry("iss").or_insert_with(|| json!(self.shared.url));
        claims
    }

    /// All requests until now.
    pub fn requests(&self) -> Vec<Heard> {
        self.shared.heard.lock().unwrap().clone()
    }

    /// How many requests were for this path.
    pub fn count(&self, path: &str) -> usize {
        self.requests().iter().filter(|heard| path_of(heard) == path).count()
    }

    /// The discovery document.
    pub fn discovery(&self) -> Value {
        discovery(&self.shared.url)
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// Where an issuer describes itself.
pub const DISCOVERY: &str = "/.well-known/openid-configuration";
/// Where this issuer has its keys.
pub const KEYS: &str = "/keys";

fn discovery(url: &str) -> Value {
    json!({
        "issuer": url,
        "authorization_endpoint": format!("{url}/authorize"),
        "token_endpoint": format!("{url}/token"),
        "userinfo_endpoint": format!("{url}/userinfo"),
        "end_session_endpoint": format!("{url}/logout"),
        "jwks_uri": format!("{url}{KEYS}"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
    })
}

fn path_of(heard: &Heard) -> String {
    let target = heard.line.split(' ').nth(1).unwrap();
    target.split('?').next().unwrap().to_owned()
}

fn serve(mut stream: TcpStream, shared: &Shared) {
    let Some(heard) = read(&mut stream) else { return };
    let path = path_of(&heard);
    shared.heard.lock().unwrap().push(heard.clone());
    let handler = shared.handlers.lock().unwrap().get(&path).cloned();
    let cached = "Cache-Control: public, max-age=300\r\n";
    let reply = match (handler, path.as_str()) {
        (Some(handler), _) => handler(&heard),
        (None, DISCOVERY) => Reply::json(&discovery(&shared.url), cached),
        (None, KEYS) => {
            let keys: Vec<Value> = shared.keys.lock().unwrap().iter().map(|key| key.public()).collect();
            Reply::json(&json!({ "keys": keys }), cached)
        }
        (None, _) => Reply::status(404),
    };
    reply.send(&mut stream, &shared.ended);
}
