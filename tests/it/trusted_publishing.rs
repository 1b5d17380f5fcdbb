//! Trusted publishing: jobs of other systems exchange an identity token for a token that publishes some packages.

use crate::support::issuer::{DISCOVERY, Issuer, KEYS, TestKey, raw_token};
use crate::support::people::{db_org, db_user};
use crate::support::receiver::{Receiver, Reply};
use crate::support::{Answer, Client, Site, path};
use futures_util::future::join_all;
use packhouse::domain::role::Visibility;
use serde_json::{Value, json};
use std::time::Duration;

pub const PUBLISHERS: &str = "/api/v1/packages/acme/-/publishers";
const EXCHANGE: &str = "/api/v1/oidc/token";
const HOST: &str = "packages.example.org";
/// The refusal that tells nothing about any publisher.
const NOBODY: &str = "no publisher accepts this identity token";

/// A server that may ask this issuer, with the private organization `acme` of `ada`.
pub fn site_for(issuer: &Issuer, settings: &[(&str, &str)]) -> Site {
    let url = issuer.url();
    let allowed = format!("{url}, {url}/_services/token");
    let mut all = vec![
        ("PACKHOUSE_PUBLIC_URL", "https://packages.example.org"),
        ("PACKHOUSE_TRUSTED_PUBLISHING_ALLOWED_ISSUERS", &*allowed),
        ("PACKHOUSE_TRUSTED_PUBLISHING_TIMEOUT_SECONDS", "1"),
    ];
    all.extend(settings);
    let site = Site::with(&all);
    site.db(|conn| db_org(conn, "acme", Visibility::Private));
    site
}

/// The times and the audience that every good token has.
fn claims(site: &Site, more: Value) -> Value {
    let now = site.now().unix();
    let mut all =
        json!({"aud": HOST, "iat": now, "nbf": now, "exp": now + 300, "sub": "repo:acme/tool:ref:refs/tags/v1.2"});
    all["jti"] = json!(packhouse::domain::secret::random_text(12));
    for (name, value) in more.as_object().unwrap() {
        all[name] = value.clone();
    }
    all
}

/// The claims of a job of GitHub Actions.
pub fn github(site: &Site) -> Value {
    let more = json!({
        "repository": "acme/tool", "repository_owner_id": "7", "environment": "release", "ref": "refs/tags/v1.2",
        "workflow_ref": "acme/tool/.github/workflows/release.yml@refs/tags/v1.2", "sha": "0123abcd", "run_id": "987",
        "run_number": "123",
    });
    claims(site, more)
}

pub fn with(mut claims: Value, name: &str, value: Value) -> Value {
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    claims
}

/// What accepts [`github`]'s claims for the packages `tool-*` of `acme`.
pub fn github_publisher(issuer: &Issuer) -> Value {
    json!({
        "name": "github", "packages": "tool-*", "provider": "github", "issuer": issuer.url(), "environment": "release",
        "conditions": [
            {"claim": "repository", "equals": "acme/tool"},
            {"claim": "repository_owner_id", "equals": "7"},
            {"claim": "workflow_ref", "glob": "acme/tool/.github/workflows/release.yml@*"},
        ],
    })
}

pub async fn trust(site: &Site, issuer: &Issuer) -> Value {
    site.ada().post(PUBLISHERS, &github_publisher(issuer)).await.is(201).json()
}

/// What an answer says, without the escapes of JSON.
pub trait Tells {
    fn tells(self, words: &str) -> Self;
}

impl Tells for Answer {
    #[track_caller]
    fn tells(self, words: &str) -> Self {
        let message = serde_json::from_slice::<Value>(&self.body)
            .ok()
            .and_then(|json| Some(json.get("message")?.as_str()?.to_owned()));
        let text = message.unwrap_or_else(|| self.text().to_owned());
        assert!(text.contains(words), "{words:?} is not in {text:?}");
        self
    }
}

pub async fn exchange(site: &Site, jwt: &str) -> Answer {
    site.anon().post(EXCHANGE, &json!({"jwt": jwt})).await
}

/// A client with the token of a job.
pub async fn job(site: &Site, issuer: &Issuer, claims: &Value) -> Client {
    let answer = exchange(site, &issuer.sign(claims)).await.is(200).json();
    site.anon().bearer(answer["token"].as_str().unwrap())
}

