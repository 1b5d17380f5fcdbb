//! Providers, networks and browsers that lie about who signs in.

use crate::support::cluster::FILE;
use crate::support::issuer::{DISCOVERY, KEYS, TestKey, raw_token};
use crate::support::receiver::Reply;
use crate::support::sign_in_provider::{CLIENT, SECRET, SignInProvider, sign_with};
use crate::support::{Site, log};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn grace() -> Value {
    json!({"sub": "s1", "email": "grace@example.org", "email_verified": true, "preferred_username": "grace"})
}

fn with(more: Value) -> Value {
    let mut claims = grace();
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    claims
}

/// A sign-in that is refused, and changes nothing.
async fn refused(provider: &SignInProvider, site: &Site, claims: &Value, what: &str) {
    let mut browser = site.browser();
    provider.sign_in(site, &mut browser, claims).await;
    assert_eq!(browser.answer.status, 403, "{what}: {}", browser.text());
    assert!(browser.one("#refusal").contains("not valid"), "{what}: {}", browser.one("#refusal"));
    browser.go("/user/settings").await.is(303);
    assert_eq!(site.db_number("SELECT count(*) AS n FROM identities"), 0, "{what}");
    site.db_execute("DELETE FROM attempts");
}

fn hs256(key: &[u8], claims: &Value, kid: &str) -> String {
    raw_token(&json!({"alg": "HS256", "typ": "JWT", "kid": kid}), claims, |message| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(message);
        mac.finalize().into_bytes().to_vec()
    })
}

