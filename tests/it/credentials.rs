//! Credentials: every way to send one, and everything that makes one invalid.

use crate::support::people::password_hash;
use crate::support::{PASSWORD, Site, cluster::cluster, path};
use argon2::{Argon2, Params, PasswordHasher, PasswordVerifier};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use packhouse::registry::accounts::users;
use packhouse::registry::caller::Caller;
use serde_json::json;
use std::time::Duration;

fn file() -> String {
    path(&["ada", "tool", "1", "f"])
}

/// A server where Ada is private and has a file, so that only a valid credential of hers can read it.
pub async fn private() -> Site {
    private_with(&[]).await
}

pub async fn private_with(settings: &[(&str, &str)]) -> Site {
    let site = Site::with(settings);
    site.ci().publish(&file(), "hello").await;
    site.db_execute("UPDATE owners SET visibility = 2 WHERE name = 'ada'");
    site
}

#[tokio::test]
async fn every_way_to_send_a_token_works_the_same() {
    let site = private().await;
    let token = &cluster().people.reader;
    let anon = site.anon();
    for client in [
        anon.authorized(format!("Bearer {token}")),
        anon.authorized(format!("bearer {token}")),
        anon.authorized(format!("token {token}")),
        anon.authorized(format!("Token  {token}")),
        anon.basic("ada", token),
        anon.basic("nobody", token),
        anon.basic("", token),
        anon.basic(token, ""),
        anon.basic(token, "x-oauth-basic"),
    ] {
        assert_eq!(client.get(&file()).await.is(200).text(), "hello");
        let refused = client.put(&path(&["ada", "tool", "1", "g"]), "x").await.is(403);
        assert_eq!(refused.text(), "the access token lacks the scope write:package\n");
        client.delete(&file()).await.is(403);
    }
}

#[tokio::test]
async fn basic_login_takes_the_name_or_email_address_in_any_case() {
    let site = private().await;
    for name in ["ada", "ADA", "ada@example.org", "Ada@Example.ORG"] {
        site.anon().basic(name, PASSWORD).get(&file()).await.is(200);
    }
    for (name, password) in
        [("ada", "wrong"), ("ada", ""), ("", PASSWORD), ("nobody", PASSWORD), ("stranger@", PASSWORD)]
    {
        site.anon().basic(name, password).get(&file()).await.is(401);
    }
}

#[tokio::test]
async fn passwords_and_addresses_are_understood_in_utf_8_and_latin_1() {
    let site = private().await;
    let new = json!({"username": "jose", "email": "josé@example.org", "password": "contraseña de José"});
    site.admin().post("/api/v1/admin/users", &new).await.is(201);
    let basic = |bytes: Vec<u8>| site.anon().authorized(format!("Basic {}", STANDARD.encode(bytes)));
    let latin = |text: &str| text.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect::<Vec<u8>>();
    for name in ["jose", "josé@example.org"] {
        let pair = format!("{name}:contraseña de José");
        basic(pair.as_bytes().to_vec()).get("/api/v1/user").await.is(200);
        basic(latin(&pair)).get("/api/v1/user").await.is(200);
        basic(latin(&pair.replace('ñ', "n"))).get("/api/v1/user").await.is(401);
    }
}

#[tokio::test]
async fn invalid_credentials_are_401_even_for_public_files() {
    let site = Site::new();
    site.ci().publish(&file(), "hello").await;
    let token = &cluster().people.reader;
    let mistyped = format!("{}{}", &token[..20], if token.as_bytes()[20] == b'a' { "b" } else { "a" }) + &token[21..];
    for value in [
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        "Bearer nonsense".to_owned(),
        format!("Bearer {mistyped}"),
        format!("Bearer {token} x"),
        format!("Bearer {}", packhouse::domain::secret::TokenSecret::generate().reveal()),
        token.clone(),
        "Basic".to_owned(),
        "Basic !!!".to_owned(),
        "Basic bm8gY29sb24=".to_owned(),
        "Basic /w==".to_owned(),
        "Digest username=\"ada\"".to_owned(),
        "Negotiate abc".to_owned(),
        "\u{e4}".to_owned(),
    ] {
        let answer = site.anon().authorized(value.clone()).get(&file()).await.is(401);
        assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"Packhouse\", charset=\"UTF-8\""), "{value}");
        site.anon().authorized(value).put(&path(&["ada", "x", "1", "f"]), "x").await.is(401);
    }
    let twice = site.reader().get(&file()).header("authorization", format!("Bearer {token}")).await;
    twice.is(401);
    site.anon().get(&file()).await.is(200);
}

