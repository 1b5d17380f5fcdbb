//! What Gitea's clients ask for besides packages: small addresses, forms as bodies, lists with true totals, and scopes.

use crate::support::people::{db_org, db_user, new_team};
use crate::support::{Client, PASSWORD, Site, morning, path};
use packhouse::auth::policy::AcceptedCredentials;
use packhouse::domain::role::{Permission, Scope, Scopes, Visibility};
use packhouse::registry::access::can_govern;
use packhouse::registry::owners::teams;
use packhouse::routes::table;
use serde_json::{Value, json};

#[tokio::test]
async fn small_addresses_answer_as_gitea_does() {
    let site = Site::new();
    site.db(|conn| db_org(conn, "acme", Visibility::Private));
    let ada = site.anon().bearer(&site.db_token("ada", &["all"]));
    let team = ada.get("/api/v1/orgs/acme/teams").await.is(200).json()[0]["id"].clone();
    for list in [
        &*format!("/api/v1/teams/{team}/repos"),
        "/api/v1/user/repos",
        "/api/v1/users/stranger/repos",
        "/api/v1/user/keys",
        "/api/v1/orgs/acme/public_members",
    ] {
        let answer = ada.get(&format!("{list}?page=1&limit=50")).await.is(200);
        assert_eq!((answer.json(), answer.header("x-total-count")), (json!([]), Some("0")), "{list}");
        ada.head(list).await.is(200);
    }
    let id = site.db_number("SELECT id AS n FROM owners WHERE name = 'ada'");
    let emails =
        json!([{"email": "ada@example.org", "verified": true, "primary": true, "user_id": id, "username": "ada"}]);
    assert_eq!(ada.get("/api/v1/user/emails").await.is(200).json(), emails);
    insta::assert_snapshot!(ada.get("/api/v1/user/settings").await.is(200).text(), @r#"{"full_name":"","website":"","description":"","location":"","language":"","theme":"","diff_view_style":"","hide_email":true,"hide_activity":true}"#);
    let anon = site.anon();
    insta::assert_snapshot!(anon.get("/api/v1/settings/ui").await.is(200).text(), @r#"{"default_theme":"system","allowed_reactions":[],"custom_emojis":[]}"#);
    insta::assert_snapshot!(anon.get("/api/v1/settings/attachment").await.is(200).text(), @r#"{"enabled":false,"allowed_types":"","max_size":0,"max_files":0}"#);
    insta::assert_snapshot!(anon.get("/api/v1/settings/repository").await.is(200).text(), @r#"{"mirrors_disabled":true,"http_git_disabled":true,"migrations_disabled":true,"stars_disabled":true,"time_tracking_disabled":true,"lfs_disabled":true}"#);
    for rest in ["-/link/tool", "-/unlink"] {
        let answer = anon.post(&format!("/api/v1/packages/ada/generic/tool/{rest}"), &json!({})).await.is(404);
        answer.says("this server has no repositories").says("\"unsupported\"");
    }
    for own in ["emails", "settings", "keys", "repos"] {
        anon.get(&format!("/api/v1/user/{own}")).await.is(401);
    }
    // Private looks like absent here too.
    let stranger = site.anon().bearer(&site.db_token("stranger", &["all"]));
    for (hidden, absent) in [
        (format!("/api/v1/teams/{team}/repos"), "/api/v1/teams/987654/repos"),
        ("/api/v1/orgs/acme/public_members".to_owned(), "/api/v1/orgs/nobody/public_members"),
        ("/api/v1/users/stranger/orgs/acme/permissions".to_owned(), "/api/v1/users/stranger/orgs/nobody/permissions"),
    ] {
        assert_eq!(stranger.get(&hidden).await.is(404).looks(), stranger.get(absent).await.looks(), "{hidden}");
        assert_eq!(anon.get(&hidden).await.is(401).looks(), anon.get(absent).await.looks(), "{hidden}");
    }
}

#[tokio::test]
async fn permissions_in_an_org_are_those_of_the_user_s_teams() {
    let site = Site::new();
    site.db(|conn| {
        db_org(conn, "acme", Visibility::Public)?;
        db_user(conn, "shade", Visibility::Private, false)
    });
    let ada = site.anon().bearer(&site.db_token("ada", &["read:organization"]));
    let of = |user: &str| format!("/api/v1/users/{user}/orgs/acme/permissions");
    for (user, rank) in [("stranger", 0), ("acme-read", 1), ("acme-write", 2), ("acme-admin", 3), ("acme-owner", 4)] {
        let expected = json!({
            "can_read": rank >= 1, "can_write": rank >= 2, "is_admin": rank >= 3, "is_owner": rank >= 4,
            "can_create_repository": false,
        });
        assert_eq!(ada.get(&of(user)).await.is(200).json(), expected, "{user}");
        // Everybody may ask about themselves.
        assert_eq!(site.user(user).get(&of(user)).await.is(200).json(), expected, "{user}");
    }
    site.user("stranger").get(&of("ada")).await.is(403).says("only members of acme");
    let nobody = ada.get(&of("nobody")).await.is(404);
    assert_eq!(ada.get(&of("shade")).await.looks(), nobody.looks());
    assert_eq!(site.user("admin").get(&of("admin")).await.is(200).json()["is_owner"], false, "as a member");
}

/// Sends fields as a form of this kind.
async fn form(
    client: &Client,
    method: &str,
    path: &str,
    multipart: bool,
    fields: &[(&str, &str)],
) -> crate::support::Answer {
    let request = client.request(method, path);
    if multipart {
        let part = |(name, value): &(&str, &str)| {
            format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let body = fields.iter().map(part).collect::<String>() + "--edge--\r\n";
        return request.header("content-type", "multipart/form-data; boundary=edge").body(body).await;
    }
    let escape = crate::support::client::escape;
    let body = fields.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect::<Vec<_>>().join("&");
    request.header("content-type", "application/x-www-form-urlencoded; charset=UTF-8").body(body).await
}

#[tokio::test]
async fn bodies_may_be_forms_of_both_kinds() {
    let site = Site::new();
    let (admin, ada) = (site.admin(), site.ada());
    for (multipart, name) in [(false, "url"), (true, "parts")] {
        let email = format!("{name}@example.org");
        let fields = [
            ("username", name),
            ("email", &email),
            ("password", "a long enough password & = +"),
            ("full_name", "Zoë & Co"),
            ("must_change_password", "false"),
            ("visibility", "limited"),
            ("unknown", "x"),
        ];
        let made = form(&admin, "POST", "/api/v1/admin/users", multipart, &fields).await.is(201).json();
        assert_eq!((&made["full_name"], &made["visibility"]), (&json!("Zoë & Co"), &json!("limited")));
        site.anon().basic(name, "a long enough password & = +").get("/api/v1/user").await.is(200);
        let user = format!("/api/v1/admin/users/{name}");
        let edited = form(&admin, "PATCH", &user, multipart, &[("prohibit_login", "on")]);
        assert_eq!(edited.await.is(200).json()["prohibit_login"], true);
        // A list repeats its name.
        let fields = [("name", name), ("scopes", "read:package"), ("scopes", "write:user"), ("owners", "ada")];
        let made = form(&ada, "POST", "/api/v1/users/ada/tokens", multipart, &fields).await.is(201).json();
        assert_eq!((&made["scopes"], &made["owners"]), (&json!(["read:package", "write:user"]), &json!(["ada"])));
        let fields = [("username", &*format!("org-{name}")), ("description", "one\ntwo")];
        let ada = site.anon().bearer(&site.db_token("ada", &["all"]));
        let made = form(&ada, "POST", "/api/v1/orgs", multipart, &fields).await.is(201).json();
        assert_eq!(made["description"], "one\ntwo");
        let teams = format!("/api/v1/orgs/org-{name}/teams");
        let made = form(&ada, "POST", &teams, multipart, &[("name", "writers"), ("permission", "write")]).await;
        assert_eq!(made.is(201).json()["permission"], "write");
        let quota = form(&admin, "PATCH", "/api/v1/users/ada/quota", multipart, &[("versions", "1000")]).await;
        assert_eq!(quota.is(200).json()["versions"]["limit"], 1000);
    }
}

#[tokio::test]
async fn wrong_forms_name_the_field_and_json_stays_json() {
    let site = Site::new();
    let admin = site.admin();
    for multipart in [false, true] {
        for (fields, words) in [
            (&[][..], "missing field `username`"),
            (&[("username", "a b")], "username: "),
            (
                &[
                    ("username", "x"),
                    ("email", "x@example.org"),
                    ("password", "long enough 123"),
                    ("must_change_password", "?"),
                ],
                "must_change_password: \\\"?\\\" is neither true nor false",
            ),
        ] {
            form(&admin, "POST", "/api/v1/admin/users", multipart, fields).await.is(422).says(words);
        }
        let quota = form(&admin, "PATCH", "/api/v1/users/ada/quota", multipart, &[("versions", "many")]).await;
        quota.is(422).says("versions: ").says("is not a number");
        let fields = [("type", "gitea"), ("config", "x"), ("active", "true")];
        form(&admin, "POST", "/api/v1/user/hooks", multipart, &fields).await.is(422).says("config: ");
    }
    let broken = site.admin().request("POST", "/api/v1/orgs").header("content-type", "multipart/form-data");
    broken.body("--edge").await.is(422).says("multipart/form-data");
    // `curl -d` says that everything is a form, so JSON is recognized.
    let body = "\n {\"username\": \"acme\"}";
    let request = admin.request("POST", "/api/v1/orgs").header("content-type", "application/x-www-form-urlencoded");
    request.body(body).await.is(201);
    let request = admin.request("POST", "/api/v1/orgs").header("content-type", "application/json");
    request.body("username=other").await.is(422).says("the JSON is not an object");
    let long = format!("username={}", "x".repeat(70_000));
    let request = admin.request("POST", "/api/v1/orgs").header("content-type", "application/x-www-form-urlencoded");
    request.body(long).await.is(422).says("longer than 65536 bytes");
    // Nothing of a form is read before the credential.
    form(&site.anon(), "POST", "/api/v1/orgs", true, &[("username", "a")]).await.is(401);
}

#[tokio::test]
async fn a_missing_or_unknown_token_scope_is_400() {
    let site = Site::new();
    let post = |body: Value| site.ada().post("/api/v1/users/ada/tokens", &body);
    for body in [
        json!({"name": "t"}),
        json!({"name": "t", "scopes": null}),
        json!({"name": "t", "scopes": []}),
        json!({"name": "t", "scopes": ["public-only"]}),
        json!({"name": "t", "scopes": ["read:packages"]}),
        json!({"name": "t", "scopes": ["write:package", "sudo"]}),
        json!({"name": "t", "scopes": [""]}),
    ] {
        post(body.clone()).await.is(400).says("scopes");
    }
    form(&site.ada(), "POST", "/api/v1/users/ada/tokens", false, &[("name", "t")]).await.is(400).says("scope");
    // Another wrong field is still 422, and a name that is taken 400.
    post(json!({"name": "", "scopes": ["all"]})).await.is(422).says("name");
    post(json!({"name": "t", "scopes": "all"})).await.is(422).says("scopes");
    post(json!({"name": "t", "scopes": ["all"]})).await.is(201);
    post(json!({"name": "t", "scopes": ["all"]})).await.is(400).says("already exists");
}

#[tokio::test]
async fn a_token_is_revoked_by_its_id_or_name_and_never_another() {
    let site = Site::new();
    let token = |name: &str| {
        let name = name.to_owned();
        site.db(|conn| crate::support::people::db_token(conn, "ada", &name, &["read:user"], |_| {}))
    };
    let id = |name: &str| site.db_number(&format!("SELECT id AS n FROM tokens WHERE name = '{name}'"));
    let works = async |secret: &str| site.anon().bearer(secret).get("/api/v1/user").await.status == 200;
    let first = token("first");
    let first_id = id("first");
    let twin = token(&first_id.to_string());
    let twin_id = id(&first_id.to_string());
    let revoke = |called: &str| site.ada().delete(&format!("/api/v1/users/ada/tokens/{called}"));
    let both = revoke(&first_id.to_string()).await.is(409).says("\\\"first\\\"").says(&twin_id.to_string());
    assert_eq!(both.json()["code"], "ambiguous");
    assert!(works(&first).await && works(&twin).await, "nothing was revoked");
    // Only the decimal number is an id.
    for other in [format!("+{first_id}"), format!("0{first_id}"), format!("%20{first_id}")] {
        revoke(&other).await.is(404);
    }
    revoke(&twin_id.to_string()).await.is(204);
    assert!(works(&first).await && !works(&twin).await);
    revoke(&first_id.to_string()).await.is(204);
    assert!(!works(&first).await);
    // A number that is only a name, and another user's id.
    let number = token("424242");
    let strangers = site.db_number("SELECT id AS n FROM tokens WHERE name = 'stranger'");
    revoke(&strangers.to_string()).await.is(404);
    revoke("424242").await.is(204);
    assert!(!works(&number).await);
}

/// Follows a list page by page. Every page has the same total, and it is the number of entries.
async fn count(client: &Client, list: &str, limit: usize) -> usize {
    let join = if list.contains('?') { '&' } else { '?' };
    let (mut ids, mut totals) = (Vec::new(), Vec::new());
    for page in 1..40 {
        let answer = client.get(&format!("{list}{join}page={page}&limit={limit}")).await.is(200);
        let body = answer.json();
        let items = body.as_array().or_else(|| body["data"].as_array()).unwrap();
        totals.push(answer.header("x-total-count").unwrap().parse::<usize>().unwrap());
        let more = answer.header("link").is_some_and(|link| link.contains("rel=\"next\""));
        assert_eq!(more, ids.len() + items.len() < totals[0], "{list} page {page}");
        ids.extend(items.iter().map(|item| item["id"].to_string() + &item["name"].to_string()));
        if items.is_empty() {
            break;
        }
    }
    totals.dedup();
    assert_eq!(totals, [ids.len()], "{list} in pages of {limit}");
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), all, "{list} has an entry twice");
    all
}

#[tokio::test]
async fn totals_stay_true_across_pages() {
    let site = Site::new();
    site.db(|conn| {
        for at in 0..5 {
            db_org(conn, &format!("org-{at}"), if at % 2 == 0 { Visibility::Public } else { Visibility::Private })?;
        }
        Ok(())
    });
    for package in ["a", "b", "c"] {
        for version in ["1", "2"] {
            for file in ["x", "y", "z"] {
                site.ci().publish(&path(&["ada", package, version, file]), format!("{package}{version}{file}")).await;
            }
        }
    }
    site.ci().delete(&path(&["ada", "c", "2"])).await.is(204);
    let hook = json!({"type": "gitea", "active": true,
        "config": {"url": "https://ci.example.org/", "content_type": "json"}});
    for _ in 0..5 {
        site.ada().post("/api/v1/user/hooks", &hook).await.is(201);
    }
    let id = site.db_number("SELECT min(id) AS n FROM hooks");
    for _ in 0..5 {
        site.ada().post(&format!("/api/v1/user/hooks/{id}/tests"), &json!({})).await.is(204);
    }
    let team = site.db_number(
        "SELECT t.id AS n FROM teams t JOIN owners o ON o.id = t.org_id WHERE o.name = 'org-1' AND t.name = 'read'",
    );
    let (ada, admin) = (site.ada(), site.user("admin"));
    let stranger = site.user("stranger");
    for (client, list, expected) in [
        (&ada, "/api/v1/packages/ada", 5),
        (&ada, "/api/v1/packages/ada/generic/a", 2),
        (&ada, "/api/v1/packages/ada/generic/a/1/files", 3),
        (&ada, "/api/v1/packages/search?q=", 5),
        (&ada, "/api/v1/users/search", 23),
        (&ada, "/api/v1/users/ada/tokens", 2),
        (&ada, "/api/v1/orgs", 5),
        (&stranger, "/api/v1/orgs", 3),
        (&ada, "/api/v1/user/orgs", 5),
        (&stranger, "/api/v1/users/ada/orgs", 3),
        (&ada, "/api/v1/user/teams", 5),
        (&ada, "/api/v1/orgs/org-1/teams", 5),
        (&ada, "/api/v1/orgs/org-1/teams/search?q=", 5),
        (&ada, "/api/v1/orgs/org-1/members", 5),
        (&ada, &*format!("/api/v1/teams/{team}/members"), 1),
        (&ada, "/api/v1/user/hooks", 5),
        (&ada, &*format!("/api/v1/user/hooks/{id}/deliveries"), 5),
        (&admin, "/api/v1/admin/users", 23),
        (&admin, "/api/v1/admin/orgs", 5),
    ] {
        for limit in [1, 2, 50] {
            assert_eq!(count(client, list, limit).await, expected, "{list}");
        }
    }
    // Deleting and publishing again changes nothing about that.
    site.ci().delete(&path(&["ada", "a", "1", "x"])).await.is(204);
    site.ci().publish(&path(&["ada", "a", "1", "x"]), "again").await;
    assert_eq!(count(&ada, "/api/v1/packages/ada/generic/a/1/files", 2).await, 3);
}

#[test]
fn every_operation_has_a_scope_that_a_token_can_hold() {
    for row in table() {
        let what = format!("{} {}", row.method, row.path);
        match (row.policy.credentials, row.policy.scope) {
            (
                AcceptedCredentials::Any | AcceptedCredentials::SessionOrAny | AcceptedCredentials::Feed,
                Some((area, level)),
            ) => {
                let word = Scope::Of(area, level).to_string();
                let scopes = Scopes::from_words([word.as_str()]).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert!(scopes.allow(area, level) && !scopes.is_useless(), "{what}");
                // Nothing that only reads needs a scope for writing.
                assert!(row.method != "GET" || word.starts_with("read:"), "{what}");
            }
            (AcceptedCredentials::Any | AcceptedCredentials::SessionOrAny | AcceptedCredentials::Feed, None) => {
                panic!("{what} takes a token and names no scope")
            }
            // A token describes and revokes itself with any scope; the others take no token.
            (_, scope) => assert!(scope.is_none() || row.policy.credentials == AcceptedCredentials::Session, "{what}"),
        }
    }
}

#[tokio::test]
async fn a_right_by_one_team_or_another_is_the_same_on_every_face() {
    let site = Site::new();
    site.db(|conn| db_org(conn, "acme", Visibility::Private));
    site.ada().publish(&path(&["acme", "tool", "1", "f"]), "hello").await;
    // Rights come from teams. A second team with the same permission, from one or several teams, gives the same.
    site.db(|conn| {
        let caller = crate::support::people::db_caller(conn, "ada")?;
        let right = can_govern(conn, &caller, &"acme".parse().unwrap())?;
        for (name, permission, users) in [
            ("more readers", Permission::Read, ["reads-twice", "reads-once"]),
            ("more writers", Permission::Write, ["writes-and-reads", "writes"]),
        ] {
            let team = teams::create(conn, &caller, &right, &new_team(name, permission), morning())?;
            for user in users {
                db_user(conn, user, Visibility::Public, false)?;
                packhouse::registry::owners::members::add(
                    conn,
                    &caller,
                    &right,
                    &team,
                    &user.parse().unwrap(),
                    morning(),
                )?;
            }
        }
        Ok(())
    });
    for user in ["reads-twice", "writes-and-reads"] {
        let team = site.db_number("SELECT id AS n FROM teams WHERE name = 'read'");
        let ada = site.anon().bearer(&site.db_token("ada", &["write:organization"]));
        ada.put(&format!("/api/v1/teams/{team}/members/{user}"), "").await.is(204);
    }
    for (user, read, write) in [
        ("acme-read", 200, 403),
        ("reads-once", 200, 403),
        ("reads-twice", 200, 403),
        ("acme-write", 200, 201),
        ("writes", 200, 201),
        ("writes-and-reads", 200, 201),
        ("stranger", 404, 404),
    ] {
        let token = site.anon().bearer(&site.db_token(user, &["write:package"]));
        for client in [token, site.anon().basic(user, PASSWORD)] {
            client.get(&path(&["acme", "tool", "1", "f"])).await.is(read);
            client.get(&path(&["acme", "tool"])).await.is(read);
            client.get("/api/v1/packages/acme").await.is(read);
            client.get("/api/v1/packages/acme/generic/tool/1/files").await.is(read);
            let found = client.get("/api/v1/packages/search?q=tool").await.is(200).json().as_array().unwrap().len();
            assert_eq!(found, usize::from(read == 200), "{user}");
            let new = path(&["acme", "tool", "1", &format!("by-{user}")]);
            client.put(&new, "x").await.is(write);
            client.delete(&new).await.is(if write == 201 { 204 } else { write });
        }
        let mut browser = site.browser_of(user).await;
        for page in ["/acme", "/acme/-/packages/generic/tool/1", "/acme/-/packages/generic/tool/versions"] {
            browser.go(page).await.is(read);
        }
        let upload = browser.go("/acme/-/upload").await.answer.status;
        // Members who only read are told what they lack.
        let wanted = match (read, write) {
            (200, 201) => 200,
            (200, _) => 403,
            _ => 404,
        };
        assert_eq!(upload, wanted, "{user}");
    }
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing_with_a_remembered_password() {
    let site = Site::new();
    let form = "username=mallory&email=m%40example.org&password=correct+horse+battery";
    let post = |fields: &[(&str, &str)]| {
        let mut request = site.anon().basic("admin", PASSWORD).request("POST", "/api/v1/admin/users");
        for (name, value) in fields {
            request = request.header(name, value);
        }
        request.header("content-type", "application/x-www-form-urlencoded").body(form)
    };
    let own = format!("http://{}", site.address);
    for foreign in [
        &[("sec-fetch-site", "cross-site")][..],
        &[("sec-fetch-site", "same-site"), ("origin", &own)],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
    ] {
        post(foreign).await.is(403).says("another site");
    }
    assert_eq!(site.db_number("SELECT count(*) AS n FROM owners WHERE name = 'mallory'"), 0);
    // Our own pages, programs, and reading.
    let read = site.anon().basic("admin", PASSWORD).get("/api/v1/user").header("origin", "https://evil.example");
    read.await.is(200);
    post(&[("sec-fetch-site", "same-origin"), ("origin", &own)]).await.is(201);
}

#[tokio::test]
async fn a_form_that_is_not_utf_8_is_refused_instead_of_changed() {
    let site = Site::new();
    for form in ["name=caf%E9&scopes=read:package", "name=%FF&scopes=read:package"] {
        let request = site.ada().request("POST", "/api/v1/users/ada/tokens");
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
        request.await.is(422).says("not UTF-8");
    }
    assert_eq!(site.db_number("SELECT count(*) AS n FROM tokens WHERE name LIKE '%\u{fffd}%' OR name LIKE 'caf%'"), 0);
}