#[tokio::test]
async fn tokens_that_are_wrong_in_any_way_open_nothing() {
    let provider = SignInProvider::new();
    let site = provider.site(&[("AUTO_CREATE", "true")]);
    let now = site.now().unix();
    // As they are, without the issuer's own name.
    provider.forge(sign_with(TestKey::Rsa1));
    for claims in [
        json!({"iss": "https://other.example"}),
        json!({"iss": format!("{}/", provider.url())}),
        json!({"iss": null}),
        json!({"aud": "another-client"}),
        json!({"aud": ["another-client"]}),
        json!({"aud": [CLIENT, "another-client"]}),
        json!({"aud": null}),
        json!({"aud": CLIENT.to_uppercase()}),
        json!({"azp": "another-client"}),
        json!({"nonce": "another"}),
        json!({"nonce": null}),
        json!({"exp": now - 61}),
        json!({"exp": null}),
        json!({"iat": now + 61}),
        json!({"iat": null}),
        json!({"nbf": now + 61}),
        json!({"sub": null}),
        json!({"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}),
    ] {
        refused(&provider, &site, &with(claims.clone()), &claims.to_string()).await;
    }
    // Clocks may differ by a minute.
    let late = with(json!({"exp": now - 50, "iat": now + 50, "nbf": now + 50, "azp": CLIENT}));
    provider.sign_in(&site, &mut site.browser(), &late).await.is(303);
}

#[tokio::test]
async fn signatures_count_only_by_the_providers_own_asymmetric_keys() {
    let provider = SignInProvider::new();
    let site = provider.site(&[("AUTO_CREATE", "true")]);
    provider.forge(|claims| raw_token(&json!({"alg": "none"}), &claims, |_| Vec::new()));
    refused(&provider, &site, &grace(), "no algorithm").await;
    provider.forge(|claims| raw_token(&json!({"alg": "none", "kid": "rsa-1"}), &claims, |_| b"x".to_vec()));
    refused(&provider, &site, &grace(), "no algorithm, and a signature").await;
    // The public key is known to everybody, as text in any spelling, and the client's secret to the client.
    let public = TestKey::Rsa1.public();
    let modulus = public["n"].as_str().unwrap().to_owned();
    for key in [modulus, public.to_string(), SECRET.to_owned()] {
        provider.forge(move |claims| hs256(key.as_bytes(), &claims, "rsa-1"));
        refused(&provider, &site, &grace(), "a symmetric signature").await;
    }
    provider.forge(sign_with(TestKey::Rsa2));
    refused(&provider, &site, &grace(), "a key that is not published").await;
    provider.forge(|claims| {
        let token = TestKey::Rsa2.sign(&claims);
        let payload: Vec<&str> = token.split('.').collect();
        let honest = TestKey::Rsa1.sign(&claims);
        format!("{}.{}.{}", honest.split('.').next().unwrap(), payload[1], payload[2])
    });
    refused(&provider, &site, &grace(), "another key under a known name").await;
    provider.forge(|claims| {
        let token = TestKey::Rsa1.sign(&claims);
        let parts: Vec<&str> = token.split('.').collect();
        let mut other = claims;
        other["sub"] = json!("admin");
        let forged = TestKey::Rsa1.sign(&other);
        format!("{}.{}.{}", parts[0], forged.split('.').nth(1).unwrap(), parts[2])
    });
    refused(&provider, &site, &grace(), "claims that were changed").await;
    for nonsense in ["", "a.b.c", "not a token", "e30.e30."] {
        provider.forge(move |_| nonsense.to_owned());
        refused(&provider, &site, &grace(), nonsense).await;
    }
    // An algorithm that the provider doesn't offer.
    let mut rsa_alone = provider.issuer.discovery();
    rsa_alone["id_token_signing_alg_values_supported"] = json!(["RS256"]);
    provider.issuer.answer(DISCOVERY, move |_| Reply::json(&rsa_alone, ""));
    site.pass(Duration::from_secs(3601));
    let issuer = Arc::downgrade(&provider.issuer);
    provider.forge(move |claims| issuer.upgrade().unwrap().sign_es256(&claims));
    refused(&provider, &site, &grace(), "an algorithm that is not offered").await;
    provider.issuer.restore(DISCOVERY);
    site.pass(Duration::from_secs(3601));
    provider.sign_in(&site, &mut site.browser(), &grace()).await.is(303);
    provider.honest();
    provider.sign_in(&site, &mut site.browser(), &grace()).await.is(303);
}

#[tokio::test]
async fn new_keys_are_looked_for_once_and_at_most_once_a_minute() {
    let provider = SignInProvider::new();
    let site = provider.site(&[("AUTO_CREATE", "true")]);
    provider.sign_in(&site, &mut site.browser(), &grace()).await.is(303);
    assert_eq!(provider.issuer.count(KEYS), 1);
    provider.issuer.rotate();
    provider.sign_in(&site, &mut site.browser(), &grace()).await.is(303);
    assert_eq!(provider.issuer.count(KEYS), 2);
    // Unknown keys cause no storm of requests.
    provider.forge(|claims| {
        let header = json!({"alg": "RS256", "kid": "never-published"});
        raw_token(&header, &claims, |_| vec![1; 256])
    });
    for _ in 0..3 {
        provider.sign_in(&site, &mut site.browser(), &grace()).await.is(403);
    }
    assert_eq!(provider.issuer.count(KEYS), 2);
    site.pass(Duration::from_secs(61));
    provider.sign_in(&site, &mut site.browser(), &grace()).await.is(403);
    assert_eq!(provider.issuer.count(KEYS), 3);
    // A key that the provider no longer publishes is worthless as soon as its keys are read again.
    provider.forge(sign_with(TestKey::Rsa1));
    provider.sign_in(&site, &mut site.browser(), &grace()).await.is(403);
}

#[tokio::test]
async fn keys_that_are_away_huge_or_slow_end_the_sign_in_in_time() {
    let provider = SignInProvider::new();
    let site = provider.site(&[("AUTO_CREATE", "true"), ("TIMEOUT_SECONDS", "1")]);
    let endless = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"keys\": [\"";
    for (path, reply, why) in [
        (KEYS, Reply::status(500), "500"),
        (KEYS, Reply::Endless(endless.to_owned()), "only the first 524288 bytes"),
        (KEYS, Reply::Silence, "no whole answer within 1 seconds"),
        (KEYS, Reply::Bytes("HTTP/1.1 302 Found\r\nLocation: /keys2\r\nContent-Length: 0\r\n\r\n".to_owned()), "302"),
        (DISCOVERY, Reply::Endless(endless.to_owned()), "only the first 524288 bytes"),
        (DISCOVERY, Reply::Bytes("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".to_owned()), "missing field"),
    ] {
        provider.issuer.answer(path, move |_| reply.clone());
        let begun = Instant::now();
        let mut browser = site.browser();
        browser.go("/login/oidc/corp").await.is(303);
        assert_eq!(browser.answer.header("location"), Some("/login"), "{why}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{why}: {:?}", begun.elapsed());
        let failure = site.app.oidc.all()[0].failure().unwrap().to_string();
        assert!(failure.contains(why), "{failure} instead of {why}");
        provider.issuer.restore(path);
    }
    // The server answers others all the while, and the provider is welcome again.
    provider.sign_in(&site, &mut site.browser(), &grace()).await.is(303);
    // A token endpoint without an end.
    provider.issuer.answer("/token", move |_| Reply::Endless(endless.to_owned()));
    let mut browser = site.browser();
    provider.sign_in(&site, &mut browser, &grace()).await.is(403);
    assert!(browser.one("#refusal").contains("can't be reached"));
}

#[tokio::test]
async fn a_provider_cannot_lead_the_server_into_its_own_network() {
    let provider = SignInProvider::new();
    let inside = SignInProvider::new();
    let mut lying = provider.issuer.discovery();
    lying["jwks_uri"] = json!(format!("{}{KEYS}", inside.url()));
    provider.issuer.answer(DISCOVERY, move |_| Reply::json(&lying, ""));
    let site = provider.site(&[("AUTO_CREATE", "true")]);
    site.browser().go("/login/oidc/corp").await.is(303);
    let failure = site.app.oidc.all()[0].failure().unwrap().to_string();
    assert!(failure.contains("isn't allowed to connect to it"), "{failure}");
    assert!(inside.issuer.requests().is_empty());
}

#[tokio::test]
async fn answers_to_other_sign_ins_are_refused_and_codes_work_once() {
    let provider = SignInProvider::new();
    let site = provider.site(&[("AUTO_CREATE", "true")]);
    let mut browser = site.browser();
    browser.go("/login/oidc/corp").await.is(303);
    let away = browser.answer.header("location").unwrap().to_owned();
    let back = provider.approve(&site, &away, &grace());
    let cookie = browser.cookie("packhouse-oidc");
    // Without the cookie, with that of another sign-in, and with another state.
    let mut other = site.browser();
    other.go(&back).await.is(400);
    other.go("/login/oidc/corp").await.is(303);
    other.go(&back).await.is(400);
    assert!(other.one("#refusal").contains("another sign-in"));
    let state = back.split("state=").nth(1).unwrap().split('&').next().unwrap();
    browser.go(&back.replace(state, "another-state")).await.is(400);
    browser.go(&back.replace(&format!("&state={state}"), "")).await.is(400);
    assert_eq!(provider.redeemed(), 0, "no code was sent for them");
    // The right answer is still good after them.
    browser.go(&back).await.is(303);
    assert_eq!(provider.redeemed(), 1);
    // A thief with cookie and address comes too late: the provider takes a code once.
    let mut thief = site.browser();
    thief.set_cookie(&cookie.0, &cookie.1);
    thief.go(&back).await.is(403);
    assert!(thief.one("#refusal").contains("not valid"));
    // Ten minutes are the limit. A cookie that was changed is none.
    let mut slow = site.browser();
    slow.go("/login/oidc/corp").await.is(303);
    let away = slow.answer.header("location").unwrap().to_owned();
    let back = provider.approve(&site, &away, &grace());
    let (name, value) = slow.cookie("packhouse-oidc");
    let changed = if value.starts_with('A') { "B" } else { "A" };
    slow.set_cookie(&name, &format!("{changed}{}", &value[1..]));
    slow.go(&back).await.is(400);
    slow.set_cookie(&name, &value);
    site.pass(Duration::from_secs(601));
    slow.go(&back).await.is(400);
    assert!(slow.one("#refusal").contains("expired"));
    // The provider's own refusals.
    for (error, says) in [("access_denied", "canceled"), ("server_error", "refused"), ("%3Cscript%3E", "refused")] {
        browser.go("/login/oidc/corp").await.is(303);
        let away = browser.answer.header("location").unwrap().to_owned();
        let state = away.split("state=").nth(1).unwrap().split('&').next().unwrap();
        let iss = provider.url().replace(':', "%3A").replace('/', "%2F");
        browser.go(&format!("/login/oidc/corp/callback?error={error}&state={state}&iss={iss}")).await.is(403);
        assert!(browser.one("#refusal").contains(says));
        browser.go(&format!("/login/oidc/corp/callback?error={error}&state={state}&iss={iss}")).await.is(400);
    }
    let said = log::captured();
    assert!(!said.contains(&value) && !said.contains("code-1"));
}

#[tokio::test]
async fn an_answer_of_one_provider_is_none_of_the_other() {
    let (one, two) = (SignInProvider::new(), SignInProvider::new());
    let section = |name: &str, provider: &SignInProvider| {
        let url = provider.url();
        format!(
            "[[auth.oidc]]\nname = \"{name}\"\nissuer = \"{url}\"\nclient_id = \"{CLIENT}\"\nclient_secret = \"{SECRET}\"\n\
             auto_create = true\n"
        )
    };
    let site = Site::with(&[(FILE, &format!("{}{}", section("corp", &one), section("two", &two)))]);
    let mut browser = site.browser();
    browser.go("/login").await.is(200);
    assert_eq!(browser.all("#providers a"), ["Sign in with corp", "Sign in with two"]);
    // The attacker has a provider of their own, and sends the answer of the honest one to its callback, or the reverse.
    browser.go("/login/oidc/corp").await.is(303);
    let away = browser.answer.header("location").unwrap().to_owned();
    let back = one.approve(&site, &away, &grace());
    browser.go(&back.replace("/oidc/corp/", "/oidc/two/")).await.is(400);
    // The same at its own callback, with the name of the other as the sender, or without a name.
    let (own, other) =
        (one.url().replace(':', "%3A").replace('/', "%2F"), two.url().replace(':', "%3A").replace('/', "%2F"));
    assert!(back.contains(&own), "{back}");
    browser.go(&back.replace(&own, &other)).await.is(403);
    browser.go("/login/oidc/corp").await.is(303);
    let away = browser.answer.header("location").unwrap().to_owned();
    let back = one.approve(&site, &away, &grace());
    browser.go(&back.replace(&format!("&iss={own}"), "")).await.is(403);
    assert_eq!((one.redeemed(), two.redeemed()), (0, 0));
    // The same subject at two providers is two people.
    for (name, provider) in [("corp", &one), ("two", &two)] {
        let mut browser = site.browser();
        browser.go(&format!("/login/oidc/{name}")).await.is(303);
        let away = browser.answer.header("location").unwrap().to_owned();
        browser.go(&provider.approve(&site, &away, &grace())).await.is(303);
    }
    assert_eq!(site.db_number("SELECT count(DISTINCT user_id) AS n FROM identities WHERE subject = 's1'"), 2);
    // A provider that doesn't name itself needs no name.
    let mut silent = two.issuer.discovery();
    silent.as_object_mut().unwrap().remove("authorization_response_iss_parameter_supported");
    two.issuer.answer(DISCOVERY, move |_| Reply::json(&silent, ""));
    site.pass(Duration::from_secs(3601));
    let mut browser = site.browser();
    browser.go("/login/oidc/two").await.is(303);
    let away = browser.answer.header("location").unwrap().to_owned();
    let back = two.approve(&site, &away, &grace());
    browser.go(&back.replace(&format!("&iss={other}"), "")).await.is(303);
}

#[tokio::test]
async fn guessing_codes_is_limited_and_first_sign_ins_at_once_make_one_account() {
    let provider = SignInProvider::new();
    let site = provider.site(&[("AUTO_CREATE", "true")]);
    let mut browsers = Vec::new();
    for _ in 0..4 {
        let mut browser = site.browser();
        browser.go("/login/oidc/corp").await.is(303);
        let away = browser.answer.header("location").unwrap().to_owned();
        let back = provider.approve(&site, &away, &grace());
        browsers.push((browser, back));
    }
    let arriving = browsers.iter_mut().map(|(browser, back)| async { browser.go(back).await.answer.status });
    assert_eq!(futures_util::future::join_all(arriving).await, [303; 4]);
    assert_eq!(site.db_number("SELECT count(*) AS n FROM users WHERE password_hash IS NULL"), 1);
    let mut browser = site.browser();
    let mut last = 0;
    for _ in 0..51 {
        browser.go("/login/oidc/corp").await.is(303);
        let away = browser.answer.header("location").unwrap().to_owned();
        let back = provider.approve(&site, &away, &grace());
        last = browser.go(&back.replace("code=code-", "code=wrong-")).await.answer.status;
    }
    assert_eq!(last, 429);
}