#[tokio::test]
async fn every_preset_publishes_and_each_wrong_claim_is_named() {
    let issuer = Issuer::new();
    let site = site_for(&issuer, &[]);
    let presets = [
        ("github", github_publisher(&issuer)["conditions"].clone(), github(&site), "repository"),
        (
            "gitlab",
            json!([{"claim": "project_path", "one_of": ["acme/a", "acme/b"]}, {"claim": "ref_protected", "equals": "true"}]),
            claims(
                &site,
                json!({"project_path": "acme/b", "ref_protected": "true", "environment": "release",
                "ref": "main", "sha": "ab", "pipeline_id": 17}),
            ),
            "project_path",
        ),
        (
            "forgejo",
            json!([{"claim": "repository", "equals": "acme/tool"}]),
            claims(&site, json!({"repository": "acme/tool", "environment": "release", "run_number": "4"})),
            "repository",
        ),
        (
            "gitea",
            json!([{"claim": "repository", "glob": "acme/*"}]),
            claims(&site, json!({"repository": "acme/other", "environment": "release"})),
            "repository",
        ),
        (
            "kubernetes",
            json!([{"claim": "sub", "equals": "system:serviceaccount:builds:publisher"}]),
            claims(
                &site,
                json!({"sub": "system:serviceaccount:builds:publisher", "aud": ["https://packages.example.org"],
                "environment": "release", "kubernetes.io": {"namespace": "builds", "pod": {"name": "p-1"}}}),
            ),
            "sub",
        ),
        (
            "other",
            json!([{"claim": "sub", "glob": "job-*"}, {"claim": "trusted", "equals": "true"}]),
            claims(&site, json!({"sub": "job-1", "trusted": true, "environment": "release"})),
            "sub",
        ),
    ];
    for (provider, conditions, good, identifying) in presets {
        let new = json!({
            "name": provider, "packages": format!("{provider}-*"), "provider": provider, "issuer": issuer.url(),
            "environment": "release", "conditions": conditions,
        });
        let made = site.ada().post(PUBLISHERS, &new).await.is(201).json();
        assert_eq!((&made["provider"], &made["account"]), (&json!(provider), &json!(format!("acme/{provider}"))));
        // ES256 is as good as RS256.
        let signed = if provider == "gitlab" { issuer.sign_es256(&good) } else { issuer.sign(&good) };
        let token = exchange(&site, &signed).await.is(200).json();
        assert_eq!((&token["publisher"], &token["packages"]), (&made["account"], &made["packages"]));
        assert_eq!(token["expires_at"], json!(site.now().plus(Duration::from_secs(900))));
        let ci = site.anon().bearer(token["token"].as_str().unwrap());
        ci.publish(&path(&["acme", &format!("{provider}-x"), "1.0", "f"]), "x").await;
        ci.put(&path(&["acme", "secret", "1.0", "f"]), "x").await.is(403);
        let mut named: Vec<String> =
            conditions.as_array().unwrap().iter().map(|one| one["claim"].as_str().unwrap().to_owned()).collect();
        named.push("environment".to_owned());
        for claim in named {
            let wrong = with(with(good.clone(), &claim, json!("evil/other")), "jti", Value::Null);
            let refused = exchange(&site, &issuer.sign(&wrong)).await.is(403);
            if claim == identifying {
                refused.tells(NOBODY);
            } else {
                refused.tells(&format!("the claim {claim} does not fit: it is \"evil/other\""));
                let missing = with(with(good.clone(), &claim, Value::Null), "jti", Value::Null);
                exchange(&site, &issuer.sign(&missing))
                    .await
                    .is(403)
                    .tells(&format!("the claim {claim} does not fit: it is absent"));
            }
        }
        site.ada().delete(&format!("{PUBLISHERS}/{}", made["id"])).await.is(204);
    }
    assert_eq!(issuer.count(KEYS), 1, "the keys are kept");
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn a_publishers_token_writes_to_its_packages_and_does_nothing_else() {
    let issuer = Issuer::new();
    let site = site_for(&issuer, &[]);
    let publisher = trust(&site, &issuer).await;
    site.db(|conn| db_org(conn, "other", Visibility::Public));
    site.ci().publish(&path(&["ada", "tool-x", "1.0", "f"]), "x").await;
    site.ada().publish(&path(&["acme", "secret", "1.0", "f"]), "x").await;
    let ci = job(&site, &issuer, &github(&site)).await;
    let file = path(&["acme", "tool-x", "1.0", "f"]);
    ci.publish(&file, "x").await;
    ci.get(&file).await.is(200).tells("x");
    for (method, address, status) in [
        ("PUT", path(&["acme", "secret", "2.0", "f"]), 403),
        ("GET", path(&["acme", "secret", "1.0", "f"]), 403),
        ("DELETE", path(&["acme", "secret", "1.0"]), 403),
        ("PUT", path(&["ada", "tool-x", "2.0", "f"]), 403),
        ("GET", path(&["ada", "tool-x", "1.0", "f"]), 403),
        ("PUT", path(&["other", "tool-x", "2.0", "f"]), 403),
        ("GET", "/api/v1/user".to_owned(), 403),
        ("GET", "/api/v1/orgs/acme".to_owned(), 403),
        ("GET", "/api/v1/users/acme%2Fgithub/tokens".to_owned(), 403),
        ("GET", PUBLISHERS.to_owned(), 403),
        ("GET", "/api/v1/packages/acme/-/grants".to_owned(), 403),
        ("GET", "/api/v1/orgs/acme/robots".to_owned(), 403),
        ("GET", "/api/v1/admin/users".to_owned(), 403),
    ] {
        let asked = ci.request(method, &address);
        let asked = if method == "PUT" { asked.body("x") } else { asked };
        assert_eq!(asked.await.status, status, "{method} {address}");
    }
    ci.post(PUBLISHERS, &json!({})).await.is(403);
    ci.patch("/api/v1/packages/acme/generic/tool-x", &json!({"visibility": "public"})).await.is(403);
    // What it may see in lists and searches is its own.
    let found = ci.get("/api/v1/packages/search?q=").await.is(200).json();
    let names: Vec<&Value> = found.as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["tool-x"]);
    // It ends by itself, on request, and with its publisher.
    let other = job(&site, &issuer, &github(&site)).await;
    other.delete("/api/v1/token").await.is(204);
    other.get(&file).await.is(401);
    site.pass(Duration::from_secs(899));
    ci.get(&file).await.is(200);
    site.pass(Duration::from_secs(1));
    ci.get(&file).await.is(401);
    let last = job(&site, &issuer, &github(&site)).await;
    last.publish(&path(&["acme", "tool-x", "2.0", "f"]), "x").await;
    site.ada().delete(&format!("{PUBLISHERS}/{}", publisher["id"])).await.is(204);
    last.put(&path(&["acme", "tool-x", "3.0", "f"]), "x").await.is(401);
    exchange(&site, &issuer.sign(&github(&site))).await.is(403).tells(NOBODY);
    // What it published stays.
    let shown = site.ada().get("/api/v1/packages/acme/generic/tool-x/2.0").await.is(200).json();
    assert_eq!(
        (&shown["creator"]["login"], &shown["verified_identity"]["repository"]),
        (&json!("Ghost"), &json!("acme/tool"))
    );
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn an_identity_token_works_once_until_it_is_forgotten_with_its_end() {
    let issuer = Issuer::new();
    let site = site_for(&issuer, &[]);
    trust(&site, &issuer).await;
    for good in [github(&site), with(github(&site), "jti", Value::Null)] {
        let jwt = issuer.sign(&good);
        let answers = join_all((0..8).map(|_| exchange(&site, &jwt))).await;
        let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 403, 403, 403, 403, 403, 403, 403]);
        let replay = exchange(&site, &jwt).await.is(403).tells("this identity token was used before");
        replay.tells(&format!("jti is {}", good.get("jti").map_or("absent".to_owned(), Value::to_string)));
    }
    // The same claims signed anew have the same jti.
    let good = github(&site);
    exchange(&site, &issuer.sign(&good)).await.is(200);
    exchange(&site, &issuer.sign_es256(&with(good.clone(), "run_id", json!("988")))).await.is(403).tells("used before");
    // A refused token is not used up.
    let early = with(github(&site), "environment", json!("test"));
    exchange(&site, &issuer.sign(&early)).await.is(403);
    let used = "SELECT count(*) AS n FROM used_identity_tokens";
    assert_eq!(site.db_number(used), 3);
    // Until the allowed difference of clocks is over, too.
    site.pass(Duration::from_secs(359));
    site.sweep(Duration::from_secs(3600)).await.unwrap();
    assert_eq!(site.db_number(used), 3);
    exchange(&site, &issuer.sign(&good)).await.is(403).tells("used before");
    site.pass(Duration::from_secs(1));
    exchange(&site, &issuer.sign(&good)).await.is(403).tells("the claim exp does not fit");
    site.sweep(Duration::from_secs(3600)).await.unwrap();
    assert_eq!(site.db_number(used), 0);
    let tokens = "SELECT count(*) AS n FROM tokens WHERE identity IS NOT NULL";
    assert_eq!(site.db_number(tokens), 3);
    site.pass(Duration::from_secs(600));
    site.sweep(Duration::from_secs(3600)).await.unwrap();
    assert_eq!(site.db_number(tokens), 0);
}