#[tokio::test]
async fn query_tokens_work_only_if_the_setting_allows_them() {
    let token = &cluster().people.reader;
    for (setting, status) in [("false", 401), ("true", 200)] {
        let site = private_with(&[("PACKHOUSE_AUTH_QUERY_TOKENS", setting)]).await;
        for query in [format!("token={token}"), format!("a=b&access_token={token}")] {
            site.anon().get(&format!("{}?{query}", file())).await.is(status);
        }
        site.anon().get(&format!("{}?token=nonsense", file())).await.is(401);
        // A header takes precedence.
        site.stranger().get(&format!("{}?token={token}", file())).await.is(404);
    }
}

#[tokio::test]
async fn a_token_in_an_address_that_is_not_read_is_mentioned() {
    let site = private().await;
    let token = &cluster().people.reader;
    for address in [&*file(), "/api/v1/user", "/api/v1/packages/ada", &path(&["nobody", "x", "1", "f"])] {
        for query in [format!("token={token}"), format!("access_token={token}"), "token=nonsense".to_owned()] {
            let answer = site.anon().get(&format!("{address}?{query}")).await.is(401);
            let answer = answer.says("does not read access tokens in addresses").says("auth.query_tokens");
            assert!(answer.header("www-authenticate").is_some() && !answer.text().contains("phk_"));
        }
        // A private owner and an absent one stay alike, and nobody else is told.
        let answer = site.anon().get(address).await.is(401);
        assert!(!answer.text().contains("addresses"), "{}", answer.text());
    }
    // What everybody may read is sent as before.
    site.anon().get(&format!("/api/v1/packages/stranger?token={token}")).await.is(200);
    let other = site.anon().basic("ada", "wrong password").get(&format!("{}?token={token}", file())).await.is(401);
    assert!(!other.text().contains("addresses"), "{}", other.text());
}

#[tokio::test]
async fn cookies_do_not_authenticate_package_or_api_requests() {
    let site = private().await;
    let token = &cluster().people.reader;
    let cookie = format!("token={token}; access_token={token}; session={token}; __Host-session={token}");
    site.anon().get(&file()).header("cookie", &cookie).await.is(401);
    site.anon().get("/api/v1/user").header("cookie", &cookie).await.is(401);
}

