//! An OpenID Connect provider on this machine, to sign in with: an [`Issuer`] with a token endpoint, which checks the
//! client, the code and PKCE as providers do, and a userinfo endpoint.

use super::Site;
use super::browser::Browser;
use super::issuer::{Issuer, TestKey};
use super::receiver::{Heard, Reply};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::Url;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

pub const CLIENT: &str = "packhouse";
pub const SECRET: &str = "the secret of the client";

type Forge = Arc<dyn Fn(Value) -> String + Send + Sync>;

#[derive(Default)]
struct State {
    /// By code: the claims of the ID token, and the PKCE challenge.
    codes: BTreeMap<String, (Value, String)>,
    issued: u32,
    /// Makes the ID token of the claims, instead of signing them.
    forge: Option<Forge>,
    /// The claims of the userinfo endpoint.
    userinfo: Option<Value>,
    /// The answers of the token endpoint, whatever their outcome.
    answered: u32,
}

/// A provider that listens until it is dropped.
pub struct SignInProvider {
    pub issuer: Arc<Issuer>,
    state: Arc<Mutex<State>>,
}

impl SignInProvider {
    pub fn new() -> Self {
        let issuer = Arc::new(Issuer::new());
        let state = Arc::new(Mutex::new(State::default()));
        let provider = Self { issuer: Arc::clone(&issuer), state };
        // A weak reference: the issuer keeps its handlers.
        let (of_token, of_userinfo) = (Arc::clone(&provider.state), Arc::clone(&provider.state));
        let signer = Arc::downgrade(&issuer);
        let sign = move |claims: Value| signer.upgrade().map(|issuer| issuer.sign(&claims)).unwrap_or_default();
        issuer.answer("/token", move |heard| redeem(&of_token, heard, &sign));
        issuer.answer("/userinfo", move |heard| {
            assert!(heard.header("authorization").starts_with("Bearer access-"), "{heard:?}");
            let claims = of_userinfo.lock().unwrap().userinfo.clone();
            claims.map_or_else(|| Reply::status(404), |claims| Reply::json(&claims, ""))
        });
        provider
    }

    pub fn url(&self) -> String {
        self.issuer.url()
    }

    /// The settings of a site that people sign in to with this provider, by its environment.
    pub fn settings(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = [
            ("NAME", "corp"),
            ("DISPLAY_NAME", "Corp"),
            ("ISSUER", &*self.url()),
            ("CLIENT_ID", CLIENT),
            ("CLIENT_SECRET", SECRET),
        ];
        let named = |(key, value): (&str, &str)| (format!("PACKHOUSE_AUTH_OIDC_{key}"), value.to_owned());
        let more = more.iter().map(|(key, value)| match key.strip_prefix("PACKHOUSE_") {
            Some(_) => ((*key).to_owned(), (*value).to_owned()),
            None => named((*key, *value)),
        });
        own.map(named).into_iter().chain(more).collect()
    }

    /// A site with this provider.
    pub fn site(&self, more: &[(&str, &str)]) -> Site {
        let settings = self.settings(more);
        let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (&**key, &**value)).collect();
        Site::with(&settings)
    }

    /// Makes ID tokens of their claims in another way than by signing them.
    pub fn forge(&self, forge: impl Fn(Value) -> String + Send + Sync + 'static) {
        self.state.lock().unwrap().forge = Some(Arc::new(forge));
    }

    /// Signs ID tokens again.
    pub fn honest(&self) {
        self.state.lock().unwrap().forge = None;
    }

    /// What the userinfo endpoint says.
    pub fn userinfo(&self, claims: Value) {
        self.state.lock().unwrap().userinfo = Some(claims);
    }

    /// How often codes were sent to the token endpoint.
    pub fn redeemed(&self) -> u32 {
        self.state.lock().unwrap().answered
    }

    /// Does what a person does who signs in at this address of the provider: checks the request, and gives the address to
    /// come back to. Claims with the value null are left out.
    #[track_caller]
    pub fn approve(&self, site: &Site, url: &str, claims: &Value) -> String {
        let url = Url::parse(url).unwrap();
        assert!(url.as_str().starts_with(&format!("{}/authorize?", self.url())), "{url}");
        let query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
        assert_eq!(query["response_type"], "code");
        assert_eq!(query["client_id"], CLIENT);
        assert_eq!(query["code_challenge_method"], "S256");
        assert_eq!(query["scope"].split(' ').filter(|scope| *scope == "openid").count(), 1);
        assert!(query["state"].len() >= 20 && query["nonce"].len() >= 20);
        let now = site.now().unix();
        let mut all = json!({
            "iss": self.url(), "aud": CLIENT, "iat": now, "exp": now + 300, "auth_time": now, "nonce": query["nonce"],
        });
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        all.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let mut state = self.state.lock().unwrap();
        state.issued += 1;
        let code = format!("code-{}", state.issued);
        state.codes.insert(code.clone(), (all, query["code_challenge"].clone()));
        let mut back = Url::parse(&query["redirect_uri"]).unwrap();
        back.query_pairs_mut()
            .append_pair("code", &code)
            .append_pair("state", &query["state"])
            .append_pair("iss", &self.url());
        format!("{}?{}", back.path(), back.query().unwrap())
    }

    /// Sends a browser to the provider and back.
    pub async fn sign_in<'a>(&self, site: &Site, browser: &'a mut Browser, claims: &Value) -> &'a mut Browser {
        browser.go("/login/oidc/corp").await.is(303);
        let away = browser.answer.header("location").unwrap().to_owned();
        browser.go(&self.approve(site, &away, claims)).await
    }
}

/// The answer of the token endpoint.
fn redeem(state: &Mutex<State>, heard: &Heard, sign: &dyn Fn(Value) -> String) -> Reply {
    let refuse = |error: &str| {
        let body = json!({ "error": error }).to_string();
        let head = "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json";
        Reply::Bytes(format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    };
    let fields: BTreeMap<String, String> = url::form_urlencoded::parse(heard.body.as_bytes()).into_owned().collect();
    let mut state = state.lock().unwrap();
    state.answered += 1;
    let basic = heard.headers.get("authorization").and_then(|value| value.strip_prefix("Basic "));
    // Not `+` for a space: real providers differ in what they do with it.
    let known = STANDARD.encode(format!("{CLIENT}:{}", SECRET.replace(' ', "%20")));
    if basic != Some(&known) {
        return refuse("invalid_client");
    }
    // A code works once.
    let Some((claims, challenge)) = state.codes.remove(&fields["code"]) else { return refuse("invalid_grant") };
    let hashed = URL_SAFE_NO_PAD.encode(Sha256::digest(&fields["code_verifier"]));
    if fields["grant_type"] != "authorization_code" || hashed != challenge {
        return refuse("invalid_grant");
    }
    let forge = state.forge.clone();
    drop(state);
    let token = forge.map_or_else(|| sign(claims.clone()), |forge| forge(claims.clone()));
    let answer = json!({
        "access_token": format!("access-{}", fields["code"]), "token_type": "Bearer", "expires_in": 300, "id_token": token,
    });
    Reply::json(&answer, "Cache-Control: no-store\r\n")
}

/// Signs claims with a key that the issuer doesn't publish.
pub fn sign_with(key: TestKey) -> impl Fn(Value) -> String + Send + Sync {
    move |claims| key.sign(&claims)
}