#[tokio::test]
async fn hostile_identity_tokens_are_refused_and_say_what_is_wrong_with_them() {
    let issuer = Issuer::new();
    let site = site_for(&issuer, &[]);
    trust(&site, &issuer).await;
    let (good, now) = (issuer.claims(&github(&site)), site.now().unix());
    // The algorithm: none, and a secret that everybody can read.
    let unsigned = |alg: &str| raw_token(&json!({"alg": alg, "kid": "rsa-1"}), &good, |_| Vec::new());
    for alg in ["none", "None", "HS256", "HS384", "ES512", ""] {
        exchange(&site, &unsigned(alg)).await.is(403).tells(&format!("the token's header alg is \"{alg}\""));
    }
    let public = TestKey::Rsa1.public();
    for secret in [public.to_string(), public["n"].as_str().unwrap().to_owned()] {
        let header = jsonwebtoken::Header { kid: Some("rsa-1".to_owned()), ..Default::default() };
        let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
        let forged = jsonwebtoken::encode(&header, &good, &key).unwrap();
        exchange(&site, &forged).await.is(403).tells("header alg is \"HS256\"");
    }
    // What the token says about itself.
    for (claim, value, says) in [
        ("aud", json!("other.example.org"), "it is \"other.example.org\""),
        ("aud", json!("PACKAGES.example.org"), "and nothing else"),
        ("aud", json!("https://packages.example.org/"), "and nothing else"),
        ("aud", json!([HOST, "other.example.org"]), "and nothing else"),
        ("aud", json!([]), "and nothing else"),
        ("aud", Value::Null, "it is absent"),
        ("exp", json!(now - 60), "the token expired"),
        ("exp", json!("soon"), "a number of seconds"),
        ("exp", json!(-1), "a number of seconds"),
        ("exp", json!(now + 400 * 86400), "a year at most"),
        ("exp", Value::Null, "it is absent"),
        ("nbf", json!(now + 61), "not valid yet"),
        ("iat", json!(now + 61), "from the future"),
        ("iat", Value::Null, "it is absent"),
        ("iss", json!("nonsense"), "the address of an issuer"),
        ("iss", json!(17), "it is 17"),
        ("sub", json!(""), "it has to name the job"),
    ] {
        let wrong = with(good.clone(), claim, value);
        let key = TestKey::Rsa1;
        exchange(&site, &key.sign(&wrong)).await.is(403).tells(&format!("the claim {claim} does not fit")).tells(says);
    }
    // Signatures: of another key, of no key that the issuer has, and changed.
    let kid = |kid: &str| jsonwebtoken::Header {
        kid: Some(kid.to_owned()),
        ..jsonwebtoken::Header::new(jsonwebtoken::Algorithm::RS256)
    };
    let other = jsonwebtoken::encode(&kid("rsa-1"), &good, &TestKey::Rsa2.private()).unwrap();
    let unknown = jsonwebtoken::encode(&kid("rsa-9"), &good, &TestKey::Rsa1.private()).unwrap();
    let signed = TestKey::Rsa1.sign(&good);
    let (message, signature) = signed.rsplit_once('.').unwrap();
    let changed = issuer.sign(&with(good.clone(), "repository_owner_id", json!("8")));
    let changed = format!("{}.{signature}", changed.rsplit_once('.').unwrap().0);
    for forged in [&other, &unknown, &changed, &format!("{message}."), &format!("{message}.AAAA")] {
        exchange(&site, forged).await.is(403).tells(NOBODY);
    }
    let critical = raw_token(&json!({"alg": "RS256", "kid": "rsa-1", "crit": ["b64"]}), &good, |_| Vec::new());
    exchange(&site, &critical).await.is(403).tells("crit");
    for text in ["", "a", "a.b", "a.b.c", "....", &"x".repeat(20_000), &format!("{signed}.x")] {
        exchange(&site, text).await.is(422).tells("not a signed JSON Web Token");
    }
    // A clock that is off by a minute is forgiven, and either spelling of the audience.
    let edge = with(with(with(good, "exp", json!(now - 59)), "nbf", json!(now + 60)), "iat", json!(now + 60));
    exchange(&site, &TestKey::Rsa1.sign(&with(edge, "aud", json!("https://packages.example.org")))).await.is(200);
    assert_eq!(site.db_number("SELECT count(*) AS n FROM tokens WHERE identity IS NOT NULL"), 1);
}