#[tokio::test]
async fn tokens_need_scopes_on_public_owners_and_for_administrators_too() {
    let site = Site::new();
    site.ci().publish(&file(), "hello").await;
    for user in ["ada", "admin"] {
        for (scopes, read, write) in [
            (&["read:package"][..], 200, 403),
            (&["write:package"], 200, 404),
            (&["all"], 200, 404),
            (&["write:user", "write:organization", "write:admin", "write:misc"], 403, 403),
            (&["read:user", "read:package"], 200, 403),
        ] {
            let client = site.anon().bearer(&site.db_token(user, scopes));
            for (request, expected, scope) in [
                (client.get(&file()), read, "read:package"),
                (client.head(&file()), read, "read:package"),
                (client.get(&path(&["ada", "tool"])), read, "read:package"),
                (client.delete(&path(&["ada", "tool", "2"])), write, "write:package"),
                (client.put(&path(&["ada", "tool", "1", "bad%\u{e4}"]), "x"), 400, ""),
            ] {
                let answer = request.await.is(expected);
                if expected == 403 && !answer.body.is_empty() {
                    assert_eq!(answer.text(), format!("the access token lacks the scope {scope}\n"), "{scopes:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_public_only_token_sees_only_public_owners() {
    let site = Site::new();
    site.ci().publish(&file(), "hello").await;
    let client = site.anon().bearer(&site.db_token("ada", &["write:package", "public-only"]));
    client.get(&file()).await.is(200);
    client.publish(&path(&["ada", "tool", "1", "g"]), "x").await;
    for visibility in [1, 2] {
        site.db_execute(&format!("UPDATE owners SET visibility = {visibility} WHERE name = 'ada'"));
        for request in [client.get(&file()), client.get(&path(&["ada", "tool"])), client.delete(&file())] {
            request.await.is(403).says("public-only");
        }
        // A limit of a token grants nothing that its owner may not see.
        site.db_execute("UPDATE owners SET visibility = 2 WHERE name = 'stranger'");
        client.get(&path(&["stranger", "tool"])).await.is(404);
    }
}

#[tokio::test]
async fn a_token_limited_to_owners_or_packages_works_only_for_those() {
    let site = Site::new();
    for (owner, client) in [("ada", site.ci()), ("stranger", site.stranger())] {
        for package in ["tool", "tool-kit", "other"] {
            client.publish(&path(&[owner, package, "1", "f"]), "x").await;
        }
    }
    let of_owner =
        site.db_limited_token("ada", &["write:package"], |new| new.owners = Some(vec!["ada".parse().unwrap()]));
    let client = site.anon().bearer(&of_owner);
    client.get(&path(&["ada", "other", "1", "f"])).await.is(200);
    for parts in [&["stranger", "tool", "1", "f"][..], &["stranger", "tool", "1"], &["stranger", "tool"]] {
        client.get(&path(parts)).await.is(403).says("limited to owners other than");
    }

    let patterns = || Some(vec!["Tool*".parse().unwrap()]);
    let of_package = site.db_limited_token("ada", &["write:package"], |new| new.packages = patterns());
    let client = site.anon().bearer(&of_package);
    for (package, read, write) in
        [("tool", 200, 201), ("TOOL-KIT", 200, 201), ("other", 403, 403), ("a-tool", 403, 403)]
    {
        let list = client.get(&path(&["ada", package])).await.is(read);
        client.get(&path(&["ada", package, "1"])).await.is(read);
        client.put(&path(&["ada", package, "1", "new"]), "x").await.is(write);
        client.delete(&path(&["ada", package, "1", "new"])).await.is(if write == 201 { 204 } else { 403 });
        if read == 403 {
            list.says(&format!("limited to packages other than {package}"));
        }
    }
    client.put(&path(&["ada", "tools", "1", "f"]), "x").await.is(201);
    site.db_execute("DELETE FROM tokens WHERE name LIKE 'token %'");
    client.get(&path(&["ada", "tool"])).await.is(401);
}

#[tokio::test]
async fn a_token_limited_to_a_deleted_owner_is_useless() {
    let site = Site::new();
    let token =
        site.db_limited_token("ada", &["write:package"], |new| new.owners = Some(vec!["stranger".parse().unwrap()]));
    site.db_execute("DELETE FROM owners WHERE name = 'stranger'");
    site.anon().bearer(&token).put(&file(), "x").await.is(403);
}

#[tokio::test]
async fn expired_revoked_and_unknown_tokens_get_the_same_401() {
    let site = private().await;
    let expires = site.now().plus(Duration::from_secs(3600));
    let token = site.db_limited_token("ada", &["read:package"], |new| new.expires_at = Some(expires));
    let client = site.anon().bearer(&token);
    client.get(&file()).await.is(200);
    site.pass(Duration::from_secs(3599));
    client.get(&file()).await.is(200);
    site.pass(Duration::from_secs(1));
    let expired = client.get(&file()).await.is(401);
    let unknown = site.anon().bearer(packhouse::domain::secret::TokenSecret::generate().reveal()).get(&file()).await;
    assert_eq!(expired.looks(), unknown.looks());

    let token = site.db_token("ada", &["read:package"]);
    let client = site.anon().bearer(&token);
    client.get(&file()).await.is(200);
    site.ada().delete("/api/v1/users/ada/tokens/token%205").await.is(204);
    assert_eq!(client.get(&file()).await.is(401).looks(), unknown.looks());
}

#[tokio::test]
async fn locked_and_inactive_users_lose_access_by_any_credential_at_once() {
    let site = private().await;
    let anonymous = site.anon();
    let clients = || [site.ada(), site.ci(), site.reader(), anonymous.basic("x", &cluster().people.ci)];
    let all = async |status: u16| {
        for client in clients() {
            client.get(&file()).await.is(status);
            if status == 401 {
                client.put(&path(&["ada", "tool", "1", "g"]), "x").await.is(401);
            }
        }
    };
    all(200).await;
    let lock = |locked: bool| {
        let ada = "ada".parse().unwrap();
        site.db(|conn| users::set_locked(conn, &Caller::command_line(), &ada, locked, site.now()));
    };
    lock(true);
    all(401).await;
    lock(false);
    all(200).await;
    site.db_execute("UPDATE users SET is_active = false WHERE lower_email LIKE 'ada@%'");
    all(401).await;
    let wrong = site.anon().basic("ada", "wrong password").get(&file()).await;
    assert_eq!(site.ada().get(&file()).await.looks(), wrong.looks(), "both answers are the same");
}

#[tokio::test]
async fn a_new_password_ends_every_remembered_login_immediately() {
    let site = private().await;
    site.ada().get(&file()).await.is(200);
    site.ada().get(&file()).await.is(200);
    let hash =
        packhouse::password::hash_now(&packhouse::domain::secret::Password::new("another long password")).unwrap();
    let ada = "ada".parse().unwrap();
    site.db(|conn| users::set_password(conn, &Caller::command_line(), &ada, &hash, site.now()));
    site.ada().get(&file()).await.is(401);
    site.anon().basic("ada", "another long password").get(&file()).await.is(200);
    site.ci().get(&file()).await.is(200);
    // Back to the old password: its remembered login is gone too.
    site.db_execute(&format!("UPDATE users SET password_hash = '{}', auth_epoch = auth_epoch + 1", password_hash()));
    site.anon().basic("ada", "another long password").get(&file()).await.is(401);
    site.ada().get(&file()).await.is(200);
}

#[tokio::test]
async fn password_hashes_with_other_argon2_parameters_are_accepted() {
    let site = private().await;
    let stored = password_hash();
    assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
    Argon2::default().verify_password(PASSWORD.as_bytes(), stored).unwrap();
    for (memory, passes, lanes) in [(64, 1, 1), (4096, 3, 4), (32_768, 1, 2)] {
        let argon2 = Argon2::from(Params::new(memory, passes, lanes, None).unwrap());
        let hash = argon2.hash_password(PASSWORD.as_bytes()).unwrap();
        site.db_execute(&format!("UPDATE users SET password_hash = '{hash}', auth_epoch = auth_epoch + 1"));
        site.ada().get(&file()).await.is(200);
        site.anon().basic("ada", "wrong password").get(&file()).await.is(401);
    }
}

#[tokio::test]
async fn a_remembered_login_skips_hashing_for_a_limited_time() {
    let site = private().await;
    site.ada().get(&file()).await.is(200);
    // Without the hash, only the remembered login can let her in. The epoch stays the same.
    site.db_execute("UPDATE users SET password_hash = NULL WHERE lower_email LIKE 'ada@%'");
    site.ada().get(&file()).await.is(200);
    site.anon().basic("ada", "wrong password").get(&file()).await.is(401);
    site.pass(Duration::from_secs(301));
    site.ada().get(&file()).await.is(401);
}

#[tokio::test]
async fn unknown_user_and_wrong_password_get_the_same_answer() {
    let site = Site::new();
    site.db_execute("UPDATE users SET password_hash = NULL WHERE lower_email LIKE 'stranger@%'");
    let wrong = site.anon().basic("ada", "wrong password").get(&file()).await.is(401);
    for (name, password) in [
        ("nobody", "wrong password"),
        ("nobody@example.org", "x"),
        ("stranger", PASSWORD),
        ("ada", &"x".repeat(2000)),
        ("../ada", "x"),
        // Neither a user name nor an email address: no need to ask the database.
        ("a\0b", "x"),
        ("a\0@b", "x"),
        (&packhouse::domain::secret::random_text(7000), "x"),
        (&format!("{}@example.org", packhouse::domain::secret::random_text(7000)), "x"),
    ] {
        // Each address has ten attempts.
        site.db_execute("DELETE FROM attempts");
        let answer = site.anon().basic(name, password).get(&file()).await;
        assert_eq!(answer.looks(), wrong.looks(), "{name}");
    }
}

#[tokio::test]
async fn a_token_stores_when_and_from_where_it_was_last_used() {
    let site = Site::new();
    site.reader().get(&path(&["ada", "tool"])).await.is(404);
    site.pass(Duration::from_secs(90));
    site.anon().basic("x", &cluster().people.reader).get(&path(&["ada", "tool"])).await.is(404);
    site.db_flush().await;
    let used = site.db_texts(
        "SELECT name || ' ' || to_char(last_used_at AT TIME ZONE 'UTC', 'HH24:MI:SS') || ' ' || last_used_from AS text \
         FROM tokens WHERE last_used_at IS NOT NULL",
    );
    assert_eq!(used, ["reader 03:05:35 127.0.0.1"]);
    let listed = site.ada().get("/api/v1/users/ada/tokens").await.is(200).json();
    let of = |name: &str| listed.as_array().unwrap().iter().find(|token| token["name"] == name).unwrap().clone();
    assert_eq!(of("reader")["last_used_at"], "2026-01-02T03:05:35Z");
    assert!(of("ci")["last_used_at"].is_null());
}

#[tokio::test]
async fn a_token_cannot_create_list_or_revoke_tokens() {
    let site = Site::new();
    let all = site.anon().bearer(&site.db_token("ada", &["all"]));
    let body = serde_json::json!({"name": "more", "scopes": ["all"]});
    for client in [&all, &site.admin(), &site.anon().basic("ada", &cluster().people.ci)] {
        client.post("/api/v1/users/ada/tokens", &body).await.is(403).says("password");
        client.get("/api/v1/users/ada/tokens").await.is(403);
        client.delete("/api/v1/users/ada/tokens/ci").await.is(403);
    }
    site.anon().post("/api/v1/users/ada/tokens", &body).await.is(401);
    site.user("stranger").post("/api/v1/users/ada/tokens", &body).await.is(403);
    let made = site.ada().post("/api/v1/users/ada/tokens", &body).await.is(201).json();
    let secret = made["sha1"].as_str().unwrap();
    site.anon().bearer(secret).publish(&file(), "x").await;
    assert!(!site.ada().get("/api/v1/users/ada/tokens").await.text().contains(secret), "the secret is shown once");
}

#[tokio::test]
async fn user_names_of_built_in_actors_are_reserved() {
    let site = Site::new();
    for name in ["command-line", "Command-Line", "system"] {
        let body = serde_json::json!({"username": name, "email": "x@example.org", "password": PASSWORD});
        site.admin().post("/api/v1/admin/users", &body).await.is(422).says("reserved");
    }
}

#[tokio::test]
async fn the_401_challenge_is_the_same_everywhere() {
    let site = Site::new();
    site.ci().publish(&file(), "hello").await;
    let sentence = "authentication required: sign in or send an access token";
    site.anon().put(&path(&["ada", "tool", "1", "g"]), "x").await.is(401).says(sentence);
    site.anon().delete(&file()).await.is(401).says(sentence);
    site.anon().get(&path(&["nobody", "tool"])).await.is(401).says(sentence);
    site.anon().get("/api/v1/user").await.is(401).says(sentence);
}