#[tokio::test]
async fn keys_follow_a_rotation_and_are_asked_for_at_most_once_a_minute() {
    let issuer = Issuer::new();
    let site = site_for(&issuer, &[]);
    trust(&site, &issuer).await;
    let asked = || (issuer.count(DISCOVERY), issuer.count(KEYS));
    exchange(&site, &issuer.sign(&github(&site))).await.is(200);
    exchange(&site, &issuer.sign(&github(&site))).await.is(200);
    assert_eq!(asked(), (1, 1));
    // New keys within the same minute are not looked for, and after it they are, once.
    issuer.rotate();
    for _ in 0..3 {
        exchange(&site, &issuer.sign(&github(&site))).await.is(403).tells(NOBODY);
    }
    assert_eq!(asked(), (1, 1));
    site.pass(Duration::from_secs(60));
    exchange(&site, &issuer.sign(&github(&site))).await.is(200);
    exchange(&site, &TestKey::Rsa1.sign(&issuer.claims(&github(&site)))).await.is(403).tells(NOBODY);
    assert_eq!(asked(), (2, 2));
    // They are kept for as long as the issuer says: five minutes.
    site.pass(Duration::from_secs(299));
    exchange(&site, &issuer.sign(&github(&site))).await.is(200);
    assert_eq!(asked(), (2, 2));
    site.pass(Duration::from_secs(1));
    join_all((0..4).map(|_| async { exchange(&site, &issuer.sign(&github(&site))).await.is(200) })).await;
    assert_eq!(asked(), (3, 3));
    // A withdrawn key stops working when the kept ones end, even while the issuer is away.
    issuer.answer(KEYS, |_| Reply::status(503));
    site.pass(Duration::from_secs(300));
    exchange(&site, &issuer.sign(&github(&site))).await.is(403).tells(NOBODY);
    exchange(&site, &issuer.sign(&github(&site))).await.is(403).tells(NOBODY);
    assert_eq!(asked(), (4, 4));
    issuer.restore(KEYS);
    site.pass(Duration::from_secs(60));
    exchange(&site, &issuer.sign(&github(&site))).await.is(200);
}

#[tokio::test]
async fn issuers_that_answer_badly_only_refuse_and_others_are_never_asked() {
    crate::support::log::capture();
    let issuer = Issuer::new();
    let site = site_for(&issuer, &[]);
    // Nobody names the issuer yet.
    let before = exchange(&site, &issuer.sign(&github(&site))).await.is(403).tells(NOBODY);
    assert_eq!(issuer.requests().len(), 0);
    trust(&site, &issuer).await;
    let url = issuer.url();
    let endless = || Reply::Endless("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"keys\": [".to_owned());
    let document = move |keys: String| json!({"issuer": url, "jwks_uri": keys});
    let elsewhere = Receiver::new();
    let away = format!("http://{}/keys", elsewhere.address);
    let (keys_away, keys_ftp) = (document(away), document("ftp://packages.example.org/keys".to_owned()));
    let weak = {
        let mut key = TestKey::Rsa1.public();
        key["n"] = json!(
            "sXchDaQebHnPiGvyDOAT4saGEUetSyo9MKLOoWFsueri23bOdgWp4Dy1WlUzewbgBHod5pcM9H95GQRV3JDXboIRROSBigeC5yjU1hGzHHyXss8UDprecbAYxknTcQkhslANGRUZmdTOQ5qTRsLAt6BTYuyvVRdhS8exSZEy_c4gs_7svlJJQ4H9_NxsiIoLwAEk7"
        );
        json!({"keys": [key, {"kty": "oct", "k": "c2VjcmV0", "kid": "rsa-1"}, 17]})
    };
    type Answerer = Box<dyn Fn() -> Reply + Send + Sync>;
    let bad: Vec<(&str, Answerer, &str)> = vec![
        (DISCOVERY, Box::new(|| Reply::status(500)), "status 500"),
        (DISCOVERY, Box::new(|| Reply::json(&json!([]), "")), "not as expected"),
        (
            DISCOVERY,
            Box::new(|| {
                Reply::json(&json!({"issuer": "https://evil.example", "jwks_uri": "https://evil.example/k"}), "")
            }),
            "another issuer",
        ),
        (DISCOVERY, Box::new(move || Reply::json(&keys_away, "")), "need https"),
        (DISCOVERY, Box::new(move || Reply::json(&keys_ftp, "")), "need https"),
        (
            DISCOVERY,
            Box::new(|| Reply::Bytes("HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n".to_owned())),
            "status 302",
        ),
        (KEYS, Box::new(endless), "incomplete"),
        (KEYS, Box::new(|| Reply::Silence), "within 1 seconds"),
        (KEYS, Box::new(|| Reply::json(&json!({"keys": []}), "")), "no key rsa-1"),
        (KEYS, Box::new(move || Reply::json(&weak, "")), "no key rsa-1"),
        (KEYS, Box::new(|| Reply::Bytes("nonsense".to_owned())), "cannot read"),
    ];
    for (path, answer, logged) in bad {
        issuer.answer(path, move |_| answer());
        site.pass(Duration::from_secs(60));
        let refused = exchange(&site, &issuer.sign(&github(&site))).await.is(403);
        // The refusal is the same as for an issuer that nobody names; only the log has the reason.
        assert_eq!(refused.looks(), before.looks(), "{logged}");
        let log = crate::support::log::captured();
        let line = log
            .lines()
            .rev()
            .find(|line| line.contains("an identity token was refused") && line.contains(&issuer.url()));
        assert!(line.unwrap().contains(logged), "{logged}: {line:?}");
        issuer.restore(path);
    }
    assert_eq!((elsewhere.heard().len(), issuer.count("/x")), (0, 0));
    // An issuer that stopped listening, and one that is not allowed.
    site.pass(Duration::from_secs(60));
    exchange(&site, &issuer.sign(&github(&site))).await.is(200);
    let other = Issuer::new();
    let new = with(github_publisher(&other), "name", json!("other"));
    site.ada().post(PUBLISHERS, &new).await.is(422).tells("trusted_publishing.allowed_issuers");
    for issuer in ["https://127.0.0.1", "https://localhost", "https://10.0.0.1"] {
        site.ada()
            .post(PUBLISHERS, &with(new.clone(), "issuer", json!(issuer)))
            .await
            .is(422)
            .tells("isn't allowed to connect");
    }
    assert_eq!(other.requests().len(), 0);
}

#[tokio::test]
async fn strangers_get_the_same_refusal_whether_a_publisher_exists_or_not() {
    let issuer = Issuer::new();
    let site = site_for(&issuer, &[]);
    let stranger = with(github(&site), "repository", json!("evil/tool"));
    let forged = TestKey::Rsa2.sign(&issuer.claims(&github(&site)));
    let ask = async |jwt: &str| {
        let plain = exchange(&site, jwt).await.is(403);
        let by_owner =
            site.anon().post(EXCHANGE, &json!({"jwt": jwt, "owner": "acme", "package": "tool-x"})).await.is(403);
        assert_eq!(plain.looks(), by_owner.looks());
        plain.looks()
    };
    let before = [ask(&issuer.sign(&stranger)).await, ask(&forged).await];
    trust(&site, &issuer).await;
    assert_eq!([ask(&issuer.sign(&stranger)).await, ask(&forged).await], before);
    // A job of the repository is told more, but not what is expected.
    let job = with(github(&site), "environment", json!("test"));
    let told =
        exchange(&site, &issuer.sign(&job)).await.is(403).tells("the claim environment does not fit: it is \"test\"");
    assert!(!told.text().contains("release") && !told.text().contains("acme/github"), "{}", told.text());
    // The publishers themselves are hidden like other settings.
    site.anon().get(PUBLISHERS).await.is(401);
    site.stranger().get(PUBLISHERS).await.is(403);
    site.user("stranger").get(PUBLISHERS).await.is(404);
    site.user("acme-admin").get(PUBLISHERS).await.is(403);
}

#[tokio::test]
async fn the_form_of_rfc_8693_is_understood_and_answered_in_its_words() {
    let issuer = Issuer::new();
    let site = site_for(&issuer, &[]);
    trust(&site, &issuer).await;
    let form = |grant: &str, kind: &str, jwt: &str| {
        let urn = "urn%3Aietf%3Aparams%3Aoauth%3A";
        let body = format!("grant_type={urn}{grant}&subject_token={jwt}&subject_token_type={urn}{kind}&scope=anything");
        let asked = site.anon().request("POST", EXCHANGE).header("content-type", "application/x-www-form-urlencoded");
        asked.body(body)
    };
    for kind in ["token-type%3Ajwt", "token-type%3Aid_token"] {
        let jwt = issuer.sign(&github(&site));
        let answer = form("grant-type%3Atoken-exchange", kind, &jwt).await.is(200);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let answer = answer.json();
        assert_eq!(answer["access_token"], answer["token"]);
        assert_eq!(answer["issued_token_type"], "urn:ietf:params:oauth:token-type:access_token");
        assert_eq!((&answer["token_type"], &answer["expires_in"]), (&json!("Bearer"), &json!(900)));
        let token = site.anon().bearer(answer["access_token"].as_str().unwrap());
        let own = token.get("/api/v1/token").await.is(200).json();
        assert_eq!((&own["scopes"], &own["packages"]), (&json!(["write:package"]), &json!(["tool-*"])));
        assert_eq!(own["creator"], "GitHub Actions · acme/tool @ v1.2 · run 123");
    }
    let jwt = issuer.sign(&github(&site));
    site.anon().post(EXCHANGE, &json!({})).await.is(422).tells("jwt");
    site.anon().post(EXCHANGE, &json!({"jwt": jwt, "owner": "a b"})).await.is(422).tells("owner");
    // Its own credentials, if it sends any, are ignored.
    site.anon().bearer("nonsense").post(EXCHANGE, &json!({"jwt": jwt})).await.is(200);
}

#[tokio::test]
async fn the_form_of_rfc_8693_is_refused_in_the_words_of_oauth() {
    let issuer = Issuer::new();
    let site = site_for(&issuer, &[]);
    trust(&site, &issuer).await;
    let ask = |fields: &[(&str, &str)]| {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let asked = site.anon().request("POST", EXCHANGE).header("content-type", "application/x-www-form-urlencoded");
        asked.body(body)
    };
    const GRANT: (&str, &str) = ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange");
    const KIND: (&str, &str) = ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt");
    let good = issuer.sign(&github(&site));
    let misfit = issuer.sign(&with(github(&site), "environment", json!("te\"s\\té")));
    let stranger = issuer.sign(&with(github(&site), "repository", json!("evil/tool")));
    let mut said = String::new();
    for fields in [
        &[("grant_type", "password"), KIND, ("subject_token", &good)][..],
        &[KIND, ("subject_token", &good)],
        &[("nonsense", "1")],
        &[GRANT, ("subject_token", &good)],
        &[GRANT, ("subject_token_type", "urn:ietf:params:oauth:token-type:saml2"), ("subject_token", &good)],
        &[GRANT, KIND],
        &[GRANT, KIND, ("subject_token", &good), ("owner", "a b")],
        &[GRANT, KIND, ("subject_token", "nonsense")],
        &[GRANT, KIND, ("subject_token", &misfit)],
    ] {
        let answer = ask(fields).await.is(400);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let described = answer.json()["error_description"].as_str().unwrap().to_owned();
        assert!(described.bytes().all(|byte| matches!(byte, b' '..=b'~') && !b"\"\\".contains(&byte)), "{described}");
        said.push_str(&format!("{}\n", answer.text()));
    }
    insta::assert_snapshot!(said, @r#"
    {"error":"unsupported_grant_type","error_description":"grant_type: send urn:ietf:params:oauth:grant-type:token-exchange"}
    {"error":"invalid_request","error_description":"grant_type: send urn:ietf:params:oauth:grant-type:token-exchange"}
    {"error":"invalid_request","error_description":"grant_type: send urn:ietf:params:oauth:grant-type:token-exchange"}
    {"error":"invalid_request","error_description":"subject_token_type: send urn:ietf:params:oauth:token-type:jwt or urn:ietf:params:oauth:token-type:id_token"}
    {"error":"invalid_request","error_description":"subject_token_type: send urn:ietf:params:oauth:token-type:jwt or urn:ietf:params:oauth:token-type:id_token"}
    {"error":"invalid_request","error_description":"subject_token: send the identity token"}
    {"error":"invalid_request","error_description":"owner: use only letters, digits, hyphens, periods, and underscores"}
    {"error":"invalid_request","error_description":"subject_token: this is not a signed JSON Web Token of up to 16 KiB"}
    {"error":"invalid_request","error_description":"the claim environment does not fit: it is 'te/'s//t?', and no publisher for this job accepts that"}
    "#);
    let unknown = ask(&[GRANT, KIND, ("subject_token", &stranger)]).await.is(400).json();
    assert_eq!(unknown["error"], "invalid_request");
    assert!(unknown["error_description"].as_str().unwrap().starts_with(NOBODY), "{unknown}");
    // JSON is refused as everywhere in this API, and so is a form with its fields.
    let json = json!({"grant_type": "password", "subject_token": good});
    site.anon().post(EXCHANGE, &json).await.is(422).tells("grant_type");
    ask(&[("jwt", &stranger)]).await.is(403).tells(NOBODY);
    ask(&[("jwt", &good)]).await.is(200);
    // It goes on until there are too many.
    while ask(&[GRANT, KIND, ("subject_token", &stranger)]).await.status == 400 {}
    let limited = ask(&[GRANT, KIND, ("subject_token", &stranger)]).await.is(429);
    assert_eq!(limited.json()["error"], "temporarily_unavailable");
    assert!(limited.header("retry-after").is_some());
}

#[tokio::test]
async fn an_owner_or_a_package_chooses_among_several_publishers() {
    let issuer = Issuer::new();
    let site = site_for(&issuer, &[]);
    trust(&site, &issuer).await;
    let second = with(with(github_publisher(&issuer), "name", json!("second")), "packages", json!("lib"));
    site.ada().post(PUBLISHERS, &second).await.is(201);
    let ask = async |more: Value| {
        let mut body = json!({"jwt": issuer.sign(&github(&site))});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        site.anon().post(EXCHANGE, &body).await
    };
    assert_eq!(ask(json!({})).await.is(200).json()["publisher"], "acme/github");
    assert_eq!(ask(json!({"package": "LIB"})).await.is(200).json()["publisher"], "acme/second");
    ask(json!({"package": "other"})).await.is(403).tells(NOBODY);
    // A user has publishers too, and names may be the same.
    let own = "/api/v1/packages/ada/-/publishers";
    assert_eq!(site.ada().post(own, &github_publisher(&issuer)).await.is(201).json()["account"], "ada/github");
    ask(json!({})).await.is(422).tells("send the name of one as owner");
    let made = ask(json!({"owner": "ADA"})).await.is(200).json();
    assert_eq!(made["publisher"], "ada/github");
    let ci = site.anon().bearer(made["token"].as_str().unwrap());
    ci.publish(&path(&["ada", "tool-x", "1.0", "f"]), "x").await;
    ci.put(&path(&["acme", "tool-x", "1.0", "f"]), "x").await.is(404);
    // A locked user's jobs have no access, from that moment on.
    site.admin().patch("/api/v1/admin/users/ada", &json!({"prohibit_login": true})).await.is(200);
    ci.put(&path(&["ada", "tool-x", "2.0", "f"]), "x").await.is(401);
    ask(json!({"owner": "ada"})).await.is(403).tells(NOBODY);
    site.admin().patch("/api/v1/admin/users/ada", &json!({"prohibit_login": false})).await.is(200);
    // Renaming the owner renames the account, and deleting the owner deletes it.
    site.admin().post("/api/v1/admin/users/ada/rename", &json!({"new_username": "lovelace"})).await.is(204);
    assert_eq!(ask(json!({"owner": "lovelace"})).await.is(200).json()["publisher"], "lovelace/github");
    assert!(site.db_broken().await.is_empty());
    site.db(|conn| db_user(conn, "eve", Visibility::Public, false));
    let eve = site.user("eve");
    eve.post("/api/v1/packages/eve/-/publishers", &github_publisher(&issuer)).await.is(201);
    site.admin().delete("/api/v1/admin/users/eve").await.is(204);
    assert_eq!(site.db_number("SELECT count(*) AS n FROM publishers"), 3);
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn the_verified_identity_stays_with_the_files_that_the_job_published() {
    let issuer = Issuer::new();
    let site = site_for(&issuer, &[("PACKHOUSE_WEBHOOKS_ALLOWED_NETWORKS", "127.0.0.0/8")]);
    let name = format!("{}/_services/token", issuer.url());
    let document = with(issuer.discovery(), "issuer", json!(name));
    issuer.answer(&format!("/_services/token{DISCOVERY}"), move |_| Reply::json(&document, ""));
    let new = with(github_publisher(&issuer), "issuer", json!(name));
    site.ada().post(PUBLISHERS, &new).await.is(201);
    let receiver = Receiver::new();
    let config = json!({"url": receiver.url(), "content_type": "json"});
    site.ada()
        .post("/api/v1/orgs/acme/hooks", &json!({"type": "gitea", "active": true, "config": config}))
        .await
        .is(201);
    let ci = job(&site, &issuer, &with(github(&site), "iss", json!(name))).await;
    for file in ["a", "b"] {
        ci.publish(&path(&["acme", "tool-x", "1.0", file]), file).await;
    }
    let version = "/api/v1/packages/acme/generic/tool-x/1.0";
    let identity = site.ada().get(version).await.is(200).json()["verified_identity"].clone();
    let expected = json!({
        "provider": "github", "issuer": name, "subject": "repo:acme/tool:ref:refs/tags/v1.2", "repository": "acme/tool",
        "ref": "refs/tags/v1.2", "commit": "0123abcd", "environment": "release", "run": "123",
        "repository_url": format!("{}/acme/tool", issuer.url()),
        "commit_url": format!("{}/acme/tool/commit/0123abcd", issuer.url()),
        "run_url": format!("{}/acme/tool/actions/runs/987", issuer.url()),
    });
    assert_eq!(identity, expected);
    let files = site.ada().get(&format!("{version}/files")).await.is(200).json();
    assert_eq!(files[1]["verified_identity"], expected);
    site.app.webhook_sender().run().await;
    assert_eq!(receiver.heard()[0].json()["verified_identity"], expected);
    let records = site.admin().get("/api/v1/admin/audit?actor=acme/github").await.is(200).json();
    let events: Vec<&Value> = records.as_array().unwrap().iter().map(|one| &one["event"]).collect();
    assert_eq!(events, ["file.publish", "file.publish", "token.create"]);
    assert_eq!(records[0]["detail"]["identity"], expected);
    assert_eq!(records[0]["token_creator"], "GitHub Actions · acme/tool @ v1.2 · run 123");
    assert_eq!(records[2]["detail"]["identity"], expected);
    let page = "/acme/-/packages/generic/tool-x/1.0";
    let mut browser = site.browser_of("ada").await;
    browser.go(page).await.is(200);
    assert_eq!(browser.all(".origin"), ["Published by GitHub Actions · acme/tool @ v1.2 · run 123"]);
    // A page links only to addresses with https.
    assert_eq!(browser.all(".origin a").len(), 0);
    site.db_execute("UPDATE files SET identity = replace(identity::text, 'http://', 'https://')::jsonb");
    browser.go(page).await.is(200);
    assert_eq!(browser.all(".origin a"), ["acme/tool", "v1.2", "run 123"]);
    // A file that a person adds has no identity, and the version then none for all of it.
    site.ada().publish(&path(&["acme", "tool-x", "1.0", "c"]), "c").await;
    assert_eq!(site.ada().get(version).await.is(200).json()["verified_identity"], json!(null));
    let files = site.ada().get(&format!("{version}/files")).await.is(200).json();
    assert_eq!((&files[2]["verified_identity"], &files[0]["verified_identity"]["run"]), (&json!(null), &json!("123")));
    browser.go(page).await.is(200);
    assert!(browser.one(".origin").ends_with("run 123 (2 of 3 files)"));
    // The trash keeps it, and a copy by a person has none.
    site.ada().delete(&path(&["acme", "tool-x", "1.0"])).await.is(204);
    let entry = site.ada().get("/api/v1/packages/acme/-/trash").await.is(200).json()[0]["id"].clone();
    site.ada().request("POST", &format!("/api/v1/packages/acme/-/trash/{entry}/restore")).await.is(200);
    let files = site.ada().get(&format!("{version}/files")).await.is(200).json();
    assert_eq!(files[0]["verified_identity"]["run"], "123");
    site.ada().delete(&path(&["acme", "tool-x", "1.0", "a"])).await.is(204);
    let entry = site.ada().get("/api/v1/packages/acme/-/trash").await.is(200).json()[0]["id"].clone();
    site.ada().request("POST", &format!("/api/v1/packages/acme/-/trash/{entry}/restore")).await.is(200);
    let files = site.ada().get(&format!("{version}/files")).await.is(200).json();
    assert_eq!(files[0]["verified_identity"]["run"], "123");
    let copy = "/api/v1/packages/acme/generic/tool-x/2.0/copy";
    let made = site.ada().post(copy, &json!({"version": "1.0", "files": ["a"]})).await.is(201).json();
    assert_eq!(made["verified_identity"], json!(null));
    let made =
        ci.post("/api/v1/packages/acme/generic/tool-x/3.0/copy", &json!({"version": "1.0"})).await.is(201).json();
    assert_eq!(made["verified_identity"]["run"], "123");
}

#[tokio::test]
async fn a_package_can_accept_files_from_trusted_publishers_alone() {
    let issuer = Issuer::new();
    let site = site_for(&issuer, &[]);
    trust(&site, &issuer).await;
    let ci = job(&site, &issuer, &github(&site)).await;
    let package = "/api/v1/packages/acme/generic/tool-x";
    ci.publish(&path(&["acme", "tool-x", "1.0", "f"]), "f").await;
    site.ada().publish(&path(&["acme", "other", "1.0", "f"]), "f").await;
    let only = json!({"trusted_publishing_only": true});
    // It needs the permission admin, and a token that does more than publishing.
    ci.patch(package, &only).await.is(403).tells("permission admin");
    site.user("acme-write").patch(package, &only).await.is(403).tells("permission admin");
    site.ci().patch(package, &only).await.is(403).tells("write:organization");
    let set = site.user("acme-admin").patch(package, &only).await.is(200).json();
    assert_eq!(set["trusted_publishing_only"], true);
    let settings = site.ada().get(&format!("{package}/-/settings")).await.is(200).json();
    assert_eq!(settings["trusted_publishing_only"], true);
    assert!(site.db_audit().last().unwrap().starts_with("package.update by acme-admin"));
    // No other credential adds a file, whatever its rights.
    let from_trusted = "accepts files only from trusted publishers";
    for client in [site.ada(), site.ci(), site.admin()] {
        client.put(&path(&["acme", "tool-x", "2.0", "f"]), "f").await.is(403).tells(from_trusted);
        client.put(&path(&["acme", "tool-x", "1.0", "g"]), "g").await.is(403).tells(from_trusted);
        for what in ["copy", "move"] {
            let from = json!({"name": "other", "version": "1.0"});
            client.post(&format!("{package}/2.0/{what}"), &from).await.is(403).tells(from_trusted);
        }
    }
    let ci = job(&site, &issuer, &github(&site)).await;
    ci.publish(&format!("{}?draft=true", path(&["acme", "tool-x", "2.0", "f"])), "f").await;
    // Everything else stays as it was: people release, yank, seal and delete.
    site.ci().request("POST", &format!("{package}/2.0/publish")).await.is(200);
    site.ci().patch(&format!("{package}/2.0"), &json!({"yanked": true})).await.is(200);
    site.ci().patch(package, &json!({"description": "A tool"})).await.is(200);
    site.ci().delete(&path(&["acme", "tool-x", "1.0"])).await.is(204);
    site.ci().patch(package, &json!({"trusted_publishing_only": false})).await.is(403).tells("write:organization");
    // The page of the settings has it, for those who may change it.
    let mut browser = site.browser_of("acme-write").await;
    let page = "/acme/-/packages/settings/generic/tool-x";
    browser.go(page).await.is(200);
    assert_eq!(browser.all("#publishing").len(), 0);
    browser.submit("#settings", &[("description", "Another tool")]).await.is(303);
    let mut browser = site.browser_of("ada").await;
    browser.go(page).await.is(200);
    assert_eq!(browser.attrs("#publishing option[selected]", "value"), ["trusted"]);
    browser.submit("#settings", &[("publishing", "everyone")]).await.is(303);
    site.ci().publish(&path(&["acme", "tool-x", "3.0", "f"]), "f").await;
}

#[tokio::test]
async fn refused_exchanges_are_limited_per_address_and_good_ones_are_not() {
    let issuer = Issuer::new();
    let site = site_for(&issuer, &[]);
    trust(&site, &issuer).await;
    let wrong = issuer.sign(&with(github(&site), "aud", json!("other.example.org")));
    for _ in 0..49 {
        exchange(&site, &wrong).await.is(403);
    }
    for _ in 0..3 {
        exchange(&site, &issuer.sign(&github(&site))).await.is(200);
    }
    exchange(&site, "nonsense").await.is(422);
    let limited = exchange(&site, &issuer.sign(&github(&site))).await.is(429);
    assert!(limited.header("retry-after").is_some());
    // Signing in is another matter.
    site.ada().get("/api/v1/user").await.is(200);
    site.pass(Duration::from_secs(301));
    exchange(&site, &issuer.sign(&github(&site))).await.is(200);
}
